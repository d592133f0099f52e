"""Splits classes into base, which are trained, and novel, only scored."""

import dataclasses
import pathlib

from data_pipelines.datasets.dataset import DataSet
from data_pipelines.errors import UserError
from data_pipelines.lists import class_files, classes
from data_pipelines.lists.clips import ClipList


def split(data: DataSet, choice: str) -> DataSet:
  """Removes the novel classes (`choice`: data.novel_classes) from training.

  The list 'test' becomes 'base' and 'novel'; a test list of another name
  becomes '<name>_base' and '<name>_novel'. The validation list keeps only base
  classes. Novel lists have their own class names, so a clip is scored against
  the novel classes only. '' changes nothing.

  Raises:
    UserError: an unknown class, no base or no novel class, or lists that have
      their own classes already.

  Source: EZ-CLIP, dataset_splits, base_to_novel: 26 base and 25 novel classes
    of HMDB51 ('first_half'), 51 and 50 of UCF-101.
  Differs: EZ-CLIP orders UCF-101's classes in its own way; to reproduce that,
    use its lists, or a file of its novel classes.
  """
  if not choice:
    return data
  if data.own_names:
    raise UserError(
        f'data.novel_classes={choice}: the lists have classes of their own '
        'already (data.class_scope). Name them in data.tests instead.'
    )
  names = data.class_names
  novel = _novel(names, choice)
  base = [k for k in range(len(names)) if k not in novel]
  if not novel or not base:
    raise UserError(
        f'data.novel_classes={choice}: {len(base)} of {len(names)} classes are '
        f'left for training and {len(novel)} are novel; both need one at least.'
    )
  novel, tests, own_names = sorted(novel), {}, {}
  for name, clips in data.tests.items():
    prefix = '' if name == 'test' else f'{name}_'
    for part, labels in (('base', base), ('novel', novel)):
      tests[prefix + part] = _only(clips, labels, prefix + part)
    own_names[f'{prefix}novel'] = [names[k] for k in novel]
  return DataSet(
      data.store,
      data.train and _only(data.train, base, 'train'),
      data.val and _only(data.val, base, 'val'),
      tests,
      [names[k] for k in base],
      own_names,
  )


def _novel(names: list[str], choice: str) -> set[int]:
  if choice == 'half':
    return set(range((len(names) + 1) // 2, len(names)))
  if choice == 'first_half':
    return set(range(len(names) // 2))
  if not pathlib.Path(choice).expanduser().is_file():
    raise UserError(
        f"data.novel_classes={choice!r}: use 'half' or 'first_half', or a file "
        'with one class name per line.'
    )
  wanted = class_files.read(choice)
  known = classes.match(wanted, names)
  unknown = [n for n in wanted if n not in known]
  if unknown:
    raise UserError(
        f'{choice} (data.novel_classes): {unknown[0]!r} is not one of the '
        f'{len(names)} classes, such as {names[0]!r}.'
    )
  return set(known.values())


def _only(clips: ClipList, labels: list[int], name: str) -> ClipList:
  kept = clips.numbered({old: k for k, old in enumerate(labels)}).records
  if not kept:
    raise UserError(
        f'the {clips.name} list ({clips.origin}) has no clip for the list '
        f'{name!r} (data.novel_classes).'
    )
  origin = f'{len(labels)} classes of {clips.origin}'
  return dataclasses.replace(clips, name=name, records=kept, origin=origin)
