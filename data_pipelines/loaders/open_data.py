"""Turns config.data into lists of clips that can be read."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

from data_pipelines import datasets, whole_file
from data_pipelines.datasets import base_novel
from data_pipelines.datasets import others as other_data
from data_pipelines.datasets.dataset import ROLES, DataSet
from data_pipelines.errors import UserError
from data_pipelines.lists import few_shot
from data_pipelines.lists.clips import ClipList, check_disjoint
from data_pipelines.loaders import broken_clips
from data_pipelines.loaders.source import Source


@dataclasses.dataclass(frozen=True)
class Sources:
  """Holds the lists of one run, ready to be read.

  Attributes:
    train: the training clips after the few-shot selection; None if only
      scoring was asked for.
    val: clips to choose a checkpoint by, if any.
    tests: clips to report on, by the name of their list.
    class_names: K names in label order, as prompts use them.
    description: JSON values for the run card.
    skipped: list name -> broken clips that were left out, with the reason.
  """

  train: Source | None
  val: Source | None
  tests: dict[str, Source]
  class_names: list[str]
  description: dict[str, Any]
  skipped: broken_clips.Broken

  def evals(self) -> dict[str, Source]:
    """Returns the lists to score: 'val', if there is one, and the tests."""
    return ({'val': self.val} if self.val else {}) | self.tests

  def write_lists(self, folder: str | os.PathLike):
    """Writes every list as plain text, and which clips were left out.

    The folder gets <list>.txt, classes.txt, <list>-classes.txt for lists with
    other classes, and skipped.txt if clips are missing or were skipped.
    """
    folder = pathlib.Path(folder)
    lists = ({'train': self.train} if self.train else {}) | self.evals()
    files, lines = {'classes': self.class_names}, []
    for name, source in lists.items():
      source.clips.write(folder / f'{name}.txt')
      if source.class_names != self.class_names:
        files[f'{name}-classes'] = source.class_names
      lines += [f'{name}\t{x}\tnot in the data' for x in source.clips.missing]
    for name, pairs in self.skipped.items():
      lines += [f'{name}\t{record.key}\t{why}' for record, why in pairs]
    files |= {'skipped': lines} if lines else {}
    for name, content in files.items():
      text = ''.join(line + '\n' for line in content)
      whole_file.write(folder / f'{name}.txt', text)


def open_data(
    data,
    seed: int,
    split: int,
    workdir: str | os.PathLike | None = None,
    cache_dir: str = '',
    evaluate_only: bool = False,
    listed: Callable[[list[str], int, list[str]], None] | None = None,
) -> Sources:
  """Reads the lists, selects the shots, and examines every clip once.

  Args:
    data: config.data.
    seed: draws the shots for training and validation; used for nothing else.
    split: which of the data set's official splits (config.split).
    workdir: run folder, where a report of many missing or broken clips goes;
      None = messages only. Nothing else is written here (see `write_lists`).
    cache_dir: where the probes of files are kept (config.cache_dir).
    evaluate_only: neither the training clips nor their list are needed.
    listed: called before any clip is examined, with the class names, the number
      of training clips (0 with evaluate_only) and the names of the lists to
      score, but for those of data.others.

  Raises:
    UserError: missing data, a wrong list, overlapping lists, too few clips,
      broken clips (see `datasets.official`, `few_shot`, `broken_clips`).
  """

  def read(own, split, roles=('test',)):
    found = datasets.read(own, split, workdir, roles)
    return base_novel.split(found, own.novel_classes)

  # Validation clips are drawn from those that are not trained on.
  drawn = not evaluate_only or data.val_shots
  collection = read(data, split, ROLES if drawn else ROLES[1:])
  if not data.score_own:
    if not data.others:
      raise UserError(
          'data.score_own=False leaves nothing to score: set data.others.'
      )
    collection = dataclasses.replace(collection, tests={})
  names = collection.class_names
  if drawn:
    train = few_shot.select(
        collection.train, data.shots, seed, names, data.few_shot_short
    )
  if data.val_shots:
    val = _val(collection, train, data.val_shots, seed)
    collection = dataclasses.replace(collection, val=val)
  asked = [x for x in (collection.val, *collection.tests.values()) if x]
  if listed:
    number = 0 if evaluate_only else len(train.records)
    listed(names, number, [clips.name for clips in asked])
  asked = asked if evaluate_only else [train, *asked]
  how = data, cache_dir, workdir
  own = [(x, collection.own_names.get(x.name, names)) for x in asked]
  sources, skipped = broken_clips.examine(collection.store, own, *how)
  if not evaluate_only:
    sources[0] = broken_clips.without_broken(
        train, sources[0], skipped['train'], data, workdir
    )
  others = {}
  for clips, its_names, store, about in other_data.read(data, read):
    if not evaluate_only and str(store) == str(collection.store):
      advice = 'Score splits that share no clip with the training list '
      check_disjoint(train, clips, advice + '(data.others).')
    if clips.name in skipped:
      raise UserError(f'data.others: there is a list {clips.name!r} already.')
    others[clips.name] = about
    found = broken_clips.examine(store, [(clips, its_names)], *how)
    sources, skipped = sources + found[0], skipped | found[1]
  lists = {}
  for source in sources:
    clips, name = source.clips, source.name
    counts = {'missing': len(clips.missing), 'skipped': len(skipped[name])}
    lists[name] = _about(clips) | counts
    if source.class_names != names:
      lists[name] |= _classes(source.class_names)
    lists[name] |= others.get(name, {})
  description = {
      'name': data.name,
      'split': split,
      'shots': data.shots,
      'seed': seed,
      'training_pool': collection.train and _about(collection.train),
      **_classes(names),
      'lists': lists,
  }
  tests = {source.name: source for source in sources}
  train, val = tests.pop('train', None), tests.pop('val', None)
  return Sources(train, val, tests, names, description, skipped)


def _val(collection: DataSet, train: ClipList, shots: int, seed) -> ClipList:
  """Draws clips to choose a checkpoint by from those not trained on."""
  if collection.val:
    raise UserError(
        f'data.val_shots={shots} has no effect: there is a list to choose by, '
        f'{collection.val.origin}. Use 0.'
    )
  pool, names = collection.train, collection.class_names
  copies = collection.store.originals([r.path for r in pool.records])
  how = shots, seed, names, copies.__getitem__
  return few_shot.select_val(pool, train, *how)


def _about(clips: ClipList) -> dict[str, Any]:
  number = len(clips.records)
  return {'from': clips.origin, 'clips': number, 'sha256': clips.hash}


def _classes(names: list[str]) -> dict[str, Any]:
  digest = hashlib.sha256('\n'.join(names).encode()).hexdigest()
  return {'classes': len(names), 'classes_sha256': digest}
