"""What a compiled step costs: operations, memory, clips per second."""

import collections
import math
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from evclip_jax.training import batch as batches

# In a compiled program: results of what devices do together, and of these the
# bits of a number (none for a boolean) and the shape.
_COLLECTIVE = re.compile(
    r'= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|'
    r'collective-permute)(?:-start)?\('
)
_ARRAY = re.compile(r'[a-z]+(\d*)\[([\d,]*)\]')


class Measured:
  """A jitted step that is called as ever and notes what it costs.

  Its last argument is the batch. It is compiled for the shapes of the first
  batch, and costs are those of that program. Batches of other shapes go through
  `jax.jit` and do not count; weights must stay of one kind.
  """

  def __init__(self, step: Callable, alone: bool = False, parts: int = 1):
    """Wraps a step from `jax.jit`.

    With `alone` calls are waited for and timed alone. Else the time from call
    to call counts, with what lies between: waiting for clips, too. `parts` is
    how often the program repeats its body, which the compiler counts once.
    """
    self._step, self._alone, self._parts = step, alone, parts
    self._shapes, self._last, self._compiled = None, None, None
    self._seconds = collections.deque(maxlen=1000)

  def __call__(self, *given: Any) -> Any:
    """Calls the step."""
    # Scoring what frozen networks saw is not what scoring clips costs.
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
    """Compiles for arrays or their shapes, which then are the usual ones."""
    shapes = jax.tree.map(_shape, given)
    self._compiled = self._step.lower(*shapes).compile()
    self._shapes = shapes
    return self._compiled

  def lower(self, *given: Any) -> jax.stages.Lowered:
    """Lowers the step, as `jax.jit` does."""
    return self._step.lower(*given)

  def costs(self) -> dict[str, float | int | None]:
    """Returns what a call costs; {} if there was none, None what is not known.

    gflops_per_clip by the compiler; program_bytes per device; clips_per_second,
    the median of all calls with the usual shapes but the first.
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
  """Returns the operations of a program over all devices; 0 if unknown.

  Of a `Lowered`, which is of all together (`num_devices` 1), what the compiler
  counts before it makes the program better.
  """
  # The compiler counts one device's part; -1 if it cannot.
  return max(int((compiled.cost_analysis() or {}).get('flops', 0)), 0) * (
      num_devices
  )


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
  """Returns arguments, outputs and temporaries in bytes, on one device."""
  sizes = compiled.memory_analysis()
  return sizes and int(
      sizes.argument_size_in_bytes
      + sizes.output_size_in_bytes
      + sizes.temp_size_in_bytes
      # Outputs that take over the memory of donated arguments.
      - sizes.alias_size_in_bytes
  )


def exchanged_bytes(compiled: jax.stages.Compiled) -> int:
  """Returns the bytes that devices send each other in one call of a program.

  Each result of a collective operation counts once, as large as on one device.
  """
  total = 0
  for results, _ in _COLLECTIVE.findall(compiled.as_text()):
    for bits, shape in _ARRAY.findall(results):
      sizes = [int(n) for n in shape.split(',') if n]
      total += math.prod(sizes) * int(bits or 8) // 8
  return total


def device_bytes(asked_gb: float) -> int | None:
  """Returns the memory of a device in bytes, None where there is no limit.

  `asked_gb` is compute.memory_gb; 0 = what the device says it may use.
  """
  if asked_gb:
    return int(asked_gb * 1e9)
  stats = jax.local_devices()[0].memory_stats() or {}
  return stats.get('bytes_limit')


def rows_that_fit(compiled: jax.stages.Compiled, rows: int, size: int) -> int:
  """Estimates the rows of a batch whose step fits into `size` bytes.

  The compiled one has `rows` on each device, with which temporaries grow.
  """
  sizes = compiled.memory_analysis()
  each = sizes.temp_size_in_bytes / rows
  # Some is always lost between the pieces.
  fixed = program_bytes(compiled) - sizes.temp_size_in_bytes
  return max(int((0.95 * size - fixed) / each), 0)


def _kind(batch: Any) -> Any:
  """Shapes and types of a batch, wherever it lies."""
  return jax.tree.map(lambda x: (x.shape, str(x.dtype)), batch)


def _shape(value: Any) -> jax.ShapeDtypeStruct:
  sharding = getattr(value, 'sharding', None)
  return jax.ShapeDtypeStruct(np.shape(value), value.dtype, sharding=sharding)
