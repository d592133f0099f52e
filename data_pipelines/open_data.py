"""From config.data to clips that can be read: the door of this package."""

import dataclasses
import hashlib
import importlib
import os
import pathlib
from typing import Any

from data_pipelines import scan
from data_pipelines.clip_lists import few_shot
from data_pipelines.clip_lists.records import ClipList
from data_pipelines.source import Source
from data_pipelines.stores.file_tree import FileTree
from evclip_jax.errors import UserError

# Name of the data set -> module with read(data, split, report_folder).
_DATASETS = {
    'demo': 'data_pipelines.builders.demo.collection',
    'folder': 'data_pipelines.datasets.folder',
    'ucf101': 'data_pipelines.datasets.ucf101',
}


@dataclasses.dataclass(frozen=True)
class DataSets:
  """The lists of one run.

  Attributes:
    train: the training clips after the few-shot selection; None if only
      scoring was asked for.
    val: clips to choose a checkpoint by, if any.
    tests: clips to report on, by the name of their list.
    class_names: K names in label order, as prompts say them.
    description: JSON values for the run card.
    skipped: broken clips that were left out, with the reason, by list.
  """

  train: Source | None
  val: Source | None
  tests: dict[str, Source]
  class_names: list[str]
  description: dict[str, Any]
  skipped: scan.Broken

  def evals(self) -> dict[str, Source]:
    """The lists to score: 'val', if there is one, and the tests."""
    return ({'val': self.val} if self.val else {}) | self.tests

  def write_lists(self, folder: str | os.PathLike):
    """Writes every list in the plain form, and what was left out.

    Args:
      folder: gets <list>.txt, classes.txt, and skipped.txt if need be.
    """
    folder = pathlib.Path(folder)
    train = {'train': self.train} if self.train else {}
    for name, source in (train | self.evals()).items():
      source.clips.write(folder / f'{name}.txt')
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'classes.txt').write_text(
        ''.join(name + '\n' for name in self.class_names), encoding='utf-8'
    )
    lines = [
        f'{name}\t{record.key}\t{why}\n'
        for name, pairs in self.skipped.items()
        for record, why in pairs
    ]
    if lines:
      (folder / 'skipped.txt').write_text(''.join(lines), encoding='utf-8')


def open_data(
    data,
    seed: int,
    split: int,
    workdir: str | os.PathLike | None = None,
    cache_dir: str = '',
    evaluate_only: bool = False,
) -> DataSets:
  """Reads the lists, selects the shots, and examines every clip once.

  Args:
    data: config.data.
    seed: chooses the shots and nothing else.
    split: which official split, where the data set has several.
    workdir: run folder, for reports of many missing or broken clips; None =
      messages only. Nothing is written if all is well (`write_lists` does).
    cache_dir: where what is known of clips is kept (config.cache_dir).
    evaluate_only: the training clips need not be sound.

  Returns:
    The lists, ready to read.

  Raises:
    UserError: missing data, a wrong list, overlapping lists, too few clips,
      broken clips (see `folder`, `ucf101`, `few_shot`, `scan`).
  """
  collection = _module(data.name).read(data, split, workdir)
  names = collection.class_names
  scored = ([collection.val] if collection.val else []) + list(
      collection.tests.values()
  )
  asked = scored
  if not evaluate_only:
    train = few_shot.select(
        collection.train, data.shots, seed, data.few_shot_short, names
    )
    asked = [train, *scored]
  keys = list(dict.fromkeys(r.path for clips in asked for r in clips.records))
  store = collection.store
  if isinstance(store, FileTree):
    probes = scan.probe_files(store, keys, cache_dir, data.workers)
  else:
    probes = store.probes(keys)
  kept, skipped = scan.sort_out(asked, probes)
  scan.check(asked, kept, skipped, data.on_broken, names, workdir)

  def source(clips: ClipList) -> Source:
    own = {r.path: probes[r.path] for r in clips.records}
    own_names = collection.own_names.get(clips.name, names)
    return Source(clips, own_names, store, own)

  by_name = {clips.name: source(clips) for clips in kept}
  return DataSets(
      train=by_name.get('train'),
      val=by_name.get('val'),
      tests={n: s for n, s in by_name.items() if n not in ('train', 'val')},
      class_names=names,
      description=_describe(data, seed, split, collection, kept, skipped),
      skipped=skipped,
  )


def _module(name: str):
  if name not in _DATASETS:
    raise UserError(
        f'data.name={name!r}: use one of {", ".join(sorted(_DATASETS))}.'
    )
  return importlib.import_module(_DATASETS[name])


def _describe(data, seed, split, collection, kept, skipped) -> dict[str, Any]:
  classes = '\n'.join(collection.class_names)
  lists = {
      clips.name: {
          'from': clips.origin,
          'clips': len(clips.records),
          'skipped': len(skipped[clips.name]),
          'sha256': clips.hash,
      }
      for clips in kept
  }
  return {
      'name': data.name,
      'split': split,
      'shots': data.shots,
      'seed': seed,
      'training_pool': {
          'from': collection.train.origin,
          'clips': len(collection.train.records),
          'sha256': collection.train.hash,
      },
      'classes': len(collection.class_names),
      'classes_sha256': hashlib.sha256(classes.encode()).hexdigest(),
      'lists': lists,
  }
