"""Measures the factors of all clips of a list; caches them by content."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data_pipelines import whole_file
from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from data_pipelines.loaders.source import Source
from data_pipelines.video import pool
from evclip_jax.domain_shift import visual
from evclip_jax.reporting import log

# To be raised when a factor is computed differently.
_VERSION = 2
_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Factor:
  """Describes a factor and how it is used.

  Attributes:
    title: its name in texts.
    unit: its unit, or ''.
    log: whether its logarithm is compared, as it has a long tail.
    about: what it belongs to, for sentences; '' = its title.
    cause: whether it may explain right and wrong. What the network itself
      makes of a clip is part of the answer, not a cause of it.
  """

  title: str
  unit: str
  log: bool = False
  about: str = ''
  cause: bool = True

  def scaled(self, values: np.ndarray) -> np.ndarray:
    """Returns values on the scale on which they are compared."""
    return np.log(values + 1e-3) if self.log else values


_WORDS = 'the words of classes'
# The first of two factors that correlate stands for both.
FACTORS = {
    'luminance': Factor('luminance', 'share of white', True, 'light'),
    'camera_motion': Factor('camera motion', '% of width / s', True),
    'subject_motion': Factor('subject motion', 'sd / s', True),
    'clutter': Factor('clutter', '% of pixels'),
    'sharpness': Factor('sharpness', '', True),
    'contrast': Factor('contrast', '', True, 'light'),
    'colourfulness': Factor('colourfulness', 'levels', about='colour'),
    'noise': Factor('noise', 'levels', True),
    'cut_rate': Factor('cuts', '1 / s'),
    'resolution': Factor('shorter side', 'pixels', True, 'resolution'),
    'bits_per_pixel': Factor('bits per pixel', '', True, 'compression'),
    'confusability': Factor('nearest other class', 'cosine', about=_WORDS),
    'kinetics': Factor('nearest Kinetics-400 class', 'cosine', about=_WORDS),
    'dark': Factor('dark pixels', '%', about='light'),
    'clipped': Factor('clipped pixels', '%', about='light'),
    'camera_jerk': Factor('camera jerk', 'widths / s^3', True, 'camera motion'),
    'alignment': Factor('clip and class text', 'cosine', cause=False),
    'margin': Factor('margin of the class text', 'cosine', cause=False),
}

Row = dict[str, float | None]


def visual_factors(
    source: Source, cache_dir: str = '', workers: int = 0
) -> tuple[list[Row | None], list[str], list[str]]:
  """Measures each clip of a list, or finds it in `<cache folder>/shift/`.

  A clip is found by its contents and frames, under any name.

  Returns:
    (a row per clip, None if it cannot be read; the hash of each clip's
    contents; why clips cannot be read).
  """
  file = cache_folder(cache_dir) / 'shift' / f'visual-{_VERSION}.json'
  known = _load(file)
  clips = [(source.media(i), source.probe(i), *source.span(i))
           for i in range(len(source))]  # fmt: skip
  with log.progress(len(clips), f'factors {source.name}', unit='clip') as bar:
    hashes = list(_all(content_hash, [(m, a, n) for m, _, a, n in clips],
                       workers))  # fmt: skip
    new = [i for i, h in enumerate(hashes) if h not in known]
    bar.update(len(clips) - len(new))
    faults = []
    found = _all(visual.measure, [clips[i] for i in new], workers)
    for i, row in zip(new, found, strict=True):
      bar.update(1)
      if isinstance(row, str):
        faults.append(row)
      else:
        known[hashes[i]] = row
  if new:
    _save(file, known)
  return [known.get(h) for h in hashes], hashes, faults


def content_hash(
    media: str | bytes | tuple[bytes, ...], first: int, count: int
) -> str:
  """Hashes a clip's bytes and frame numbers; UserError if its file is gone."""
  files, digest = [], hashlib.sha256()
  if isinstance(media, str):
    path = pathlib.Path(media)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
  else:
    digest.update(media if isinstance(media, bytes) else b''.join(media))
  for file in files:
    try:
      with file.open('rb') as opened:
        digest.update(hashlib.file_digest(opened, 'sha256').digest())
    except IsADirectoryError:
      continue
    except OSError as e:
      raise UserError(f'{file} cannot be read: {e.strerror}.') from e
  return f'{digest.hexdigest()[:32]}:{first}+{count}'


def _all(function: Callable, tasks: Iterable[tuple], workers: int):
  """Yields the result of each task in order, or why it failed."""

  def one(task):
    try:
      return pool.run(function, *task, workers=workers, timeout=_SECONDS)
    except UserError as e:
      return str(e)

  with ThreadPoolExecutor(pool.number(workers)) as threads:
    yield from threads.map(one, tasks)


def _load(file: pathlib.Path) -> dict[str, Row]:
  try:
    return dict(json.loads(file.read_text()))
  except (OSError, ValueError, TypeError):
    return {}


def _save(file: pathlib.Path, known: dict[str, Row]):
  try:
    # Keep what another program has written meanwhile.
    whole_file.write(file, json.dumps(_load(file) | known))
  except OSError as e:
    log.log(f'note: the factors of clips cannot be saved ({e}; cache_dir).')
