"""Turns texts into ids for VideoPrism's video-text models."""

import dataclasses
import pathlib
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.models.videoprism.video_text import CONTEXT_LENGTH, PADDING

_SPACES = str.maketrans(string.punctuation, ' ' * len(string.punctuation))


@dataclasses.dataclass(frozen=True)
class SentenceTokenizer:
  """Turns texts into rows of ids by SentencePiece.

  Attributes:
    model: a `sentencepiece.SentencePieceProcessor`.
    source: the file of its vocabulary.
  """

  model: Any
  source: str

  def __len__(self) -> int:
    """Returns the number of ids."""
    return self.model.get_piece_size()

  def encode(self, texts: Sequence[str]) -> np.ndarray:
    """Returns the ids of texts, int32 [K, 64], padded with -1.

    Raises:
      UserError: a text has more than 64 ids.
    """
    rows = [self._ids(text) for text in texts]
    out = np.full((len(rows), CONTEXT_LENGTH), PADDING, np.int32)
    for row, ids in zip(out, rows, strict=True):
      row[: len(ids)] = ids
    return out

  def _ids(self, text: str) -> list[int]:
    ids = self.model.encode(canonical(text))
    # There is no end id, and a start id only if the vocabulary has one.
    if self.model.bos_id() >= 0:
      ids = [self.model.bos_id(), *ids]
    if len(ids) > CONTEXT_LENGTH:
      raise UserError(
          f'the text {text[:40]!r}... has {len(ids)} tokens, and VideoPrism '
          f'reads {CONTEXT_LENGTH}: shorten the class name or '
          'method.settings.templates.'
      )
    return ids


def canonical(text: str) -> str:
  """Cleans a text as VideoPrism's authors do.

  ASCII punctuation becomes spaces, letters become lower case, runs of spaces
  become one, and a full stop is added.
  """
  return ' '.join(text.translate(_SPACES).lower().split()) + '.'


def read(path: pathlib.Path) -> SentenceTokenizer:
  """Reads a SentencePiece vocabulary.

  Raises:
    UserError: the file cannot be read, or is not a vocabulary.
  """
  # Importing it takes a while, and only this function needs it.
  import sentencepiece

  try:
    model = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
  except (OSError, RuntimeError) as e:
    reason = getattr(e, 'strerror', None) or 'it is not one'
    raise UserError(
        f'encoder.vocab: {path} cannot be read as a SentencePiece model '
        f'({reason}).'
    ) from e
  return SentenceTokenizer(model, str(path))
