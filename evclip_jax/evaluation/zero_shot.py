"""Plain CLIP beside a method: what the same clips and texts give untrained."""

import dataclasses

import jax

from evclip_jax.methods import base
from evclip_jax.methods import zero_shot as plain
from evclip_jax.methods.class_texts import fill_templates
from evclip_jax.training.session import Session

Weights = dict[str, jax.Array]
# Where a method has words of its own in place of texts.
_TEMPLATES = plain.Settings().templates


def beside(run: Session, given: bool) -> tuple[Session, Weights] | None:
  """Returns zero-shot CLIP with the networks that a run began with, or None.

  It sees the run's clips as the run's method does and reads the same texts;
  where those hold learned words or nothing but names, 'A video of {}.'. A
  method that trains nothing is its own reference; and where weights that were
  trained elsewhere are `given`, CLIP's own may not be at hand.
  """
  trained = [path for path in run.trainable if path.startswith('clip/')]
  if not run.trainable or run.model.clip is None or given and trained:
    return None
  model = dataclasses.replace(run.model, method=_method(run))
  # Nothing is loaded or placed again but what training changes.
  return dataclasses.replace(run, model=model), run.initial()


def _method(run: Session) -> base.Method:
  """Makes zero-shot CLIP with the run's own pixels and texts."""
  own, clip = run.model.method, run.model.clip
  backbones = base.Backbones(clip, None, num_frames=0)
  other = plain.make(plain.Settings(), backbones, tuple(run.class_names))

  def class_texts(names: list[str]) -> list[list[str]]:
    if not own.text_trains:
      texts = own.class_texts(names)
      if texts[0] != list(names):
        return texts
    return fill_templates(_TEMPLATES, names)

  return dataclasses.replace(
      other, pixels=own.pixels, class_texts=class_texts
  )
