"""Few-shot video action recognition with a frozen CLIP, in JAX and Flax."""

__version__ = '0.1.0'


def load(workdir: str):
  """Loads a trained run as a `runs.trained_model.TrainedModel`.

  Args:
    workdir: the run folder.

  Returns:
    The model, with `predict`, `features`, `looks`, `classes` and `card`.

  Raises:
    UserError: not a run folder, or nothing trained there yet.
  """
  # JAX and all the networks: not before somebody asks for them.
  from evclip_jax.runs import trained_model

  return trained_model.TrainedModel(workdir)
