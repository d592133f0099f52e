"""Converted trees and trained runs back to the names of other code bases."""

import json
from collections.abc import Mapping

import numpy as np

from evclip_jax.clip import convert as clip_convert
from evclip_jax.encoders import convert as encoder_convert
from evclip_jax.errors import UserError
from evclip_jax.interop import clip_fsar, ev_clip, ez_clip, scenic, sources
from evclip_jax.weights import native
from evclip_jax.weights.formats import StateFile, read_tensors
from evclip_jax.weights.hashes import tree_hash
from evclip_jax.weights.identify import LABELS

# Branches of CLIP-FSAR's own that no other method has.
_FSAR = {'scale', 'temporal', 'trx'}


def renamed(
    file: StateFile, found: sources.Source, to: str, clip: str = ''
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
    return scenic.to_scenic(flat)
  if found.part == 'clip':
    return clip_convert.to_source(flat)
  if found.part == 'encoder':
    return encoder_convert.to_source(flat)
  if found.part == native.SEVERAL:
    return clip_fsar.checkpoint(flat)
  if adapted:
    return _ez_clip(file, flat, clip)
  branches = {path.split('/')[0] for path in flat}
  if branches & _FSAR:
    # Its image tower was not trained.
    return clip_fsar.checkpoint({f'method/{p}': x for p, x in flat.items()})
  prompt = _prompt(branches)
  return ev_clip.to_source(flat, prompt, 'image_prompt_learner.')


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
  if native.is_own(file):
    return native.read(file, 'clip', None).flat
  return sources.convert_part(file, 'clip').flat


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
