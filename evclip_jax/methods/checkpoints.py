"""Checkpoints of anything, pretrained or trained: read, and written back."""

import dataclasses
import json
from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.methods.clip_fsar import checkpoint
from evclip_jax.methods.ev_clip import checkpoint as ev_clip
from evclip_jax.methods.ez_clip import checkpoint as ez_clip
from evclip_jax.weights import clip_names as clip_convert
from evclip_jax.weights import networks, own_file, scenic_names
from evclip_jax.weights import swin3d_names as encoder_convert
from evclip_jax.weights.files import StateFile, read_tensors
from evclip_jax.weights.identify import LABELS, identify
from evclip_jax.weights.own_file import tree_hash
from evclip_jax.weights.table import Converted

# Branches of CLIP-FSAR's own that no other method has.
_FSAR = {'scale', 'temporal'}
# The branch of the parameter tree that each kind of file fills.
PARTS = networks.PARTS | {
    'ev-clip': 'method',
    'ez-clip': 'method',
    'clip-fsar': own_file.SEVERAL,
    'trained': 'method',
}
# Of the converter of each branch; see `weights.cache`.
VERSIONS = networks.VERSIONS | {
    'method': ev_clip.VERSION,
    own_file.SEVERAL: checkpoint.VERSION,
}


@dataclasses.dataclass(frozen=True)
class Source:
  """A converted file.

  Attributes:
    kind: as `identify` says.
    part: 'clip', 'encoder', 'method' or 'several'.
    converted: sizes, flat tree without the part, and report.
  """

  kind: str
  part: str
  converted: Converted


def convert(file: StateFile) -> Source:
  """Converts a file of any known kind.

  Raises:
    WeightsError: an unknown kind, or tensors that do not fit their kind.
  """
  kind = identify(file.tensors, file.metadata)
  if kind == 'evclip-jax':
    part = file.metadata.get('part', '')
    converted = own_file.read(file, part, None)
    own_file.check_hash(file, converted.flat)
    return Source(kind, part, converted)
  part = PARTS[kind]
  if kind == 'trained' and _is_several(file):
    part = own_file.SEVERAL
  return Source(kind, part, _CONVERTERS[kind](file))



def renamed(
    file: StateFile, found: Source, to: str, clip: str = ''
) -> dict[str, np.ndarray]:
  """The tree of a file in the original naming and layout, or in Scenic's.

  Args:
    file: what was read.
    found: what it was converted to.
    to: 'torch-names' or 'scenic'.
    clip: the path of a CLIP to merge into EZ-CLIP's weights; '' for none.

  Raises:
    UserError: there is no such naming for these weights, or the CLIP does not
      fit them.
  """
  flat = found.converted.flat
  adapted = any(path.startswith('image/adapter.') for path in flat)
  if clip and not adapted:
    raise UserError(
        f'--clip={clip} is for weights of EZ-CLIP; {file.path} is '
        f'{LABELS[found.kind]}.'
    )
  if to == 'scenic':
    if found.part != 'clip':
      raise UserError(
          f'--to=scenic is for CLIP; {file.path} is {LABELS[found.kind]}.'
      )
    return scenic_names.to_scenic(flat)
  if found.part == 'clip':
    return clip_convert.to_original(flat)
  if found.part == 'encoder':
    return encoder_convert.to_original(flat)
  if found.part == own_file.SEVERAL:
    return checkpoint.checkpoint(flat)
  if adapted:
    return _ez_clip(file, flat, clip)
  branches = {path.split('/')[0] for path in flat}
  if branches & _FSAR:
    # Its image tower was not trained.
    return checkpoint.checkpoint({f'method/{p}': x for p, x in flat.items()})
  prompt = _prompt(branches)
  return ev_clip.to_original(flat, prompt, 'image_prompt_learner.')


def _ez_clip(
    file: StateFile, flat: Mapping[str, np.ndarray], clip: str
) -> dict[str, np.ndarray]:
  num_frames = _num_frames(file)
  if not clip:
    return ez_clip.checkpoint(flat, num_frames)
  frozen = _clip(clip)
  used = file.metadata.get('weights.clip')
  if used and used != tree_hash(frozen):
    print(
        f'  warning: {clip} is not the CLIP that the run was trained with; '
        'their hashes differ'
    )
  state = ez_clip.checkpoint(flat, num_frames, frozen)
  if ez_clip.EMBEDDING not in state:
    raise UserError(
        f'{file.path} does not say for how many frames it is, which a whole '
        'checkpoint needs: export the run again with this version.'
    )
  return state


def _clip(path: str) -> dict[str, np.ndarray]:
  """The flat tree of a CLIP in a file of any supported kind."""
  file = read_tensors(path)
  if own_file.is_own(file):
    return own_file.read(file, 'clip', None).flat
  return networks.convert_part(file, 'clip').flat


def _num_frames(file: StateFile) -> int | None:
  """T, by the notes of an exported run or of a converted file."""
  noted = file.metadata.get('num_frames')
  if noted is None:
    sizes = json.loads(file.metadata.get('sizes', 'null')) or {}
    noted = sizes.get('num_frames')
  return None if noted is None else int(noted)


def _prompt(branches: set[str]) -> str:
  """Which of EV-CLIP's generators there are, as `ev_clip` calls it."""
  if branches == {'mask', 'context'}:
    return 'both'
  if branches in ({'mask'}, {'context'}):
    return next(iter(branches))
  raise UserError(
      f'method weights {sorted(branches)} are those of no original code that '
      'this command knows: EV-CLIP, EZ-CLIP, CLIP-FSAR.'
  )


def _ev_clip(file: StateFile) -> Converted:
  return ev_clip.from_original(file.tensors)


def _ez_clip_prompts(file: StateFile) -> Converted:
  return ez_clip.from_original(file.tensors)


def _clip_fsar(file: StateFile) -> Converted:
  return checkpoint.from_original(file.tensors)


def _is_several(file: StateFile) -> bool:
  # CLIP-FSAR trains CLIP's image tower as well.
  return not all(name.startswith('method/') for name in file.tensors)


def _trained(file: StateFile) -> Converted:
  several = _is_several(file)
  flat = {
      name if several else name.removeprefix('method/'): np.asarray(
          value, np.float32
      )
      for name, value in file.tensors.items()
  }
  return Converted(None, flat, {n: n for n in file.tensors})


_CONVERTERS = networks.CONVERTERS | {
    'ev-clip': _ev_clip,
    'ez-clip': _ez_clip_prompts,
    'clip-fsar': _clip_fsar,
    'trained': _trained,
}
