"""python -m evclip_jax.benchmark --config=FILE[:method] [--data-only]

How fast a config runs on this machine: compile time, step time, clips per
second, FLOPs, share of the chip's peak, memory, and how fast clips are decoded.
The steps run on noise and need no data; without --config.data.root the clips to
decode are written on the fly. Prints a table and, as the last line, the same as
JSON; --out=FILE.json writes it to a file as well.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from evclip_jax import (
    cli,
    decode_speed,
    params,
    reporting,
    session,
    sharding,
    step_speed,
)
from evclip_jax import config as config_lib
from evclip_jax import model as model_lib
from evclip_jax.errors import UserError

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'Config file, with :method to choose a method.'
)
_STEPS = flags.DEFINE_integer(
    'steps', 20, 'Steps to time, after the warm-up.', lower_bound=1
)
_CLASSES = flags.DEFINE_integer(
    'classes', 101, 'Classes in the batches of noise.', lower_bound=2
)
_SECONDS = flags.DEFINE_float(
    'seconds', 3.0, 'How long each way of decoding is timed.', lower_bound=0.1
)
_DATA_ONLY = flags.DEFINE_bool('data_only', False, 'Time decoding only.')
flags.DEFINE_alias('data-only', 'data_only')
_OUT = flags.DEFINE_string('out', '', 'A file for the JSON.')


def main(args: list[str]):
  """Measures and prints."""
  if args:
    raise UserError(f'unexpected argument {args[0]!r}; flags begin with --.')
  config = cli.config_value(_CONFIG)
  config_lib.check(config)
  result: dict[str, Any] = {
      'config': flags.FLAGS['config'].config_filename,
      'method': config.method.name,
      'clip': config.clip.name,
      'dtype': config.compute.dtype,
      'batch_size': config.batch_size,
      'num_frames': config.data.num_frames,
      **reporting.environment(),
      'device_kind': jax.devices()[0].device_kind,
  }
  if not _DATA_ONLY.value:
    result |= model_speed(config, _STEPS.value, _CLASSES.value)
  result['decode'] = decode_speed.measure(config, _SECONDS.value)
  result['memory'] = step_speed.memory()
  print(table(result) + '\n')
  line = json.dumps(result)
  if _OUT.value:
    try:
      pathlib.Path(_OUT.value).write_text(line + '\n')
    except OSError as e:
      raise UserError(
          f'--out={_OUT.value} cannot be written: {e.strerror}.'
      ) from e
  print(line, flush=True)


def model_speed(config, steps: int, num_classes: int) -> dict[str, Any]:
  """Times the steps of a config's method, on batches of noise."""
  # Before the weights are read, which takes a while.
  sharding.check_batch_size(
      sharding.make_mesh(config.mesh.data), config.batch_size
  )
  model = model_lib.build(config)
  names = [f'class {k}' for k in range(num_classes)]
  run = session.start(config, model, names)
  speeds = step_speed.measure(config, run, steps)
  return {
      'devices_used': int(run.mesh.size),
      'classes': num_classes,
      'parameters': {
          'trainable': params.count(run.trainable),
          'frozen': params.count(run.frozen),
      },
      **{name: dataclasses.asdict(s) for name, s in speeds.items()},
  }


def table(result: dict[str, Any]) -> str:
  """The measurements as aligned text."""
  versions = result['versions']
  rows = [
      ('config', f'{result["config"]}, method {result["method"]}'),
      (
          'device',
          f'{len(result["devices"])} x {result["device_kind"]}, '
          f'jax {versions["jax"]}, {result["dtype"]}',
      ),
  ]
  if 'parameters' in result:
    counts = result['parameters']
    rows += [
        ('trainable weights', f'{counts["trainable"]:,}'),
        ('frozen weights', f'{counts["frozen"]:,}'),
        (
            'batch',
            f'{result["batch_size"]} clips of {result["num_frames"]} frames, '
            f'{result["classes"]} classes',
        ),
    ]
  for name, title in (('train', 'training step'), ('evaluate', 'evaluation')):
    if name in result:
      rows += [('', ''), *_speed_rows(title, result[name])]
  rows += [('', ''), *_decode_rows(result['decode'])]
  for key, title in (
      ('host_peak_bytes', 'peak memory, host process'),
      ('device_peak_bytes', 'peak memory, device'),
  ):
    if key in result['memory']:
      rows.append((title, _bytes(result['memory'][key])))
  wide = max(len(title) for title, _ in rows)
  lines = [f'{title:<{wide}}  {value}'.rstrip() for title, value in rows]
  return '\n'.join(lines)


def _speed_rows(title: str, speed: dict[str, Any]) -> list[tuple[str, str]]:
  times = speed['step_ms']
  rows = [
      (
          f'{title}: compile',
          f'{speed["compile_seconds"]:.1f} s '
          f'(and {speed["trace_seconds"]:.1f} s to trace)',
      ),
      (
          f'{title}: time',
          f'{times["median"]:,.1f} ms, the median of {speed["steps"]} '
          f'(p10 {times["p10"]:,.1f}, p90 {times["p90"]:,.1f})',
      ),
      (f'{title}: speed', f'{speed["clips_per_second"]:,.1f} clips/s'),
  ]
  if speed['flops']:
    rate = speed['flops'] / times['median'] * 1e3
    share = speed['share_of_peak']
    rows += [
        (f'{title}: FLOPs', f'{speed["flops"]:.3e} by the compiler'),
        (
            f'{title}: rate',
            f'{rate / 1e12:.3f} TFLOP/s, '
            + (f'{share:.1%} of' if share else 'this chip has no known')
            + ' peak',
        ),
    ]
  if speed['program_bytes']:
    rows.append(
        (f'{title}: memory', f'{_bytes(speed["program_bytes"])} per device')
    )
  return rows


def _decode_rows(decode: dict[str, Any]) -> list[tuple[str, str]]:
  return [
      ('decode: clips from', decode['clips']),
      (
          'decode: bare decoder',
          f'{decode["bare_clips_per_second_per_core"]:.1f} clips/s per core',
      ),
      (
          'decode: training loader',
          f'{decode["loader_clips_per_second"]:.1f} clips/s on '
          f'{decode["workers"]} workers, '
          f'{decode["loader_clips_per_second_per_core"]:.1f} per core, '
          f'{decode["loader_share_of_bare"]:.0%} of the bare decoder',
      ),
  ]


def _bytes(count: int) -> str:
  return f'{count / 2**20:,.0f} MiB'


if __name__ == '__main__':
  cli.run(main)
