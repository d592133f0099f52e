"""Refuses a training step that does not fit into the device."""

from typing import Any

import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.training import batch as batch_lib
from evclip_jax.training import costs, devices, optimizer, session


def check(
    config: ml_collections.ConfigDict, data: Any, loaded: dict | None = None
):
  """Compiles the training step, unless the device's memory is not known.

  `data` is the run's `Pipeline`, which need not have looked at a clip yet;
  `loaded` are networks that runs share. UserError, with settings that fit, if
  the step needs more than the device has.
  """
  limit = costs.device_bytes(config.compute.memory_gb)
  # With fixed views the step sees features, which are small.
  if limit is None or config.train.bank_views:
    return
  devices.prepare(config)
  run = session.build(config, data.class_names, loaded)
  if not run.trainable:
    return
  total, parts = data.batch_size, config.train.accumulate
  devices.check_batch_size(run.mesh, total, data.batch_key)
  schedule = optimizer.make_schedule(
      config.optimizer, config.train.epochs, data.steps_per_epoch
  )
  update = optimizer.make_optimizer(config.optimizer, schedule)
  state = run.state(update)
  batch = batch_lib.shapes(
      config,
      len(data.class_names),
      total,
      run.method.episodic,
      devices.batched(run.mesh),
  )
  # The run compiles the same program, which the compilation cache keeps.
  step = costs.Measured(run.train_step(update, schedule, config.seed, parts))
  given = state, run.frozen, run.texts(state.weights), batch
  compiled = step.compile(*given)
  need = costs.program_bytes(compiled)
  if need is None or need <= limit:
    return
  share = total // run.mesh.shape['data']
  # The temporaries are those of one part.
  fits = costs.rows_that_fit(compiled, share // parts, limit)
  fit = fits * parts * run.mesh.shape['data']
  ways = [f'{data.batch_key}={fit}'] if fits else []
  if run.method.loss_is_a_mean and fits:
    divisors = [n for n in range(1, share + 1) if share % n == 0]
    ways.append(
        f'train.accumulate={next(n for n in divisors if share // n <= fits)}'
    )
  advice = f'Use {" or ".join(ways)}' if ways else 'Use a smaller clip.name'
  raise UserError(
      f'a training step of {data.batch_key}={total} needs {need / 1e9:.1f} GB '
      f'on each device, which has {limit / 1e9:.1f} GB.\n  {advice}, or '
      'compute.dtype=bfloat16, or compute.remat=True.'
  )
