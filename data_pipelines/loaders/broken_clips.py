"""Examines every clip before a run, so that hardly any fails during it.

Some still may: files change, and long films are examined only in part. With
data.on_broken=skip `Loader.rows` replaces these and `EvalSet.rows` skips them.
"""

import collections
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from data_pipelines import whole_file
from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from data_pipelines.lists import few_shot
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders.source import Source, Store, frames_of
from data_pipelines.stores.files import FileTree
from data_pipelines.video.probes import Probe, probe_many
from data_pipelines.video.read import VideoError

_SHOWN = 3
# Most pieces of long films to examine, over all lists: each takes about a
# second, and EPIC-Kitchens has 77,000.
_MOST_PIECES = 2_000
# List name -> [(broken clip, reason)].
Broken = dict[str, list[tuple[ClipRecord, str]]]


def examine(
    store: Store,
    lists: Sequence[tuple[ClipList, list[str]]],
    data: Any,
    cache_dir: str,
    report_folder: str | os.PathLike | None,
) -> tuple[list[Source], Broken]:
  """Examines lists and, with data.on_broken=skip, removes broken clips.

  Args:
    lists: each with its class names in label order.
    data, cache_dir: config.data and config.cache_dir.
    report_folder: where 'broken.txt' goes if more than a few are broken.

  Returns:
    (the lists without broken clips, the broken clips by list).

  Raises:
    UserError: there are broken clips and data.on_broken is 'error'; or a list
      or a training class has no clip left.
  """
  asked = [clips for clips, _ in lists]
  probes = probe_clips(store, asked, cache_dir, data.workers, data.decoder)

  def fault(record: ClipRecord) -> str | None:
    try:
      frames_of(record, probes[store.stored(record)], store.counts_from)
    except VideoError as e:
      return str(e)
    return None

  sources, broken = [], {}
  for clips, names in lists:
    faults = [(r, fault(r)) for r in clips.records]
    broken[clips.name] = [(r, why) for r, why in faults if why]
    kept = clips.replace(r for r, why in faults if not why)
    known = {k: probes[k] for k in map(store.stored, kept.records)}
    sources.append(Source(kept, names, store, known))
  if any(broken.values()):
    _check(asked, sources, broken, data.on_broken, report_folder)
  return sources, broken


def without_broken(
    chosen: ClipList,
    kept: Source,
    broken: Sequence[tuple[ClipRecord, str]],
    data: Any,
    report_folder: str | os.PathLike | None,
) -> Source:
  """Returns a few-shot selection without its broken clips.

  They are not replaced: a selection depends on the list and the seed, not on
  the state of the files. `chosen` is the result of `few_shot.select`, `kept`
  the same without the clips in `broken`.

  Raises:
    UserError: a class has fewer than data.shots clips now, and
      data.few_shot_short is 'error'.
  """
  if data.shots == 0 or not broken:
    return kept
  before, after = chosen.counts(), kept.clips.counts()
  few = [k for k, n in before.items() if after[k] < min(n, data.shots)]
  if few and data.few_shot_short == 'error':
    faults = {record.key: why for record, why in broken}
    shown = ', '.join([*faults][:_SHOWN]) + ', ...' * (len(faults) > _SHOWN)
    if report := _report(faults, report_folder):
      shown += f' (all in {report})'
    said = few_shot.too_few(few, before, after, data.shots, kept.class_names)
    raise UserError(
        f'{said} without the broken ones: {shown}.\n  Replace these clips, use '
        'another seed or fewer shots, or data.few_shot_short=keep to train '
        'with what there is.'
    )
  what = 'clip' if len(broken) == 1 else 'clips'
  origin = f'{kept.clips.origin}; {len(broken)} broken {what} left out'
  clips = dataclasses.replace(kept.clips, origin=origin)
  return dataclasses.replace(kept, clips=clips)


def probe_clips(
    store: Store,
    lists: Sequence[ClipList],
    cache_dir: str = '',
    workers: int = 0,
    decoder: str = 'pyav',
) -> dict[str, Probe]:
  """Examines the files of lists in other processes, and caches the results.

  Of long films only the pieces that the lists name are examined, and only 2,000
  of them, evenly spread, if there are more (a note is printed). TFDS folders
  hold the probes of their clips already.

  Returns:
    A probe for every file, by the store's keys. A broken file raises nothing.
  """
  records = collections.defaultdict(list)
  for record in (r for clips in lists for r in clips.records):
    records[store.stored(record)].append(record)
  keys = list(records)
  if not isinstance(store, FileTree):
    return store.probes(keys)

  every = [r for found in records.values() for r in found if r.key != r.path]
  step, films = -(-len(every) // _MOST_PIECES) or 1, set()
  chosen = {r.key for r in every[::step]}

  def pieces(place: int, probe: Probe):
    films.add(place)
    for record in records[keys[place]]:
      if record.key in chosen or record.key == record.path:
        with contextlib.suppress(VideoError):
          yield frames_of(record, probe, store.counts_from)

  root = hashlib.sha1(str(store.root).encode()).hexdigest()[:12]
  with tqdm(
      total=len(keys),
      desc='check clips',
      unit='clip',
      dynamic_ncols=True,
      mininterval=1.0 if sys.stderr.isatty() else 10.0,
      # No bar if all clips are in the cache.
      delay=1.0,
  ) as bar:
    found = probe_many(
        [store.media(key) for key in keys],
        workers,
        lambda *_: bar.update(1),
        cache_folder(cache_dir) / 'probes' / f'{root}.json',
        decoder,
        pieces,
    )
  if films and step > 1:
    print(
        f'note: {len(chosen)} of {len(every)} video segments are checked '
        'before the run; the others are checked when they are read.'
    )
  return dict(zip(keys, found, strict=True))


def _check(asked, sources, broken: Broken, on_broken: str, report_folder):
  """Refuses broken clips, or says which ones are left out."""
  faults = {r.key: why for pairs in broken.values() for r, why in pairs}
  total = len({r.key for clips in asked for r in clips.records})
  text = f'{len(faults)} of {total} clips cannot be decoded'
  first = ' '.join(list(faults.values())[:_SHOWN])
  if on_broken == 'error':
    report = _report(faults, report_folder)
    where = f' All are named in {report}.' if report else ''
    raise UserError(
        f'{text}: {first}{where}\n  Replace them, or leave them out with '
        '--config.data.on_broken=skip.'
    )
  print(f'left out: {text} (data.on_broken=skip): {first}', flush=True)
  for before, after in zip(asked, sources, strict=True):
    lost = set(before.counts()) - set(after.clips.counts())
    if lost and before.name == 'train':
      raise UserError(
          f'the class {after.class_names[min(lost)]!r} has no training clip '
          f'that can be decoded: {first}'
      )
    if not after.records:
      raise UserError(
          f'no clip of the {before.name} list ({before.origin}) can be '
          f'decoded: {first}'
      )


def _report(faults: dict[str, str], folder) -> pathlib.Path | None:
  """Writes 'broken.txt' if there are more faults than a message shows."""
  if len(faults) <= _SHOWN or folder is None:
    return None
  report = pathlib.Path(folder) / 'broken.txt'
  lines = (f'{key}\t{why}\n' for key, why in faults.items())
  whole_file.write(report, ''.join(lines))
  return report
