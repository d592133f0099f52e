"""Looks through every clip before a run, so that none fails in the middle."""

import collections
import contextlib
import hashlib
import itertools
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from tqdm import tqdm

from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders.source import frames_of
from data_pipelines.stores.files import FileTree
from data_pipelines.video import read
from data_pipelines.video.probes import Probe, probe_many

_SHOWN = 3
Broken = dict[str, list[tuple[ClipRecord, str]]]


def probe_files(
    store: FileTree,
    keys: Sequence[str],
    cache_dir: str,
    workers: int = 0,
    decoder: str = 'pyav',
    lists: Sequence[ClipList] = (),
) -> dict[str, Probe]:
  """Examines files in processes of their own; each file once in its life.

  Args:
    store: the files.
    keys: which of them.
    cache_dir: where results are kept; '' = ~/.cache/evclip_jax.
    workers: processes; 0 = one per core.
    decoder: data.decoder.
    lists: of a long film, the pieces that they name are looked at.

  Returns:
    A probe for every key. Nothing a file holds raises an error.
  """
  folder = pathlib.Path(cache_dir or '~/.cache/evclip_jax').expanduser()
  root = hashlib.sha1(str(store.root).encode()).hexdigest()[:12]
  cache = folder / 'probes' / f'{root}.json'
  paths = [store.media(key) for key in keys]
  records = collections.defaultdict(list)
  for record in itertools.chain(*(clips.records for clips in lists)):
    records[store.stored(record)].append(record)

  def pieces(place: int, probe: Probe):
    for record in records[keys[place]]:
      with contextlib.suppress(read.VideoError):
        yield frames_of(record, probe, store.counts_from)

  bar = tqdm(
      total=len(paths),
      desc='check clips',
      unit='clip',
      dynamic_ncols=True,
      mininterval=1.0 if sys.stderr.isatty() else 10.0,
      # Known clips take no time worth showing.
      delay=1.0,
  )
  with bar:
    found = probe_many(
        paths, workers, lambda *_: bar.update(1), cache, decoder, pieces
    )
  return dict(zip(keys, found, strict=True))


def sort_out(
    lists: Sequence[ClipList],
    probes: dict[str, Probe],
    stored: Callable[[ClipRecord], str] = lambda record: record.path,
    counts_from: int | None = None,
) -> tuple[list[ClipList], Broken]:
  """Takes the clips out of lists that cannot be decoded.

  Args:
    lists: any lists.
    probes: of all files in them, by the store's keys.
    stored: tells a record's key in the store.
    counts_from: see `source.frames_of`.

  Returns:
    (the lists without broken clips, the broken ones and why by list name).
  """
  kept, broken = [], {}
  for clips in lists:
    faults = {
        r.key: _fault(r, probes[stored(r)], counts_from) for r in clips.records
    }
    broken[clips.name] = [
        (r, faults[r.key]) for r in clips.records if faults[r.key]
    ]
    kept.append(clips.replace(r for r in clips.records if not faults[r.key]))
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
    broken: see `sort_out`.
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


def _fault(
    record: ClipRecord, probe: Probe, counts_from: int | None
) -> str | None:
  try:
    frames_of(record, probe, counts_from)
  except read.VideoError as e:
    return str(e)
  return None
