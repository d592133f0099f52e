"""Measures the speed and memory of a config's compiled steps."""

import re
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from flax.traverse_util import flatten_dict

from evclip_jax.reporting import log, tables
from evclip_jax.training import batch as batches
from evclip_jax.training import costs, devices, params, session

_LEAST_STEPS = 3
# After this long, a slow machine skips the rest of the steps.
_MOST_SECONDS = 15.0
# Keys of the JSON that the text leaves out.
_ABOUT = ('command', 'commit', 'platform', 'versions', 'devices')

# Pattern of `device_kind` -> dense peak in 1e12 FLOP/s per chip: (bfloat16,
# float32 as JAX multiplies it by default: TF32 on GPUs that have it, bfloat16
# passes on TPUs). The first match counts. Sources: the vendors' data sheets,
# without the doubling for sparse matrices.
_PEAKS: tuple[tuple[str, float | None, float | None], ...] = (
    (r'\bH[12]00 NVL', 835.0, 417.5),
    (r'\bH200\b', 989.0, 494.5),
    (r'\bH100 PCIe', 756.0, 378.0),
    (r'\bH100\b', 989.0, 494.5),
    (r'\bA100\b', 312.0, 156.0),
    (r'\bL4\b', 121.0, 60.5),
    (r'\bT4\b', None, 8.1),
    (r'\bV100-SXM', None, 15.7),
    (r'\bV100-PCIE', None, 14.0),
    (r'\bTPU v6', 918.0, 918.0),
    (r'\bTPU v5 ?(lite|e)', 197.0, 197.0),
    (r'\bTPU v5', 459.0, 459.0),
    (r'\bTPU v4$', 275.0, 275.0),
)


def peak_flops(device_kind: str, dtype: str) -> float | None:
  """Returns the dense peak of a chip in FLOP/s, or None if it is not known."""
  for pattern, bfloat16, float32 in _PEAKS:
    if re.search(pattern, device_kind):
      peak = bfloat16 if dtype == 'bfloat16' else float32
      return None if peak is None else peak * 1e12
  return None


def measure(
    config: ml_collections.ConfigDict, num_steps: int, num_classes: int
) -> dict[str, Any]:
  """Times the training step and the networks alone on batches of noise.

  At least 3 of `num_steps` are timed, however long they take. The result has
  'evaluate' and, if the method trains anything, 'train', as `_time` returns.
  """
  names = [f'class {k}' for k in range(num_classes)]
  run = session.build(config, names)
  weights = run.initial()
  limits = num_steps, config.compute.dtype
  out = {
      'devices_used': int(run.mesh.size),
      'classes': num_classes,
      'parameters': {
          'trainable': params.count(run.trainable),
          'frozen': params.count(run.frozen),
      },
  }
  if run.trainable:
    optimizer, step = run.train_step(config)
    batch = _noise(config, run, config.batch_size)
    given = run.state(optimizer), run.frozen, run.texts(weights), batch
    out['train'] = _time(step, given, lambda out: out[0], *limits)
  batch = _noise(config, run, config.eval.batch_size or config.batch_size)
  given = weights, run.frozen, batch
  out['evaluate'] = _time(run.see_step, given, lambda out: weights, *limits)
  return out


def describe(config: ml_collections.ConfigDict, file: str) -> dict[str, Any]:
  """Describes what is measured and where, for a benchmark's JSON."""
  return {
      'config': file,
      'method': config.method.name,
      'clip': config.clip.name,
      'dtype': config.compute.dtype,
      'batch_size': config.batch_size,
      'num_frames': config.data.num_frames,
      **log.environment(),
      'device_kind': jax.devices()[0].device_kind,
  }


def as_text(result: dict[str, Any]) -> str:
  """Returns the numbers of a benchmark's JSON as aligned text."""
  shown = {k: v for k, v in result.items() if k not in _ABOUT}
  rows = [
      {'': name.replace('_', ' '), ' ': tables.cell(value)}
      for name, value in flatten_dict(shown, sep=' ').items()
      if value is not None
  ]
  return tables.as_text(rows, header=False)


def _noise(config, run: session.Session, rows: int) -> dict[str, jax.Array]:
  """Makes a batch of noise on the devices."""
  episodic, key = run.method.episodic, 'batch_size'
  if episodic:
    rows, key = config.episodes.per_step, 'episodes.per_step'
  devices.check_batch_size(run.mesh, rows, key)
  batch = batches.noise(config, len(run.class_names), rows, episodic)
  return devices.put_batch(run.mesh, batch)


def _time(
    function: Callable,
    given: tuple,
    carry_on: Callable[[Any], Any],
    num_steps: int,
    dtype: str,
) -> dict[str, Any]:
  """Times a step (carry, ..., batch); `carry_on` makes the next carry."""
  clock, (carry, *rest) = time.perf_counter, given
  started = clock()
  lowered = function.lower(*given)
  traced = clock()
  compiled = lowered.compile()
  begin = clock()
  seconds = []
  for _ in range(1 + num_steps):
    before = clock()
    if len(seconds) > _LEAST_STEPS and before - begin > _MOST_SECONDS:
      break
    out = jax.block_until_ready(compiled(carry, *rest))
    seconds.append(clock() - before)
    carry = carry_on(out)
  # The first step warms up caches and allocators.
  p10, median, p90 = np.percentile(seconds[1:], (10, 50, 90)).tolist()
  peak = peak_flops(jax.devices()[0].device_kind, dtype)
  num_devices = len(jax.tree.leaves(out)[0].devices())
  flops = costs.flops_of(compiled, num_devices)
  return {
      'trace_seconds': traced - started,
      'compile_seconds': begin - traced,
      'step_ms': {'median': 1e3 * median, 'p10': 1e3 * p10, 'p90': 1e3 * p90},
      'steps': len(seconds) - 1,
      'clips_per_second': batches.count(rest[-1]) / median,
      'flops': flops or None,
      'share_of_peak': flops / num_devices / median / peak
      if flops and peak
      else None,
      'program_bytes': costs.program_bytes(compiled),
  }
