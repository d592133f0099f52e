"""Hashes of weights: of a file's bytes and of a tree's content."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def tree_hash(flat: Mapping[str, np.ndarray]) -> str:
  """Hex digest of names, types, shapes and bytes, in whatever order they are.

  Args:
    flat: path -> array.
  """
  total = hashlib.sha256()
  for path in sorted(flat):
    array = np.asarray(flat[path])
    total.update(f'{path}\0{array.dtype.str}\0{array.shape}\0'.encode())
    # reshape: a view of bytes needs an axis; empty arrays have no bytes.
    total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
  return total.hexdigest()


def file_sha256(path: str | Path) -> str:
  """Hex digest of a file's bytes."""
  with Path(path).open('rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest()
