"""python -m evclip_jax.benchmark --config=FILE[:method] [--data-only]

Measures how fast a config runs on this machine: compile time, step time, clips
per second, FLOPs, share of the chip's peak, memory, and the speed of decoding.
The steps run on noise and need no data; without --config.data.root the clips to
decode are written on the fly. Prints a table and, as the last line, the same as
JSON; --out=FILE.json also writes that to a file.

With --memory-only nothing runs: the training step is only compiled, to say
which batches fit in 16, 24, 40 and 80 GB.

--costs, without a config, counts what methods train and compute on CLIPs of
three sizes, --trunk_costs what EV-CLIP does on each video trunk; neither needs
weights or data. --devices=1,2,4,8, with a config of published networks, counts
what each of so many devices computes, stores and sends in a training step; the
devices need not exist.
"""

import json
from typing import Any

from absl import flags
from ml_collections import config_flags

from data_pipelines import cli, whole_file
from data_pipelines.errors import UserError

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
    'seconds', 3.0, 'How long to time each way of decoding.', lower_bound=0.1
)
_DATA_ONLY = flags.DEFINE_bool('data_only', False, 'Time decoding only.')
flags.DEFINE_alias('data-only', 'data_only')
_COSTS = flags.DEFINE_bool(
    'costs', False, 'Count weights and GFLOPs of methods on several CLIPs.'
)
_MEMORY_ONLY = flags.DEFINE_bool(
    'memory_only', False, 'Compile only, and say which batches fit.'
)
flags.DEFINE_alias('memory-only', 'memory_only')
_TRUNK_COSTS = flags.DEFINE_bool(
    'trunk_costs', False, 'Like --costs, for EV-CLIP on several video trunks.'
)
_DEVICES = flags.DEFINE_list(
    'devices', [], 'Count what a step costs on so many devices: 1,2,4,8.'
)
_OUT = flags.DEFINE_string('out', '', 'A file for the JSON.')


def main(args: list[str]):
  """Measures what the flags ask for, and prints it."""
  if args:
    raise UserError(f'unexpected argument {args[0]!r}; flags begin with --.')
  import jax

  from evclip_jax.config import experiment
  from evclip_jax.reporting import log, tables
  from evclip_jax.runs import cost_table, decode_speed, speed

  config, rows = None, []
  if _COSTS.value or _TRUNK_COSTS.value:
    count = cost_table.rows if _COSTS.value else cost_table.trunk_rows
    rows = count(num_classes=_CLASSES.value)
  else:
    config = experiment.from_flag(_CONFIG, alone=True)
  if config and _DEVICES.value:
    if not all(n.isdecimal() and int(n) for n in _DEVICES.value):
      given = ','.join(_DEVICES.value)
      raise UserError(f'--devices={given}: wanted numbers such as 1,2,4,8.')
    counts = [int(n) for n in _DEVICES.value]
    jax.config.update('jax_platforms', 'cpu')
    jax.config.update('jax_num_cpu_devices', max(counts))
    rows = cost_table.device_rows(config, counts, _CLASSES.value)
  if rows:
    print(tables.as_text(rows) + '\n')
    _finish(rows)
    return
  result = speed.describe(config, flags.FLAGS['config'].config_filename)
  if _MEMORY_ONLY.value:
    result |= cost_table.memory(config, _CLASSES.value)
  elif not _DATA_ONLY.value:
    result |= speed.measure(config, _STEPS.value, _CLASSES.value)
  if not _MEMORY_ONLY.value:
    result['decode'] = decode_speed.measure(config, _SECONDS.value)
  result['memory'] = log.peak_memory()
  print(speed.as_text(result) + '\n')
  _finish(result)


def _finish(result: Any):
  """Prints the JSON and writes it where --out says."""
  line = json.dumps(result)
  if _OUT.value:
    try:
      whole_file.write(_OUT.value, line + '\n')
    except OSError as e:
      raise UserError(
          f'--out={_OUT.value} cannot be written: {e.strerror}.'
      ) from e
  print(line, flush=True)


if __name__ == '__main__':
  cli.use_huge_pages()
  cli.run(main)
