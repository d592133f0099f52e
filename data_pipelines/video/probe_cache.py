"""Many files at once, and the results kept on disk."""

import concurrent.futures
import json
import os
import pathlib
import tempfile
import threading
from collections.abc import Callable, Sequence

from data_pipelines.video import probe
from data_pipelines.video.probe import Probe

# Raised when the meaning of a field or a verdict changes.
_VERSION = 4


class ProbeCache:
  """Probes of sound files in a JSON file, by path, size and time of change.

  Broken files are not kept: the fault may have been in the machine (time,
  memory), and there are few. An unreadable cache file is taken for an empty
  one and overwritten by `save`.
  """

  def __init__(self, file: str | os.PathLike):
    self._file = pathlib.Path(file)
    self._lock = threading.Lock()
    self._changed = False
    self._probes = self._load()

  def __len__(self) -> int:
    return len(self._probes)

  def get(self, path: str | os.PathLike) -> Probe | None:
    """The stored probe if the file is still the same, else None."""
    return self._probes.get(probe.file_key(path))

  def put(self, found: Probe):
    """Keeps a probe until `save`; broken files are left out."""
    if found.error is None:
      with self._lock:
        self._changed |= self._probes.get(found.key) != found
        self._probes[found.key] = found

  def save(self):
    """Writes the file at one stroke if anything is new.

    Raises:
      OSError: the folder cannot be written.
    """
    with self._lock:
      if not self._changed:
        return
      values = {
          'version': _VERSION,
          'probes': [p.to_dict() for p in self._probes.values()],
      }
      self._changed = False
    self._file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(
        dir=self._file.parent, prefix=self._file.name
    )
    try:
      with os.fdopen(descriptor, 'w') as file:
        json.dump(values, file)
      os.replace(name, self._file)
    except BaseException:
      os.unlink(name)
      raise

  def _load(self) -> dict[str, Probe]:
    try:
      values = json.loads(self._file.read_text())
      if values['version'] != _VERSION:
        return {}
      probes = [Probe.from_dict(v) for v in values['probes']]
    except (OSError, ValueError, TypeError, KeyError):
      return {}
    return {p.key: p for p in probes}


def probe_many(
    paths: Sequence[str | os.PathLike],
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    cache: ProbeCache | None = None,
) -> list[Probe]:
  """Probes files in parallel processes.

  Args:
    paths: files, in any state.
    workers: processes at a time; 0 = one per core.
    progress: called with (files done, files) after each.
    cache: where known results come from and new ones go; saved at the end.

  Returns:
    One Probe per path, in order; look at `error`.
  """

  def one(path) -> Probe:
    known = None if cache is None else cache.get(path)
    if known is not None:
      probe.remember(known)
    found = probe.probe(path)
    if cache is not None:
      cache.put(found)
    return found

  pool = concurrent.futures.ThreadPoolExecutor(workers or os.cpu_count() or 1)
  try:
    futures = [pool.submit(one, path) for path in paths]
    for done, _ in enumerate(concurrent.futures.as_completed(futures), 1):
      if progress:
        progress(done, len(futures))
    return [f.result() for f in futures]
  finally:
    # Also after Ctrl-C: keep what has been found out.
    pool.shutdown(cancel_futures=True)
    if cache is not None:
      cache.save()
