"""Any supported checkpoint to a converted tree, whatever it is of."""

import dataclasses

import numpy as np

from evclip_jax.clip import convert as clip_convert
from evclip_jax.encoders import convert as encoder_convert
from evclip_jax.interop import (
    clip_fsar,
    ev_clip,
    ez_clip,
    huggingface,
    scenic,
)
from evclip_jax.weights import native
from evclip_jax.weights.formats import StateFile
from evclip_jax.weights.identify import LABELS, identify
from evclip_jax.weights.loaded import Converted
from evclip_jax.weights.table import Report, WeightsError

# The branch of the parameter tree that each kind of file fills.
PARTS = {
    'openai-clip': 'clip',
    'open-clip': 'clip',
    'huggingface-clip': 'clip',
    'scenic-clip': 'clip',
    'omnivore': 'encoder',
    'ev-clip': 'method',
    'ez-clip': 'method',
    'clip-fsar': native.SEVERAL,
    'trained': 'method',
}
# Of the converter of each branch; see `weights.cache`.
VERSIONS = {
    'clip': clip_convert.VERSION,
    'encoder': encoder_convert.VERSION,
    'method': ev_clip.VERSION,
    native.SEVERAL: clip_fsar.VERSION,
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
    converted = native.read(file, part, None)
    native.check_hash(file, converted.flat)
    return Source(kind, part, converted)
  part = PARTS[kind]
  if kind == 'trained' and _is_several(file):
    part = native.SEVERAL
  return Source(kind, part, _CONVERTERS[kind](file))


def convert_part(file: StateFile, part: str) -> Converted:
  """Converts a file that must be of one branch, 'clip' or 'encoder'.

  Raises:
    WeightsError: it is of another, or as in `convert`.
  """
  kind = identify(file.tensors, file.metadata)
  if (kind, part) == ('ez-clip', 'clip'):
    return ez_clip.clip_from_source(file.tensors)
  if kind == 'evclip-jax' or PARTS[kind] != part:
    raise WeightsError(f'it is {LABELS[kind]}, not {_WANTED[part]}.')
  return _CONVERTERS[kind](file)


_WANTED = {
    'clip': 'a CLIP model',
    'encoder': 'a video trunk',
    'method': 'prompts of a method',
}


def _openai(file: StateFile) -> Converted:
  # The TorchScript archives are OpenAI's own; the naming is used by others.
  if file.kind != 'torchscript':
    huggingface.check_config(file.path)
  return clip_convert.from_source(file.tensors)


def _huggingface(file: StateFile) -> Converted:
  huggingface.check_config(file.path)
  converted = clip_convert.from_source(huggingface.rename(file.tensors))
  ignored = tuple(n for n in file.tensors if huggingface.is_ignored(n))
  report = dataclasses.replace(converted.report, ignored=ignored)
  return dataclasses.replace(converted, report=report)


def _scenic(file: StateFile) -> Converted:
  # Through OpenAI's naming, so that the one table checks it as all others.
  ours = scenic.from_scenic(file.tensors)
  try:
    tensors = clip_convert.to_source(ours)
  except ValueError as e:
    raise WeightsError(f'it is no whole Scenic CLIP tree: {e}') from e
  converted = clip_convert.from_source(tensors)
  # The names in between are in no file.
  report = Report({path: path for path in converted.flat}, ())
  return dataclasses.replace(converted, report=report)


def _omnivore(file: StateFile) -> Converted:
  return encoder_convert.from_source(file.tensors)


def _ev_clip(file: StateFile) -> Converted:
  return ev_clip.from_source(file.tensors)


def _ez_clip(file: StateFile) -> Converted:
  return ez_clip.from_source(file.tensors)


def _clip_fsar(file: StateFile) -> Converted:
  return clip_fsar.from_source(file.tensors)


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
  return Converted(None, flat, Report({n: n for n in file.tensors}, ()))


_CONVERTERS = {
    'openai-clip': _openai,
    'open-clip': _openai,
    'huggingface-clip': _huggingface,
    'scenic-clip': _scenic,
    'omnivore': _omnivore,
    'ev-clip': _ev_clip,
    'ez-clip': _ez_clip,
    'clip-fsar': _clip_fsar,
    'trained': _trained,
}
