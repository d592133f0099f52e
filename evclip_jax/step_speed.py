"""How fast the compiled steps run and how much they need."""

import dataclasses
import math
import re
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np

from evclip_jax.training import batch as batch_lib
from evclip_jax.training import devices as sharding
from evclip_jax.training import optimizer as optim
from evclip_jax.training import session
from evclip_jax.training import steps as step

_LEAST_STEPS = 3
# A slow machine does not have to wait for all the steps asked for.
_MOST_SECONDS = 15.0

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


@dataclasses.dataclass(frozen=True)
class StepSpeed:
  """What was measured of one compiled function.

  Attributes:
    trace_seconds: from Python to the compiler's input.
    compile_seconds: the compiler's own time.
    step_ms: {'median', 'p10', 'p90'} over `steps` runs, device-synchronised.
    steps: how many runs were timed, after one to warm up.
    clips_per_second: over all devices, from the median.
    flops: of one step over all devices, by the compiler; None if it does not
      say.
    share_of_peak: of the chip's dense peak; None for an unknown chip.
    program_bytes: per device: arguments, outputs and temporaries together; None
      if the compiler does not say.
  """

  trace_seconds: float
  compile_seconds: float
  step_ms: dict[str, float]
  steps: int
  clips_per_second: float
  flops: float | None
  share_of_peak: float | None
  program_bytes: int | None


def peak_flops(device_kind: str, dtype: str) -> float | None:
  """Dense peak of a chip in FLOP/s, or None where it is not known.

  Args:
    device_kind: what JAX calls the chip, such as 'NVIDIA H100 80GB HBM3'.
    dtype: 'bfloat16' or 'float32'.
  """
  for pattern, bfloat16, float32 in _PEAKS:
    if re.search(pattern, device_kind):
      peak = bfloat16 if dtype == 'bfloat16' else float32
      return None if peak is None else peak * 1e12
  return None


def measure(
    config: ml_collections.ConfigDict, run: session.Session, steps: int
) -> dict[str, StepSpeed]:
  """Times the training step and the evaluation step on a batch of noise.

  Args:
    config: the run's config; batch_size, eval.batch_size or episodes.*, data.*,
      compute.*.
    run: the session; a method with nothing to train has no training step.
    steps: how many runs to time; fewer if they take long, but at least 3.

  Returns:
    {'train': ..., 'evaluate': ...}.
  """
  weights = sharding.put(run.mesh, run.trainable | run.statistics)
  classes = run.classes(weights)
  speeds = {}
  method = run.model.method
  if run.trainable:
    schedule = optim.make_schedule(config.optimizer, config.train.epochs, 1)
    optimizer = optim.make_optimizer(config.optimizer, schedule)
    train_step = step.make_train_step(
        method, optimizer, schedule, run.mesh, run.shardings, config.seed
    )
    batch = _batch(config, run, config.batch_size)
    text = classes
    if method.text_trains:
      text = sharding.put(run.mesh, run.tokens)
    now = run.state(optimizer)
    speeds['train'] = _time(
        train_step,
        lambda now: (now, run.frozen, text, batch),
        lambda out: out[0],
        now,
        steps,
        _clips(batch),
        config.compute.dtype,
    )
  size = config.eval.batch_size or config.batch_size
  batch = _batch(config, run, size)
  speeds['evaluate'] = _time(
      step.make_eval_step(method, run.mesh, run.shardings),
      lambda weights: (weights, run.frozen, classes, batch),
      lambda out: weights,
      weights,
      steps,
      _clips(batch),
      config.compute.dtype,
  )
  return speeds


def memory() -> dict[str, int]:
  """Most bytes used so far: of the host process and, where told, a device."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  # Linux counts in KiB, macOS in bytes.
  used = {'host_peak_bytes': peak * (1 if sys.platform == 'darwin' else 1024)}
  stats = [d.memory_stats() for d in jax.local_devices()]
  peaks = [s['peak_bytes_in_use'] for s in stats if s]
  if peaks:
    used['device_peak_bytes'] = max(peaks)
  return used


def _clips(batch: dict[str, jax.Array]) -> int:
  """Clips in a batch, of episodes or not."""
  return math.prod(batch['video'].shape[:-4])


def _batch(config, run, size: int):
  data, episodes = config.data, config.episodes
  noise = {
      'num_frames': data.num_frames,
      'pixels': data.crop_pixels,
      'num_classes': len(run.class_names),
      'seed': config.seed,
  }
  if run.model.method.episodic:
    sharding.check_batch_size(run.mesh, episodes.per_step, 'episodes.per_step')
    batch = batch_lib.synthetic_episodes(
        episodes.per_step,
        episodes.way,
        episodes.shot,
        episodes.query,
        **noise,
    )
  else:
    sharding.check_batch_size(run.mesh, size)
    batch = batch_lib.synthetic(size, **noise)
  return sharding.put_batch(run.mesh, batch)


def _time(
    function: Callable,
    arguments: Callable[[Any], tuple],
    carry_on: Callable[[Any], Any],
    carry: Any,
    steps: int,
    clips: int,
    dtype: str,
) -> StepSpeed:
  """Compiles and times `function(*arguments(carry))`, step after step."""
  started = time.perf_counter()
  lowered = function.lower(*arguments(carry))
  traced = time.perf_counter()
  compiled = lowered.compile()
  done = time.perf_counter()
  begin = time.perf_counter()
  seconds = []
  for i in range(1 + steps):
    before = time.perf_counter()
    if len(seconds) >= _LEAST_STEPS and before - begin > _MOST_SECONDS:
      break
    out = jax.block_until_ready(compiled(*arguments(carry)))
    # The first run warms caches and allocators up.
    if i:
      seconds.append(time.perf_counter() - before)
    carry = carry_on(out)
  median = float(np.median(seconds))
  # The compiler counts the program of one device.
  flops = _flops(compiled)
  device = jax.devices()[0]
  peak = peak_flops(device.device_kind, dtype)
  devices = len(jax.tree.leaves(out)[0].devices())
  return StepSpeed(
      trace_seconds=traced - started,
      compile_seconds=done - traced,
      step_ms={
          'median': 1e3 * median,
          'p10': 1e3 * float(np.percentile(seconds, 10)),
          'p90': 1e3 * float(np.percentile(seconds, 90)),
      },
      steps=len(seconds),
      clips_per_second=clips / median,
      flops=flops * devices if flops else None,
      share_of_peak=flops / median / peak if flops and peak else None,
      program_bytes=_program_bytes(compiled),
  )


def _flops(compiled) -> float | None:
  costs = compiled.cost_analysis() or {}
  # Some backends answer -1 for what they cannot count.
  flops = costs.get('flops', 0)
  return float(flops) if flops > 0 else None


def _program_bytes(compiled) -> int | None:
  sizes = compiled.memory_analysis()
  if sizes is None:
    return None
  return int(
      sizes.argument_size_in_bytes
      + sizes.output_size_in_bytes
      + sizes.temp_size_in_bytes
      # Outputs that take over the memory of donated arguments.
      - sizes.alias_size_in_bytes
  )
