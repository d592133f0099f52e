"""Which model a weight file is of, by the names of its tensors."""

from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import WeightsError

# The value of 'format' in the metadata of files this project writes.
OWN_FORMAT = 'evclip_jax'

LABELS = {
    'openai-clip': "CLIP in OpenAI's naming",
    'open-clip': "CLIP in open_clip's naming",
    'huggingface-clip': "CLIP in Hugging Face's naming",
    'scenic-clip': "CLIP in Scenic's naming",
    'omnivore': 'an Omnivore video trunk',
    'trained': 'weights trained by this project',
    'evclip-jax': 'weights converted by this project',
}


def identify(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> str:
  """The kind of weights, a key of `LABELS`.

  Args:
    tensors: names as in the file.
    metadata: that of a .safetensors file.

  Raises:
    WeightsError: for anything else; shows some names.
  """
  if (metadata or {}).get('format') == OWN_FORMAT:
    return 'evclip-jax'
  # As `evclip_jax.export` writes them.
  if (metadata or {}).get('kind') == 'trained':
    return 'trained'
  for kind, known in _SIGNATURES.items():
    if known(tensors):
      return kind
  shown = ', '.join(
      f'{name} {tuple(np.shape(t))}' for name, t in list(tensors.items())[:4]
  )
  raise WeightsError(
      f'its {len(tensors)} tensors ({shown}, ...) are of no model this project '
      f'knows.\n  Wanted {", ".join(LABELS.values())}.'
  )


def _is_huggingface(tensors) -> bool:
  return any(
      name.startswith(('text_model.embeddings.', 'vision_model.embeddings.'))
      for name in tensors
  )


def _is_scenic(tensors) -> bool:
  return 'params/visual/conv1/kernel' in tensors


def _is_open_clip(tensors) -> bool:
  return 'visual.conv1.weight' in tensors and (
      'text.token_embedding.weight' in tensors or 'attn_mask' in tensors
  )


def _is_openai(tensors) -> bool:
  return {'visual.conv1.weight', 'token_embedding.weight'} <= tensors.keys()


def _is_omnivore(tensors) -> bool:
  for prefix in ('', 'trunk.'):
    patches = tensors.get(f'{prefix}patch_embed.proj.weight')
    # Swin for pictures has the same names but 2-D patches.
    if patches is not None and np.ndim(patches) == 5:
      return True
  return False


# The first that holds.
_SIGNATURES = {
    'huggingface-clip': _is_huggingface,
    'scenic-clip': _is_scenic,
    'open-clip': _is_open_clip,
    'openai-clip': _is_openai,
    'omnivore': _is_omnivore,
}
