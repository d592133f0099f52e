"""From text to CLIP's ids."""

import html
import re
from collections.abc import Sequence

import ftfy
import numpy as np
import tokenizers

from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip import vocabulary as vocabulary_lib
from evclip_jax.models.clip.vocabulary import END, START, WORD_END, Vocabulary


class Tokenizer:
  """CLIP's tokenizer over a vocabulary.

  Attributes:
    vocabulary: symbols, ids and merges.
    context_length: L, ids per text.
  """

  def __init__(
      self,
      vocabulary: Vocabulary,
      context_length: int = sizes.CONTEXT_LENGTH,
  ):
    self.vocabulary = vocabulary
    self.context_length = context_length
    self._split = vocabulary_lib.splitter()
    self._model = tokenizers.models.BPE(
        vocab=vocabulary.ids,
        merges=list(vocabulary.merges),
        end_of_word_suffix=WORD_END,
    )
    self._special = {s: vocabulary.ids[s] for s in (START, END)}

  def encode(
      self,
      texts: Sequence[str],
      context_length: int | None = None,
      truncate: bool = False,
  ) -> np.ndarray:
    """The ids of texts, between the start and end ids, padded with zeros.

    Args:
      texts: any strings; cleaned here.
      context_length: L; None for the model's.
      truncate: cut what does not fit, so that the last id is the end id.

    Returns:
      int32 [len(texts), L].

    Raises:
      UserError: a text that does not fit, unless `truncate`.

    Source: openai/CLIP, clip/clip.py, tokenize.
    Differs: none.
    """
    length = context_length or self.context_length
    out = np.zeros((len(texts), length), np.int32)
    for row, text in zip(out, texts, strict=True):
      ids = [self._special[START], *self.ids(text), self._special[END]]
      if len(ids) > length:
        if not truncate:
          raise UserError(
              f'the text {text[:60]!r}... has {len(ids)} ids with start and '
              f'end; CLIP takes {length}. Shorten it.'
          )
        ids = [*ids[: length - 1], self._special[END]]
      row[: len(ids)] = ids
    return out

  def ids(self, text: str) -> list[int]:
    """The ids of one text, without start and end."""
    found = []
    for word, _ in self._split.pre_tokenize_str(clean(text)):
      if word in self._special:
        found.append(self._special[word])
      else:
        found += [token.id for token in self._model.tokenize(word)]
    return found


def clean(text: str) -> str:
  """Mends encodings, resolves HTML entities, one space between words.

  Returns:
    The text in lower case.

  Source: openai/CLIP, clip/simple_tokenizer.py, basic_clean and
    whitespace_clean.
  Differs: none.
  """
  # Twice, as pages that quote pages have escaped '&' again.
  text = html.unescape(html.unescape(ftfy.fix_text(text)))
  return re.sub(r'\s+', ' ', text.strip()).strip().lower()
