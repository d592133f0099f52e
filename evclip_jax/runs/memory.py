"""Refuses a training step that does not fit into the device's memory."""

from typing import Any

import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.runs import cost_table
from evclip_jax.training import costs, devices


def check(config: ml_collections.ConfigDict, data: Any, loaded: dict):
  """Compiles the training step, unless the device's memory is unknown.

  `data` is the run's `Pipeline`, whose clips need not have been examined yet;
  `loaded` are networks that runs share. UserError, with settings that fit, if
  the step needs more memory than the device has.
  """
  limit = costs.device_bytes(config.compute.memory_gb)
  # With fixed views the step sees features, which are small.
  if limit is None or config.train.bank_views:
    return
  devices.prepare(config)
  run = cost_table.shapes(config, data.class_names, config.mesh.data, loaded)
  total, parts = data.batch_size, config.train.accumulate
  # The run's own program, so that the compilation cache keeps it for the run.
  how = total, parts, data.steps_per_epoch
  lower, _ = cost_table.programs_of(config, run, *how)
  compiled = lower().compile()
  need = costs.program_bytes(compiled)
  if need is None or need <= limit:
    return
  share = total // run.mesh.size
  # The temporaries are those of one part.
  fits = costs.rows_that_fit(compiled, share // parts, limit)
  ways = []
  if fits:
    ways.append(f'{data.batch_key}={fits * parts * run.mesh.size}')
  if fits and run.method.loss_is_a_mean:
    divisors = [n for n in range(1, share + 1) if share % n == 0]
    fewest = next(n for n in divisors if share // n <= fits)
    ways.append(f'train.accumulate={fewest}')
  advice = f'Use {" or ".join(ways)}' if ways else 'Use a smaller clip.name'
  raise UserError(
      f'a training step of {data.batch_key}={total} needs {need / 1e9:.3g} GB '
      f'on each device, which has {limit / 1e9:.3g} GB.\n  {advice}, or '
      'compute.dtype=bfloat16, or compute.remat=True.'
  )
