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

from data_pipelines import cli
from data_pipelines.errors import UserError
from evclip_jax import decode_speed, speed_table, step_speed
from evclip_jax.config import experiment
from evclip_jax.reporting import log
from evclip_jax.training import params, session

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
  config = experiment.from_flag(_CONFIG)
  result: dict[str, Any] = {
      'config': flags.FLAGS['config'].config_filename,
      'method': config.method.name,
      'clip': config.clip.name,
      'dtype': config.compute.dtype,
      'batch_size': config.batch_size,
      'num_frames': config.data.num_frames,
      **log.environment(),
      'device_kind': jax.devices()[0].device_kind,
  }
  if not _DATA_ONLY.value:
    result |= model_speed(config, _STEPS.value, _CLASSES.value)
  result['decode'] = decode_speed.measure(config, _SECONDS.value)
  result['memory'] = step_speed.memory()
  print(speed_table.table(result) + '\n')
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
  names = [f'class {k}' for k in range(num_classes)]
  model = session.build(config, names)
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


if __name__ == '__main__':
  cli.run(main)
