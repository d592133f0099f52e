"""What an interrupted evaluation had already computed, in files."""

import hashlib
import json
import pathlib
import shutil
import zipfile
from typing import Any

import jax
import numpy as np

from data_pipelines.errors import UserError

Arrays = dict[str, np.ndarray]


class Unfinished:
  """Parts of a long computation, kept until it is done.

  Parts of one kind are numbered; only whole files count. Another computation
  than the one that wrote them finds nothing.
  """

  def __init__(self, folder: pathlib.Path | None, key: dict[str, Any]):
    """Reads nothing yet.

    Args:
      folder: where parts lie; None = nothing is kept.
      key: JSON values on which the computation's numbers depend.
    """
    text = json.dumps(key, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    self._root = folder
    self._folder = folder / digest if folder else None

  def read(self, kind: str) -> list[Arrays]:
    """The parts of a kind in their order, as far as they go."""
    parts = []
    while self._folder:
      path = self._path(kind, len(parts))
      try:
        with np.load(path) as file:
          parts.append({name: file[name] for name in file.files})
      except (OSError, ValueError, zipfile.BadZipFile):
        break
    return parts

  def write(self, kind: str, number: int, part: Arrays):
    """Keeps a part; on the first process.

    Raises:
      UserError: it cannot be written.
    """
    if not self._folder or jax.process_index():
      return
    path = self._path(kind, number)
    temporary = path.with_suffix('.tmp')
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      with temporary.open('wb') as file:
        np.savez(file, **part)
      temporary.replace(path)
    except OSError as e:
      raise UserError(
          f'cannot write {path}: {e.strerror or e}. Free some space and run it '
          'again; it goes on where it stopped.'
      ) from e

  def remove(self):
    """Deletes all parts, once the computation is done."""
    if self._root and not jax.process_index():
      shutil.rmtree(self._root, ignore_errors=True)

  def _path(self, kind: str, number: int) -> pathlib.Path:
    return self._folder / f'{kind}-{number:06d}.npz'
