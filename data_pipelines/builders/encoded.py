"""A clip as it is stored: the bytes of a file and what is known of it."""

import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from data_pipelines.builders import cut
from data_pipelines.builders.plan import Clip
from data_pipelines.loaders.source import frames_of
from data_pipelines.stores.files import FileTree
from data_pipelines.video.film import Unreadable
from data_pipelines.video.probe import Probe, probe
from data_pipelines.video.probe_cache import probe_many
from data_pipelines.video.read import VideoError

# Files examined in parallel before the next ones are written.
_AT_ONCE = 64


def examples(
    store: FileTree, clips: Iterable[Clip], workers: int = 0
) -> Iterator[dict[str, Any]]:
  """What is stored of every clip, in order.

  A broken file is stored too, with the reason: whether it is an error or left
  out is decided when it is used (data.on_broken). Of a long film only the
  piece is stored; pictures go into one ZIP file.

  Args:
    store: the files.
    clips: what to store; pieces of one film one after the other.
    workers: processes that examine files; 0 = one per core.
  """
  clips = iter(clips)
  probes = {}
  workers = workers or os.cpu_count() or 1
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    while some := list(itertools.islice(clips, _AT_ONCE)):
      paths = list(dict.fromkeys(clip.record.path for clip in some))
      # A film's pieces may go on in the next round.
      probes = {p: probes[p] for p in paths if p in probes}
      new = [p for p in paths if p not in probes]
      files = [store.media(p) for p in new]
      probes |= dict(zip(new, probe_many(files, workers), strict=True))
      made = pool.map(
          functools.partial(_contents, store),
          some,
          [probes[clip.record.path] for clip in some],
      )
      for clip, (contents, found) in zip(some, made, strict=True):
        yield _example(clip, contents, found)


def _contents(
    store: FileTree, clip: Clip, whole: Probe
) -> tuple[bytes, Probe]:
  """The bytes to store and what is known of them."""
  path, record = store.media(clip.record.path), clip.record
  piece = record.key != record.path
  if not piece and not os.path.isdir(path):
    try:
      return pathlib.Path(path).read_bytes(), whole
    except OSError as e:
      return b'', _broken(whole, f'it cannot be read ({e.strerror})')
  if whole.error:
    return b'', whole
  try:
    first, stop = frames_of(record, whole, store.counts_from)
    made = cut.cut(path, whole, first, stop)
  except (VideoError, Unreadable) as e:
    return b'', _broken(whole, str(e))
  found = probe(made.contents, record.key)
  if found.error is None and piece:
    found = dataclasses.replace(found, piece=(made.first, made.stop))
  return made.contents, found


def _broken(whole: Probe, why: str) -> Probe:
  return dataclasses.replace(whole, error=whole.error or why)


def _example(clip: Clip, contents: bytes, found: Probe) -> dict[str, Any]:
  sha1 = hashlib.sha1(contents).hexdigest()
  # The same on every machine: no path, no time of change.
  found = dataclasses.replace(found, name=clip.key, key=f'sha1:{sha1}')
  return {
      'clip': contents,
      'key': clip.key,
      'path': clip.record.path,
      'label': clip.record.label,
      'sha1': sha1,
      'num_frames': found.num_frames,
      'fps': found.fps,
      'codec': found.codec,
      'width': found.width,
      'height': found.height,
      'decoder': found.decoder,
      'error': found.error or '',
      'probe': json.dumps(found.to_dict(), sort_keys=True),
      'lists': json.dumps(clip.lists, sort_keys=True),
  }
