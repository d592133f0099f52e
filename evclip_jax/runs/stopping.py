"""Stops a run after SIGTERM or Ctrl-C, once its state is saved."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental import multihost_utils


class Stopped(KeyboardInterrupt):
  """Says that a run was asked to stop and did, with its state saved.

  `status` is the exit status: 128 plus the number of the signal.
  """

  def __init__(self, number: int, message: str):
    super().__init__(message)
    self.status = 128 + number


class Stopping:
  """Notes the first SIGTERM or Ctrl-C as `signal`; a second one ends at once.

  `step` is the last step done.
  """

  def __init__(self, total_steps: int):
    """Prepares; signals are noted only while this is entered."""
    self.step, self.signal, self._total = 0, None, total_steps
    # Several processes stop together after a step; JAX notes their SIGTERM.
    self._several = jax.process_count() > 1
    self._previous = {}

  def __enter__(self):
    # Only the main thread may handle signals.
    if threading.current_thread() is threading.main_thread():
      caught = {signal.SIGTERM: self._note, signal.SIGINT: self._note}
      if self._several:
        caught = {signal.SIGINT: self._pass_on}
      for number, handler in caught.items():
        self._previous[number] = signal.signal(number, handler)
    return self

  def __exit__(self, *unused):
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def reached(self) -> bool:
    """Says whether to stop after this step; the same in all processes."""
    if self._several and multihost_utils.reached_preemption_sync_point(
        self.step
    ):
      self.signal = signal.SIGTERM
    return self.signal is not None

  def stop(self):
    """Raises Stopped."""
    raise Stopped(
        self.signal,
        f'stopped after step {self.step} of {self._total}; it is saved. '
        'Continue with the same command.',
    )

  def _note(self, number, frame):
    self.signal = number
    # Not by print, which this may have interrupted.
    os.write(2, b'\nstopping after this step; repeat to stop at once\n')
    for number in self._previous:
      signal.signal(number, signal.SIG_DFL)

  def _pass_on(self, number, frame):
    os.write(2, b'\nstopping soon; repeat to stop at once\n')
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


class Stoppable:
  """Wraps a list so that its batches raise Stopped once a signal has come."""

  def __init__(self, listed: Any, stopping: Stopping):
    """Wraps an `EvalSet` and passes on its other attributes."""
    self._listed, self._stopping = listed, stopping

  def __getattr__(self, name: str) -> Any:
    return getattr(self._listed, name)

  def batches(self) -> Iterator[dict[str, Any]]:
    """Yields the batches of clips until a signal comes."""
    return self._until_stopped(self._listed.batches())

  def episode_batches(self) -> Iterator[dict[str, Any]]:
    """Yields the batches of episodes until a signal comes."""
    return self._until_stopped(self._listed.episode_batches())

  def _until_stopped(self, batches):
    with contextlib.closing(batches):
      for batch in batches:
        if self._stopping.signal:
          self._stopping.stop()
        yield batch
