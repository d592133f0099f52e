"""A pretrained network's checkpoint, in any naming, to a converted tree."""

import dataclasses

from data_pipelines.errors import WeightsError
from evclip_jax.weights import clip_names as clip_convert
from evclip_jax.weights import huggingface, scenic
from evclip_jax.weights import swin3d_names as encoder_convert
from evclip_jax.weights.formats import StateFile
from evclip_jax.weights.identify import LABELS, identify
from evclip_jax.weights.loaded import Converted
from evclip_jax.weights.table import Report

# The branch of the parameter tree that each kind of file fills.
PARTS = {
    'openai-clip': 'clip',
    'open-clip': 'clip',
    'huggingface-clip': 'clip',
    'scenic-clip': 'clip',
    'omnivore': 'encoder',
}
# Of the converter of each branch; see `weights.cache`.
VERSIONS = {
    'clip': clip_convert.VERSION,
    'encoder': encoder_convert.VERSION,
}


def convert_part(file: StateFile, part: str) -> Converted:
  """Converts a file that must be of one branch, 'clip' or 'encoder'.

  Raises:
    WeightsError: it is of another, or as in `convert`.
  """
  kind = identify(file.tensors, file.metadata)
  if PARTS.get(kind) != part:
    raise WeightsError(f'it is {LABELS[kind]}, not {_WANTED[part]}.')
  return CONVERTERS[kind](file)


_WANTED = {'clip': 'a CLIP model', 'encoder': 'a video trunk'}


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


CONVERTERS = {
    'openai-clip': _openai,
    'open-clip': _openai,
    'huggingface-clip': _huggingface,
    'scenic-clip': _scenic,
    'omnivore': _omnivore,
}
