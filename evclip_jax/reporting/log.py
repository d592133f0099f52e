"""Logs a run: metrics.jsonl, TensorBoard, lines and progress bars."""

import contextlib
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
from importlib import metadata
from typing import Any

from tqdm import tqdm

from data_pipelines import whole_file

_PACKAGES = (
    'evclip-jax jax jaxlib flax optax orbax-checkpoint numpy tensorflow-cpu '
    'tensorflow tensorflow-datasets av decord opencv-python-headless'
)


class MetricsLog:
  """Writes metrics.jsonl: one JSON object per line, in the order of the steps.

  It holds only what a run computes, not when: two runs with the same config
  write the same bytes, even if one of them was interrupted.
  """

  def __init__(self, workdir: pathlib.Path, resume_step: int | None):
    """Opens the log and drops the lines that a resumed run writes again.

    These come after `resume_step`, or are the final ones of a finished run;
    None keeps all lines. If tensorboardX is installed, it gets the numbers too.
    """
    self._path = pathlib.Path(workdir) / 'metrics.jsonl'
    self._write = is_first()
    self._events = None
    if self._write and resume_step is not None:
      self._truncate(resume_step)
    if self._write and importlib.util.find_spec('tensorboardX'):
      import tensorboardX

      events = str(pathlib.Path(workdir) / 'tensorboard')
      self._events = tensorboardX.SummaryWriter(events)
      log(f'TensorBoard is on: tensorboard --logdir={events}')

  def add(self, step: int, split: str, **values):
    """Appends one line."""
    if not self._write:
      return
    line = json.dumps({'step': step, 'split': split, **values})
    with self._path.open('a') as f:
      f.write(line + '\n')
    for name, value in values.items():
      # Numbers only: not 'final', a bool, and no texts.
      if self._events and type(value) in (int, float):
        self._events.add_scalar(f'{split}/{name}', value, step)

  def close(self):
    """Writes the last TensorBoard events."""
    if self._events:
      self._events.close()

  def _truncate(self, resume_step: int):
    if not self._path.exists():
      return
    kept = []
    for line in self._path.read_text().splitlines():
      # A line that was cut off is written again with its step.
      with contextlib.suppress(json.JSONDecodeError):
        values = json.loads(line)
        if values['step'] <= resume_step and not values.get('final'):
          kept.append(line)
    whole_file.write(self._path, ''.join(line + '\n' for line in kept))


def environment() -> dict[str, Any]:
  """Returns command, versions, devices and peak memory, for the run card."""
  import jax

  versions = {}
  for name in _PACKAGES.split():
    with contextlib.suppress(metadata.PackageNotFoundError):
      versions[name] = metadata.version(name)
  return {
      'command': [os.path.basename(sys.executable), *sys.orig_argv[1:]],
      'commit': _commit(),
      'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
      'python': platform.python_version(),
      'platform': platform.platform(),
      'versions': versions,
      'devices': [str(d) for d in jax.devices()],
      'processes': jax.process_count(),
      'memory': peak_memory(),
  }


def peak_memory() -> dict[str, int]:
  """Returns the most bytes used so far by the host process and by a device."""
  import jax

  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  # Linux counts in KiB, macOS in bytes.
  used = {'host_peak_bytes': peak * (1 if sys.platform == 'darwin' else 1024)}
  stats = [d.memory_stats() for d in jax.local_devices()]
  # CPUs have no such statistics.
  if peaks := [s['peak_bytes_in_use'] for s in stats if s]:
    used['device_peak_bytes'] = max(peaks)
  return used


def log(message: str):
  """Prints a line for the person at the terminal, above any progress bar."""
  if is_first():
    tqdm.write(message, file=sys.stdout)
    sys.stdout.flush()


def progress(total: int, description: str, initial: int = 0, unit: str = 'it'):
  """Returns a progress bar with rate and time left, on the first process."""
  return tqdm(
      total=total,
      initial=initial,
      desc=description,
      unit=unit,
      dynamic_ncols=True,
      mininterval=1.0 if sys.stderr.isatty() else 10.0,
      disable=not is_first(),
  )


def is_first() -> bool:
  """Says whether this is the one process, or the first of several."""
  jax = sys.modules.get('jax')
  # jax.process_index() alone would look for devices, which takes a while.
  alone = jax is None or not jax.distributed.is_initialized()
  return alone or jax.process_index() == 0


def _commit() -> str | None:
  """Returns the git commit of this code, with '+' if it was edited since."""

  def git(*words):
    command = ['git', '-C', os.path.dirname(__file__), *words]
    return subprocess.run(command, capture_output=True, text=True).stdout

  try:
    # None in a repository in which this is merely installed.
    if not git('ls-files', os.path.basename(__file__)):
      return None
    edited = git('status', '--porcelain', '--untracked-files=no')
    return git('rev-parse', 'HEAD').strip() + ('+' if edited else '')
  except OSError:
    return None
