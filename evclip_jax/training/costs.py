"""Measures what a compiled step costs: FLOPs, memory, clips per second."""

import collections
import math
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from evclip_jax.training import batch as batches

# In the text of a compiled program: results of collective operations; in these,
# bits per number (none for booleans) and shape.
_COLLECTIVE = re.compile(
    r'= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|'
    r'collective-permute)(?:-start)?\('
)
_ARRAY = re.compile(r'[a-z]+(\d*)\[([\d,]*)\]')


class Measured:
  """Wraps a jitted step and measures what its calls cost.

  The last argument of the step is the batch. The step is compiled for the
  shapes of the first batch, and that program's costs are measured. Batches of
  other shapes go through `jax.jit` and do not count; shapes and types of the
  weights must not change.
  """

  def __init__(self, step: Callable, alone: bool = False, parts: int = 1):
    """Wraps a step made by `jax.jit`.

    With `alone`, each call is waited for and timed by itself. Otherwise, the
    time from call to call counts, including that of waiting for clips. `parts`
    is how often the program loops over its body, which the compiler counts
    once.
    """
    self._step, self._alone, self._parts = step, alone, parts
    self._shapes, self._last, self._compiled = None, None, None
    self._seconds = collections.deque(maxlen=1000)

  def __call__(self, *given: Any) -> Any:
    """Calls the step."""
    # Scoring cached features costs less than scoring clips.
    if self._alone and 'frozen' in given[-1]:
      return self._step(*given)
    if self._compiled is None:
      self.compile(*given)
    if _kind(given[-1]) != _kind(self._shapes[-1]):
      return self._step(*given)
    step = self._compiled
    began = time.perf_counter()
    if not self._alone:
      if self._last is not None:
        self._seconds.append(began - self._last)
      self._last = began
      return step(*given)
    out = jax.block_until_ready(step(*given))
    self._seconds.append(time.perf_counter() - began)
    return out

  def compile(self, *given: Any) -> jax.stages.Compiled:
    """Compiles for arrays or their shapes, whose costs are then measured."""
    shapes = jax.tree.map(_shape, given)
    self._compiled = self._step.lower(*shapes).compile()
    self._shapes = shapes
    return self._compiled

  def lower(self, *given: Any) -> jax.stages.Lowered:
    """Lowers the step, as `jax.jit` does."""
    return self._step.lower(*given)

  def costs(self) -> dict[str, float | int | None]:
    """Returns the costs of a call; {} if none was made, None if unknown.

    gflops_per_clip as the compiler counts; program_bytes per device;
    clips_per_second, the median of the measured calls except the first.
    """
    if self._compiled is None:
      return {}
    batch = self._shapes[-1]
    clips = batches.count(batch)
    devices = batch['mask'].sharding.num_devices
    flops = flops_of(self._compiled, devices) * self._parts
    times = list(self._seconds)[1:]
    return {
        'gflops_per_clip': flops / clips / 1e9 or None,
        'program_bytes': program_bytes(self._compiled),
        'clips_per_second': clips / float(np.median(times))
        if len(times)
        else None,
    }


def flops_of(compiled: Any, num_devices: int) -> int:
  """Returns the FLOPs of a program over all devices; 0 if unknown.

  For a `Lowered`, which is for all devices together (`num_devices` 1), these
  are the FLOPs before optimisation.
  """
  # The compiler counts those of one device; -1 if it cannot.
  return max(int((compiled.cost_analysis() or {}).get('flops', 0)), 0) * (
      num_devices
  )


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
  """Returns the bytes of arguments, outputs and temporaries on one device."""
  sizes = compiled.memory_analysis()
  return sizes and int(
      sizes.argument_size_in_bytes
      + sizes.output_size_in_bytes
      + sizes.temp_size_in_bytes
      # Outputs that reuse the memory of donated arguments.
      - sizes.alias_size_in_bytes
  )


def exchanged_bytes(compiled: jax.stages.Compiled) -> int:
  """Returns the bytes that devices exchange in one call of a program.

  Each result of a collective operation counts once, with its size on a device.
  """
  total = 0
  for results, _ in _COLLECTIVE.findall(compiled.as_text()):
    for bits, shape in _ARRAY.findall(results):
      sizes = [int(n) for n in shape.split(',') if n]
      total += math.prod(sizes) * int(bits or 8) // 8
  return total


def device_bytes(asked_gb: float) -> int | None:
  """Returns the memory limit of a device in bytes; None = no limit known.

  `asked_gb` is compute.memory_gb; 0 = the limit that the device reports.
  """
  if asked_gb:
    return int(asked_gb * 1e9)
  stats = jax.local_devices()[0].memory_stats() or {}
  return stats.get('bytes_limit')


def rows_that_fit(compiled: jax.stages.Compiled, rows: int, size: int) -> int:
  """Estimates how many rows per device fit into `size` bytes.

  The compiled step has `rows` per device; temporaries grow in proportion.
  """
  sizes = compiled.memory_analysis()
  each = sizes.temp_size_in_bytes / rows
  # 5 % for fragmentation.
  fixed = program_bytes(compiled) - sizes.temp_size_in_bytes
  return max(int((0.95 * size - fixed) / each), 0)


def _kind(batch: Any) -> Any:
  """Shapes and types of a batch, regardless of its devices."""
  return jax.tree.map(lambda x: (x.shape, str(x.dtype)), batch)


def _shape(value: Any) -> jax.ShapeDtypeStruct:
  sharding = getattr(value, 'sharding', None)
  return jax.ShapeDtypeStruct(np.shape(value), value.dtype, sharding=sharding)
