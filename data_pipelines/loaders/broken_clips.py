"""Looks through every clip before a run, so that none fails in the middle."""

import collections
import contextlib
import hashlib
import os
import pathlib
import sys
from collections.abc import Sequence

from tqdm import tqdm

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders.source import Store, frames_of
from data_pipelines.stores.files import FileTree
from data_pipelines.video.probes import Probe, probe_many
from data_pipelines.video.read import VideoError

_SHOWN = 3
# By list: broken clips and why they are.
Broken = dict[str, list[tuple[ClipRecord, str]]]


def probe_clips(
    store: Store,
    lists: Sequence[ClipList],
    cache_dir: str = '',
    workers: int = 0,
    decoder: str = 'pyav',
) -> dict[str, Probe]:
  """Examines the files of lists in other processes, each once in its life.

  Args:
    store: where the clips are; TFDS folders know what is to be known.
    lists: of clips; of a long film the pieces that they name are looked at.
    cache_dir: where results are kept, see `cache_folder`.
    workers: processes, see `pool.number`.
    decoder: data.decoder.

  Returns:
    A probe for every file, by the store's keys. Nothing a file holds raises an
    error.
  """
  records = collections.defaultdict(list)
  for record in (r for clips in lists for r in clips.records):
    records[store.stored(record)].append(record)
  keys = list(records)
  if not isinstance(store, FileTree):
    return store.probes(keys)

  def pieces(place: int, probe: Probe):
    for record in records[keys[place]]:
      with contextlib.suppress(VideoError):
        yield frames_of(record, probe, store.counts_from)

  root = hashlib.sha1(str(store.root).encode()).hexdigest()[:12]
  bar = tqdm(
      total=len(keys),
      desc='check clips',
      unit='clip',
      dynamic_ncols=True,
      mininterval=1.0 if sys.stderr.isatty() else 10.0,
      # Known clips take no time worth showing.
      delay=1.0,
  )
  with bar:
    found = probe_many(
        [store.media(key) for key in keys],
        workers,
        lambda *_: bar.update(1),
        cache_folder(cache_dir) / 'probes' / f'{root}.json',
        decoder,
        pieces,
    )
  return dict(zip(keys, found, strict=True))


def take_out(
    lists: Sequence[ClipList], probes: dict[str, Probe], store: Store
) -> tuple[list[ClipList], Broken]:
  """Takes the clips that cannot be decoded out of lists.

  Args:
    lists: any lists.
    probes: of all files in them, by the store's keys.
    store: where the clips are.

  Returns:
    (the lists without broken clips, the broken ones by list name).
  """

  def fault(record: ClipRecord) -> str | None:
    try:
      frames_of(record, probes[store.stored(record)], store.counts_from)
    except VideoError as e:
      return str(e)
    return None

  kept, broken = [], {}
  for clips in lists:
    faults = [(r, fault(r)) for r in clips.records]
    broken[clips.name] = [(r, why) for r, why in faults if why]
    kept.append(clips.replace(r for r, why in faults if not why))
  return kept, broken


def check(
    lists: Sequence[ClipList],
    kept: Sequence[ClipList],
    broken: Broken,
    on_broken: str,
    class_names: list[str],
    report_folder: str | os.PathLike | None,
):
  """Refuses broken clips, or says which ones are left out.

  Args:
    lists: as they were asked for.
    kept: without the broken clips.
    broken: see `take_out`.
    on_broken: 'error' or 'skip' (data.on_broken).
    class_names: in label order, for messages.
    report_folder: where 'broken.txt' goes if there are more than a few.

  Raises:
    UserError: there are broken clips and on_broken is 'error'; or a list or
      a training class has no clip left.
  """
  faults = {r.key: why for pairs in broken.values() for r, why in pairs}
  if not faults:
    return
  total = len({r.key for clips in lists for r in clips.records})
  text = f'{len(faults)} of {total} clips cannot be decoded'
  first = ' '.join(list(faults.values())[:_SHOWN])
  if on_broken == 'error':
    where = ''
    if len(faults) > _SHOWN and report_folder is not None:
      report = pathlib.Path(report_folder) / 'broken.txt'
      report.parent.mkdir(parents=True, exist_ok=True)
      report.write_text(''.join(f'{k}\t{why}\n' for k, why in faults.items()))
      where = f' All are named in {report}.'
    raise UserError(
        f'{text}: {first}{where}\n  Replace them, or leave them out with '
        '--config.data.on_broken=skip.'
    )
  print(f'left out: {text} (data.on_broken=skip): {first}', flush=True)
  for before, after in zip(lists, kept, strict=True):
    lost = set(before.counts()) - set(after.counts())
    if lost and before.name == 'train':
      raise UserError(
          f'the class {class_names[min(lost)]!r} has no training clip that can '
          f'be decoded: {first}'
      )
    if not after.records:
      raise UserError(
          f'no clip of the {before.name} list ({before.origin}) can be '
          f'decoded: {first}'
      )
