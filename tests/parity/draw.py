"""A golden case: its manifest, its expected arrays, its drawn tensors."""

import dataclasses
import json
import math
import pathlib
import zlib
from typing import Any

import numpy as np


class CaseError(Exception):
  """A case that cannot be run as it is."""


@dataclasses.dataclass(frozen=True)
class Case:
  """One folder, with all arrays of its expected.npz by name."""

  name: str
  manifest: dict[str, Any]
  expected: dict[str, np.ndarray]

  def field(self, name: str, kind: type | tuple[type, ...]) -> Any:
    """A field of the manifest, which must be there and of a type."""
    return field(self.manifest, name, kind)

  def state(self, section: dict[str, Any] | None = None) -> dict[str, Any]:
    """The drawn state dict of the manifest or of a section with its own salt.

    Returns:
      Original tensor name -> float32 array in the original layout.
    """
    section = self.manifest if section is None else section
    return draw_all(field(section, 'params', dict), field(section, 'salt', str))

  def inputs(self) -> dict[str, np.ndarray]:
    """The drawn inputs in the original layout, float32."""
    return draw_all(self.field('inputs', dict), self.field('salt', str))

  def video(self, layout: str) -> np.ndarray:
    """The only input, a video in a layout such as 'BCTHW', as BTHWC."""
    inputs = self.inputs()
    if list(inputs) != ['video']:
      raise CaseError(f'wanted the input video, the case has {list(inputs)}.')
    video = inputs['video']
    if video.ndim != 5 or video.shape[layout.index('C')] != 3:
      raise CaseError(f'the video is {video.shape}, wanted {layout}.')
    return video.transpose([layout.index(axis) for axis in 'BTHWC'])

  def integers(self, name: str, below: int) -> np.ndarray:
    """An input stored with the results, such as token ids: 0 .. below - 1."""
    array = self.expected.get(name)
    if array is None:
      raise CaseError(f'expected.npz has no {name!r}.')
    if not np.issubdtype(array.dtype, np.integer) or not array.size:
      raise CaseError(f'{name!r} is {array.dtype} {array.shape}: no integers.')
    if array.min() < 0 or array.max() >= below:
      raise CaseError(
          f'{name!r} goes from {array.min()} to {array.max()}, wanted 0 to '
          f'{below - 1}.'
      )
    return array.astype(np.int32)


def load_case(folder: str | pathlib.Path) -> Case:
  """Reads a case."""
  folder = pathlib.Path(folder)
  try:
    manifest = json.loads((folder / 'manifest.json').read_text('utf-8'))
  except (OSError, ValueError) as error:
    raise CaseError(f'manifest.json: {error}') from error
  if not isinstance(manifest, dict):
    raise CaseError('manifest.json holds no object.')
  try:
    with np.load(folder / 'expected.npz', allow_pickle=False) as archive:
      expected = {name: archive[name] for name in archive.files}
  except Exception as error:  # Whatever a broken zip file makes of numpy.
    raise CaseError(f'expected.npz: {error}') from error
  if not expected:
    raise CaseError('expected.npz holds no array.')
  return Case(folder.resolve().name, manifest, expected)


def field(
    section: dict[str, Any], name: str, kind: type | tuple[type, ...]
) -> Any:
  """A field of a part of a manifest, which must be there and of a type."""
  if name not in section:
    raise CaseError(f'the manifest has no field {name!r}.')
  value = section[name]
  if not isinstance(value, kind):
    raise CaseError(f'the manifest field {name!r} is {value!r:.60}.')
  return value


def agree(name: str, says: Any, found: Any):
  """Raises CaseError if the manifest says something else than is found."""
  says = tuple(says) if isinstance(says, list) else says
  if says != found:
    raise CaseError(f'the manifest says {name} {says}, found {found}.')


def draw_all(specs: dict[str, Any], salt: str) -> dict[str, np.ndarray]:
  """Draws every tensor of a list of names."""
  tensors = {}
  for name, spec in specs.items():
    try:
      shape = tuple(spec['shape'])
      mean, std = float(spec['mean']), float(spec['std'])
      whole = all(type(n) is int and n > 0 for n in shape)
    except (TypeError, KeyError, ValueError):
      raise CaseError(f'{name!r} is described by {spec!r:.80}.') from None
    if not whole or not math.isfinite(mean) or not math.isfinite(std):
      raise CaseError(f'{name!r} is described by {spec!r:.80}.')
    tensors[name] = draw(f'{salt}/{name}', shape, mean, std)
  return tensors


def draw(
    key: str, shape: tuple[int, ...], mean: float, std: float
) -> np.ndarray:
  """The drawing rule of the golden cases; float32."""
  generator = np.random.Generator(
      np.random.PCG64(zlib.crc32(key.encode('utf-8')))
  )
  normal = generator.standard_normal(shape, dtype=np.float32)
  return np.float32(mean + std * normal)
