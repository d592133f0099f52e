"""What a run writes down: metrics.jsonl, run_card.json, events, progress."""

import datetime
import importlib.util
import json
import os
import pathlib
import platform
import sys
from importlib import metadata
from typing import Any

import jax
from tqdm import tqdm

_PACKAGES = (
    'evclip-jax',
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'orbax-checkpoint',
    'numpy',
    'tensorflow-cpu',
    'tensorflow',
    'tensorflow-datasets',
    'av',
    'decord',
)


def write_json(path: pathlib.Path, value: Any):
  """Writes a file whole or not at all."""
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  temporary.write_text(json.dumps(value, indent=2, sort_keys=False) + '\n')
  os.replace(temporary, path)


class MetricsLog:
  """metrics.jsonl: one JSON object per line, in the order of the steps.

  It holds only what a run computes, no times: two runs with the same config
  write the same bytes, also if one of them was interrupted.
  """

  def __init__(
      self, workdir: pathlib.Path, resume_step: int | None, write: bool
  ):
    """Opens the log, dropping what an interrupted run wrote too much.

    Args:
      workdir: the run folder.
      resume_step: lines after this step are dropped, as they come again; so
        are the final lines of a finished run. None keeps everything.
      write: False on all but one process.
    """
    self._path = pathlib.Path(workdir) / 'metrics.jsonl'
    self._write = write
    self._events = _Events(workdir) if write else None
    if write and resume_step is not None:
      self._truncate(resume_step)

  def add(self, step: int, split: str, **values):
    """Appends one line."""
    if not self._write:
      return
    line = json.dumps({'step': step, 'split': split, **values})
    with self._path.open('a') as f:
      f.write(line + '\n')
    self._events.add(step, split, values)

  def close(self):
    """Flushes the TensorBoard events."""
    if self._events:
      self._events.close()

  def _truncate(self, resume_step: int):
    if not self._path.exists():
      return
    kept = []
    for line in self._path.read_text().splitlines():
      try:
        values = json.loads(line)
      except json.JSONDecodeError:
        continue  # A line cut off by a kill; its step comes again.
      if values['step'] <= resume_step and not values.get('final'):
        kept.append(line)
    temporary = self._path.with_name('.metrics.jsonl')
    temporary.write_text(''.join(line + '\n' for line in kept))
    os.replace(temporary, self._path)


class _Events:
  """TensorBoard events, if the tensorboard package is installed."""

  def __init__(self, workdir: pathlib.Path):
    self._writer = None
    if importlib.util.find_spec('tensorboard') is None:
      return
    from tensorboard.summary.writer import event_file_writer

    self._writer = event_file_writer.EventFileWriter(
        str(pathlib.Path(workdir) / 'tensorboard')
    )

  def add(self, step: int, split: str, values: dict[str, Any]):
    if self._writer is None:
      return
    from tensorboard.compat.proto import event_pb2, summary_pb2

    summary = summary_pb2.Summary(
        value=[
            summary_pb2.Summary.Value(tag=f'{split}/{k}', simple_value=v)
            for k, v in values.items()
            if isinstance(v, (int, float)) and not isinstance(v, bool)
        ]
    )
    now = datetime.datetime.now().timestamp()
    self._writer.add_event(
        event_pb2.Event(step=step, summary=summary, wall_time=now)
    )

  def close(self):
    if self._writer is not None:
      self._writer.close()


def environment() -> dict[str, Any]:
  """Versions and devices, for the run card."""
  versions = {}
  for name in _PACKAGES:
    try:
      versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      continue
  return {
      'python': platform.python_version(),
      'platform': platform.platform(),
      'versions': versions,
      'devices': [str(d) for d in jax.devices()],
      'processes': jax.process_count(),
  }


def is_first() -> bool:
  """Says whether this is the one process, or the first of several."""
  # JAX looks for devices when it is asked, which takes a while.
  return not jax.distributed.is_initialized() or jax.process_index() == 0


def log(message: str):
  """Prints a line for the person at the terminal, above any progress bar."""
  if is_first():
    tqdm.write(message, file=sys.stdout)
    sys.stdout.flush()


def progress(total: int, description: str, initial: int = 0, unit: str = 'it'):
  """A progress bar with rate and ETA on the first process."""
  return tqdm(
      total=total,
      initial=initial,
      desc=description,
      unit=unit,
      dynamic_ncols=True,
      mininterval=1.0 if sys.stderr.isatty() else 10.0,
      disable=not is_first(),
  )
