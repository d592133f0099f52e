"""Few-shot video action recognition with a frozen CLIP, in JAX and Flax."""

from collections.abc import Sequence
from typing import Any

__version__ = '0.1.0'


def load(workdir: str):
  """Loads a run folder as a `TrainedModel`: `predict`, `features`, `looks`, ...

  Raises:
    UserError: not a run folder, or nothing trained there yet.
  """
  # Not at the top, since JAX and the networks take seconds to import.
  from evclip_jax.runs import trained_model

  return trained_model.TrainedModel(workdir)


def shift(
    workdir: str,
    reference: str = '',
    lists: str | Sequence[str] = (),
    corruptions: str | Sequence[str] = (),
) -> dict[str, Any]:
  """Analyses how the lists of a finished run differ, and why clips are wrong.

  Args:
    workdir: the folder of a run or a comparison; it gets shift.json, shift.csv
      and shift.html.
    reference: a list that was scored, or 'train'; '' = the first one.
    lists: one or several lists to compare with it; () = all others.
    corruptions: kinds under which to score the reference, or 'all'.

  Returns:
    The contents of shift.json, see docs/shift.md.

  Raises:
    UserError: no evaluation, an unknown list or corruption, one list only.
  """
  from evclip_jax.domain_shift import analyse

  lists, kinds = (
      x.split(',') if x and isinstance(x, str) else x
      for x in (lists, corruptions)
  )
  return analyse.analyse(workdir, reference, lists, kinds)
