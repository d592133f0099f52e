"""Converts EZ-CLIP's checkpoints: trained leaves and a frozen CLIP."""

import dataclasses
import json
import re
from collections.abc import Mapping

import jax
import numpy as np

from data_pipelines.errors import WeightsError
from evclip_jax.methods.ez_clip.towers import AdaptedTowers
from evclip_jax.methods.original_checkpoint import Checkpoint
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.weights import clip_names, table
from evclip_jax.weights.table import Converted, Rule, dense

_PROMPTS = 'visual.transformer.T_prompt_embeddings'
EMBEDDING = 'visual.temporal_embedding'
_BLOCK = r'transformer\.resblocks\.(\d{1,3})\.'
_FC = r'\.(D_fc1|D_fc2)'
RULES = (
    Rule(re.escape(_PROMPTS), 'temporal_prompts'),
    Rule(re.escape(EMBEDDING), 'temporal_embedding'),
    *dense(r'visual\.' + _BLOCK + 'Adapter' + _FC, r'image/adapter.\1/\2'),
    *dense(r'visual\.' + _BLOCK + 'T_Adapter' + _FC, r'time/adapter.\1/\2'),
    *dense(_BLOCK + 'Adapter' + _FC, r'text/adapter.\1/\2'),
)
# The rest of a checkpoint is a CLIP.
IGNORE = (*(rule.original for rule in clip_names.RULES), *clip_names.IGNORE)


@dataclasses.dataclass(frozen=True)
class AdapterSizes:
  """Holds the sizes of a checkpoint's trained leaves.

  Attributes:
    vision_width, vision_layers, text_width, text_layers: of CLIP's towers.
    temporal: 'deep', 'shallow', 'adapter' or 'none'.
    num_frames: T; None if no tensor contains it.
    temporal_embedding: whether there is one that is not zero.
  """

  vision_width: int
  vision_layers: int
  text_width: int
  text_layers: int
  temporal: str
  num_frames: int | None
  temporal_embedding: bool


def from_original(tensors: Mapping[str, np.ndarray]) -> Converted:
  """Converts the trained leaves of a checkpoint.

  The frozen CLIP is left out, and so is a temporal embedding of zeros, which
  every checkpoint of the original has.

  Raises:
    WeightsError: the tensors are not exactly the original's.
  """
  sizes = infer(tensors)
  ignore = IGNORE
  if not sizes.temporal_embedding:
    ignore += (re.escape(EMBEDDING),)
  return table.convert(tensors, RULES, ignore, shapes(sizes), sizes)


def to_original(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns all or some leaves with the original's names and layout."""
  return table.to_original(flat, RULES)


def to_checkpoint(
    flat: Mapping[str, np.ndarray],
    notes: Mapping[str, str],
    clip: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
  """Writes trained leaves as a checkpoint of the original.

  Args:
    flat: leaves by path, 'method/...'.
    notes: 'num_frames' or 'sizes' give T, if no tensor contains it.
    clip: the frozen CLIP, path without the leading 'clip/' -> array; None =
      write only the trained tensors.

  Returns:
    Original name -> array in the original's layout. The temporal embedding is
    zeros if the run has none, and is missing if T is unknown.

  Raises:
    WeightsError: the weights do not fit the CLIP, or need T, which is unknown.
  """
  state = to_original({p.removeprefix('method/'): x for p, x in flat.items()})
  sizes = infer(state)
  noted = json.loads(notes.get('sizes', 'null')) or {}
  noted = notes.get('num_frames') or noted.get('num_frames') or 0
  num_frames = sizes.num_frames or int(noted)
  if num_frames and EMBEDDING not in state:
    shape = (1, num_frames, sizes.vision_width)
    state[EMBEDDING] = np.zeros(shape, np.float32)
  if clip is None:
    return state
  if not num_frames:
    raise WeightsError(
        'the file does not say how many frames it is for, which a whole '
        'checkpoint needs: export the run again with this version.'
    )
  found = clip_names.sizes_of(clip)
  for name in ('vision_width', 'vision_layers', 'text_width', 'text_layers'):
    theirs, ours = getattr(found, name), getattr(sizes, name)
    if theirs != ours:
      raise WeightsError(
          f'{name} of the CLIP is {theirs}, but the trained weights are for '
          f'{ours}.'
      )
  return clip_names.to_original(clip) | state


CHECKPOINT = Checkpoint(
    'ez-clip',
    'an EZ-CLIP checkpoint',
    sign=r'.*resblocks\.0\.Adapter\.D_fc1\.weight',
    read=from_original,
    write=to_checkpoint,
)


def infer(tensors: Mapping[str, np.ndarray]) -> AdapterSizes:
  """Infers the variant of EZ-CLIP, and for which CLIP and T it is.

  Raises:
    WeightsError: these are no weights of EZ-CLIP.
  """

  def shape(name, axes):
    found = np.shape(tensors[name])
    if len(found) != axes or 0 in found:
      raise WeightsError(
          f'the tensor {name!r} is {found}; wanted {axes} axes, none of length '
          '0.'
      )
    return found

  def tower(prefix):
    pattern = re.compile(re.escape(prefix) + _BLOCK + r'Adapter\..*')
    layers = {int(m[1]) for name in tensors if (m := pattern.fullmatch(name))}
    first = f'{prefix}transformer.resblocks.0.Adapter.D_fc2.bias'
    if first not in tensors:
      raise WeightsError(
          f'these are no EZ-CLIP weights: no tensor is called {first!r}.'
      )
    return *shape(first, 1), max(layers) + 1

  image, text = tower('visual.'), tower('')
  temporal, num_frames = 'none', None
  if _PROMPTS in tensors:
    count, num_frames, _ = shape(_PROMPTS, 3)
    temporal = 'shallow' if count == 1 < image[1] else 'deep'
  elif any('.T_Adapter.' in name for name in tensors):
    temporal = 'adapter'
  moved = False
  if EMBEDDING in tensors:
    frames = shape(EMBEDDING, 3)[1]
    moved = bool(np.any(tensors[EMBEDDING]))
    if moved or num_frames is None:
      num_frames = frames
  return AdapterSizes(*image, *text, temporal, num_frames, moved)


def shapes(sizes: AdapterSizes) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every leaf of the method's tree, by path."""
  towers = AdaptedTowers(
      clip_sizes.vit(
          sizes.vision_width,
          sizes.vision_layers,
          patch=1,
          embed_dim=1,
          text_width=sizes.text_width,
          text_layers=sizes.text_layers,
      ),
      sizes.num_frames or 1,
      sizes,
  )
  return table.leaf_shapes(jax.eval_shape(towers.init, jax.random.key(0)))
