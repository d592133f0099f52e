"""Measures how fast the compiled steps of a config run and what they need."""

import math
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np

from evclip_jax.reporting import log, tables
from evclip_jax.training import batch as batches
from evclip_jax.training import devices, optimizer, params, session, steps

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


def peak_flops(device_kind: str, dtype: str) -> float | None:
  """Returns the dense peak of a chip in FLOP/s, or None if it is not known.

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
    config: ml_collections.ConfigDict, num_steps: int, num_classes: int
) -> dict[str, Any]:
  """Times the training step and the evaluation step on a batch of noise.

  Args:
    config: batch_size, eval.batch_size or episodes.*, data.*, compute.*.
    num_steps: how many steps to time; fewer if they take long, at least 3.
    num_classes: classes in the batches.

  Returns:
    'devices_used', 'classes', 'parameters', and for 'train' (if the method
    trains anything) and 'evaluate' what `_time` returns.
  """
  names = [f'class {k}' for k in range(num_classes)]
  run = session.start(config, session.build(config, names), names)
  method, weights = run.model.method, run.initial()
  classes = run.classes(weights)
  dtype = config.compute.dtype
  out = {
      'devices_used': int(run.mesh.size),
      'classes': num_classes,
      'parameters': {
          'trainable': params.count(run.trainable),
          'frozen': params.count(run.frozen),
      },
  }
  if run.trainable:
    schedule = optimizer.make_schedule(
        config.optimizer, config.train.epochs, 1
    )
    update = optimizer.make_optimizer(config.optimizer, schedule)
    step = steps.make_train_step(
        method, update, schedule, run.mesh, run.shardings, config.seed
    )
    batch = _noise(config, run, config.batch_size)
    text = classes
    if method.text_trains:
      text = devices.put(run.mesh, run.tokens)
    out['train'] = _time(
        step,
        lambda now: (now, run.frozen, text, batch),
        lambda out: out[0],
        run.state(update),
        num_steps,
        dtype,
    )
  batch = _noise(config, run, config.eval.batch_size or config.batch_size)
  out['evaluate'] = _time(
      run.eval_step,
      lambda weights: (weights, run.frozen, classes, batch),
      lambda out: weights,
      weights,
      num_steps,
      dtype,
  )
  return out


def describe(config: ml_collections.ConfigDict, file: str) -> dict[str, Any]:
  """Returns what is measured and where, for the JSON of a benchmark."""
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
  """Returns what was measured as aligned text.

  Args:
    result: of the benchmark: what `measure`, `decode_speed.measure` (under
      'decode') and `log.peak_memory` (under 'memory') return, 'config',
      'method', 'dtype', 'batch_size', 'num_frames' and `log.environment`.
  """
  rows = {
      'config': f'{result["config"]}, method {result["method"]}',
      'device': f'{len(result["devices"])} x {result["device_kind"]}, jax '
      f'{result["versions"]["jax"]}, {result["dtype"]}',
  }
  if 'parameters' in result:
    rows |= {
        f'{kind} weights': f'{count:,}'
        for kind, count in result['parameters'].items()
    } | {
        'batch': f'{result["batch_size"]} clips of {result["num_frames"]} '
        f'frames, {result["classes"]} classes'
    }
  for name, title in (('train', 'training step'), ('evaluate', 'evaluation')):
    if name in result:
      rows |= {
          f'{title}: {what}': said for what, said in _said(result[name]).items()
      }
  decode = result['decode']
  rows['decode: clips from'] = decode['clips']
  for name, title in (
      ('bare', 'bare decoder'),
      ('frames', 'the frames needed'),
      ('loader', 'training loader'),
  ):
    rows[f'decode: {title}'] = (
        f'{decode[f"{name}_clips_per_second"]:.1f} clips/s on '
        f'{decode["workers"]} workers, '
        f'{decode[f"{name}_clips_per_second_per_core"]:.1f} per core'
    )
  rows['decode: loader keeps'] = (
      f'{decode["loader_share_of_bare"]:.0%} of the bare decoder, '
      f'{decode["loader_share_of_frames"]:.0%} of the frames needed, per core'
  )
  for key, count in result['memory'].items():
    rows[f'peak memory, {key.split("_")[0]}'] = _mebibytes(count)
  return tables.as_text(
      [{'': title, ' ': said} for title, said in rows.items()], header=False
  )


def _said(speed: dict[str, Any]) -> dict[str, str]:
  times = speed['step_ms']
  rows = {
      'compile': f'{speed["compile_seconds"]:.1f} s (and '
      f'{speed["trace_seconds"]:.1f} s to trace)',
      'time': f'{times["median"]:,.1f} ms, the median of {speed["steps"]} '
      f'(p10 {times["p10"]:,.1f}, p90 {times["p90"]:,.1f})',
      'speed': f'{speed["clips_per_second"]:,.1f} clips/s',
  }
  if speed['flops']:
    share = speed['share_of_peak']
    of_peak = f'{share:.1%} of' if share else 'this chip has no known'
    rate = speed['flops'] / times['median'] / 1e9
    rows['FLOPs'] = f'{speed["flops"]:.3e} by the compiler'
    rows['rate'] = f'{rate:.3f} TFLOP/s, {of_peak} peak'
  if speed['program_bytes']:
    rows['memory'] = f'{_mebibytes(speed["program_bytes"])} per device'
  return rows


def _noise(config, run: session.Session, rows: int) -> dict[str, jax.Array]:
  """A batch of noise on the devices."""
  data, episodes = config.data, config.episodes
  size = {
      'num_frames': data.num_frames,
      'pixels': data.crop_pixels,
      'num_classes': len(run.class_names),
      'seed': config.seed,
  }
  if run.model.method.episodic:
    rows = episodes.per_step
    devices.check_batch_size(run.mesh, rows, 'episodes.per_step')
    shape = episodes.way, episodes.shot, episodes.query
    batch = batches.synthetic_episodes(rows, *shape, **size)
  else:
    devices.check_batch_size(run.mesh, rows)
    batch = batches.synthetic(rows, **size)
  return devices.put_batch(run.mesh, batch)


def _time(
    function: Callable,
    arguments: Callable[[Any], tuple],
    carry_on: Callable[[Any], Any],
    carry: Any,
    num_steps: int,
    dtype: str,
) -> dict[str, Any]:
  """Compiles and times `function(*arguments(carry))`, step after step.

  Args:
    function: a jitted step.
    arguments: what it is called with; the batch comes last.
    carry_on: output -> what the next step begins with.
    carry: what the first one begins with.
    num_steps: how many to time, after one to warm up.
    dtype: of the computation.

  Returns:
    trace_seconds (from Python to the compiler's input), compile_seconds,
    step_ms {'median', 'p10', 'p90'} over 'steps' steps, clips_per_second over
    all devices; flops of one step over all devices by the compiler and
    program_bytes per device (arguments, outputs, temporaries), None if it does
    not say; share_of_peak, None for an unknown chip.
  """
  started = time.perf_counter()
  lowered = function.lower(*arguments(carry))
  traced = time.perf_counter()
  compiled = lowered.compile()
  begin = time.perf_counter()
  seconds = []
  for i in range(1 + num_steps):
    before = time.perf_counter()
    if len(seconds) >= _LEAST_STEPS and before - begin > _MOST_SECONDS:
      break
    out = jax.block_until_ready(compiled(*arguments(carry)))
    # The first one warms caches and allocators up.
    if i:
      seconds.append(time.perf_counter() - before)
    carry = carry_on(out)
  median = float(np.median(seconds))
  # Some backends answer -1 for what they cannot count.
  flops = (compiled.cost_analysis() or {}).get('flops', 0)
  # The compiler counts the program of one device.
  flops = float(flops) if flops > 0 else None
  peak = peak_flops(jax.devices()[0].device_kind, dtype)
  num_devices = len(jax.tree.leaves(out)[0].devices())
  clips = math.prod(arguments(carry)[-1]['video'].shape[:-4])
  return {
      'trace_seconds': traced - started,
      'compile_seconds': begin - traced,
      'step_ms': {
          'median': 1e3 * median,
          'p10': 1e3 * float(np.percentile(seconds, 10)),
          'p90': 1e3 * float(np.percentile(seconds, 90)),
      },
      'steps': len(seconds),
      'clips_per_second': clips / median,
      'flops': flops * num_devices if flops else None,
      'share_of_peak': flops / median / peak if flops and peak else None,
      'program_bytes': _program_bytes(compiled.memory_analysis()),
  }


def _program_bytes(sizes: Any) -> int | None:
  if sizes is None:
    return None
  return int(
      sizes.argument_size_in_bytes
      + sizes.output_size_in_bytes
      + sizes.temp_size_in_bytes
      # Outputs that take over the memory of donated arguments.
      - sizes.alias_size_in_bytes
  )


def _mebibytes(count: int) -> str:
  return f'{count / 2**20:,.0f} MiB'
