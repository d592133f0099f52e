"""python -m data_pipelines.import_list FILE --out=FILE

Converts a list that somebody published to the plain form: paths without the
author's folders, classes numbered from 0, a hash. Nothing needs to be converted
to train: every list that is read here can be given as data.train_list.
"""

import dataclasses
import os
import pathlib

from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError
from data_pipelines.lists import classes as class_names
from data_pipelines.lists import grammars
from data_pipelines.lists.clips import ClipList, ClipRecord, check_unique
from data_pipelines.lists.items import Listing


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string('out', '', 'The plain list to write.')
  flags.DEFINE_string(
      'classes', '', 'Where to write the class names. Default: beside --out.'
  )


@dataclasses.dataclass(frozen=True)
class Imported:
  """A list in the plain form.

  Attributes:
    clips: the list.
    class_names: by number, '' for numbers without a clip; None if neither the
      list nor its folders say them.
  """

  clips: ClipList
  class_names: list[str] | None


def main(args: list[str]):
  """Converts one list."""
  if len(args) != 1:
    raise UserError(
        f'wanted one list, found {len(args)}: '
        'python -m data_pipelines.import_list FILE --out=FILE'
    )
  values = flags.FLAGS
  if not values.out:
    raise UserError('--out is missing: the file to write.')
  out = pathlib.Path(values.out).expanduser()
  found = convert(args[0])
  names = found.class_names
  try:
    found.clips.write(out)
    print(
        f'{out}: {len(found.clips.records)} clips of '
        f'{len(found.clips.counts())} classes, SHA-256 {found.clips.hash}'
    )
    if names:
      beside = out.with_name(f'{out.stem}-classes.txt')
      file = pathlib.Path(values.classes or beside).expanduser()
      file.write_text(
          ''.join(f'{n or f"class {k}"}\n' for k, n in enumerate(names)),
          encoding='utf-8',
      )
      print(f'{file}: their names (data.class_names)')
    else:
      print('The list does not name its classes: give data.class_names.')
  except OSError as e:
    raise UserError(f'cannot write {out}: {e.strerror or e}.') from e


def convert(file: str | os.PathLike) -> Imported:
  """Reads a list of any grammar.

  Args:
    file: see `list_files.read`.

  Raises:
    UserError: no such grammar, a line without a class, a clip twice.
  """
  listing = grammars.read(file, 'the list to convert')
  paths = _relative([item.path for item in listing.items])
  labels, names = _labels(listing, paths)
  records = tuple(
      ClipRecord(path, label, i.start, i.end, i.first, i.stop)
      for path, label, i in zip(paths, labels, listing.items, strict=True)
  )
  clips = ClipList(
      listing.split or 'list',
      records,
      listing.name,
      selected=listing.selected,
  )
  check_unique(clips)
  return Imported(clips, names)


def _relative(paths: list[str]) -> list[str]:
  """Paths without what all absolute ones begin with."""
  folders = {p.rsplit('/', 1)[0] for p in paths if p.startswith('/')}
  if not folders:
    return paths
  common = os.path.commonpath(folders).rstrip('/') + '/'
  cut = [p.removeprefix(common) for p in paths]
  if max(p.count('/') for p in cut) <= 1:
    return cut
  # Folders of several machines: the file names, if they are enough.
  names = [p.rsplit('/', 1)[-1] for p in paths]
  if len(set(names)) == len(names):
    return names
  return ['/'.join(p.split('/')[-2:]) for p in paths]


def _labels(
    listing: Listing, paths: list[str]
) -> tuple[list[int], list[str] | None]:
  """(numbers from 0, names by number or None)."""
  said = [i.label for i in listing.items]
  if all(isinstance(label, int) for label in said):
    names = {}
    for item in listing.items:
      names.setdefault(item.label, set()).add(item.class_name)
    if all(len(n) == 1 and '' not in n for n in names.values()):
      by_number = {k: class_names.clean(n.pop()) for k, n in names.items()}
      last = max(by_number)
      return said, [by_number.get(k, '') for k in range(last + 1)]
    return said, None
  words = []
  for item, path in zip(listing.items, paths, strict=True):
    word = item.label
    if word is None and '/' in path:
      word = path.rsplit('/', 2)[-2]
    if not isinstance(word, str):
      raise UserError(
          f'{listing.where(item)}: nothing says the class of this clip; wanted '
          'a label or a folder that names it.'
      )
    words.append(word)
  raw = sorted(set(words))
  position = {word: k for k, word in enumerate(raw)}
  return [position[w] for w in words], [class_names.clean(w) for w in raw]


if __name__ == '__main__':
  define_flags()
  cli.run(main)
