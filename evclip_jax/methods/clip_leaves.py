"""CLIP's own leaves in the checkpoints of methods that train or store them."""

import re
from collections.abc import Mapping

import numpy as np

from evclip_jax.models.clip import sizes
from evclip_jax.weights import clip_names
from evclip_jax.weights.table import Rule

# OpenAI's names that sizes are read from, for checkpoints without them.
_STAND_INS = {
    'text_projection': np.empty((1, 1)),
    'positional_embedding': np.empty((1, 1)),
    'token_embedding.weight': np.empty((1, 1)),
    'transformer.resblocks.0.': np.empty(1),
    'visual.proj': np.empty((1, 1)),
}


def rules(image: str, text: str = '', whole: str = '') -> tuple[Rule, ...]:
  """Returns CLIP's table with other prefixes and targets 'clip/...'.

  Args:
    image: what stands before the names of the image tower, for 'visual.'.
    text: before those of the text tower.
    whole: before 'logit_scale'.
  """
  out = []
  for rule in clip_names.RULES:
    source = rule.original
    if source == 'logit_scale':
      source = re.escape(whole) + source
    elif source.startswith(r'visual\.'):
      source = re.escape(image) + source.removeprefix(r'visual\.')
    else:
      source = re.escape(text) + source
    out.append(Rule(source, 'clip/' + rule.path, rule.layout))
  return tuple(out)


def shapes(
    tensors: Mapping[str, np.ndarray],
    image: str,
    text: str | None = None,
    without: tuple[str, ...] = (),
) -> dict[str, tuple[int, ...]]:
  """Returns the shape of each of CLIP's leaves that a checkpoint should have.

  Args:
    tensors: the checkpoint; others than CLIP's do no harm.
    image, text: prefixes as for `rules`; no text = the image tower only.
    without: paths that such checkpoints lack, such as 'text/token_embedding'.

  Raises:
    WeightsError: the tensors are not those of a CLIP.
  """
  plain = {}
  for name, tensor in tensors.items():
    if name.startswith(image):
      plain['visual.' + name.removeprefix(image)] = tensor
    elif text is not None and name.startswith(text):
      plain[name.removeprefix(text)] = tensor
  stand_ins = dict(_STAND_INS)
  if not any(name.startswith('visual.transformer.') for name in plain):
    del stand_ins['visual.proj']  # a ResNet
  if 'visual.proj' in plain:
    stand_ins['text_projection'] = np.empty((1, plain['visual.proj'].shape[1]))
  if 'transformer.resblocks.0.ln_1.weight' in plain:
    del stand_ins['transformer.resblocks.0.']
  found = clip_names.shapes(sizes.infer(stand_ins | plain))
  branches = ('visual/',) if text is None else ('visual/', 'text/')
  return {
      f'clip/{path}': shape
      for path, shape in found.items()
      if path.startswith(branches) and path not in without
  }
