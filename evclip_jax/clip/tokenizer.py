"""From text to CLIP's ids."""

import html
import pathlib
import re
from collections.abc import Callable, Sequence

import ftfy
import numpy as np
import tokenizers

from evclip_jax.clip import load, sizes
from evclip_jax.clip import vocabulary as vocabulary_lib
from evclip_jax.clip.vocabulary import END, START, WORD_END, Vocabulary
from evclip_jax.errors import UserError
from evclip_jax.weights import cache, published, random_init

# The vocabulary of the packaged model.
_TINY_FILE = 'tiny_vocab.json'


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


def load_tokenizer(
    vocab: str = '',
    cache_dir: str = '',
    weights: str = '',
    clip_sizes: sizes.ClipSizes | None = None,
) -> Tokenizer:
  """Finds the vocabulary that belongs to CLIP weights.

  Args:
    vocab: a file or folder (see `vocabulary.read`); 'tiny' = the packaged
      small one; '' = the packaged one for the packaged weights, else the
      downloaded one, else (for random weights only) the packaged one.
    cache_dir: the cache folder; '' = the default one.
    weights: the weights as a user names them: `Loaded.source`.
    clip_sizes: of the weights; None to check nothing.

  Raises:
    UserError: no vocabulary, a broken one, or one that is not of the weights.
  """
  # Random weights have seen no ids: a smaller vocabulary serves as well.
  random = random_init.is_random(weights)
  most = clip_sizes.vocab_size if clip_sizes else None

  def fits(found: Vocabulary) -> bool:
    return most is None or len(found) == most or (random and len(found) < most)

  if vocab:
    tiny = vocab == sizes.TINY
    found = vocabulary_lib.read(
        load.packaged(_TINY_FILE) if tiny else pathlib.Path(vocab).expanduser()
    )
  else:
    found = _default(cache_dir, weights, fits)
  if not fits(found):
    raise UserError(
        f'the vocabulary {found.source} has {len(found):,} ids, the CLIP '
        f'weights {weights} know {most:,}.\n  Set clip.vocab to the vocabulary '
        'that the weights were trained with.'
    )
  return Tokenizer(
      found,
      clip_sizes.context_length if clip_sizes else sizes.CONTEXT_LENGTH,
  )


def _default(
    cache_dir: str, weights: str, fits: Callable[[Vocabulary], bool]
) -> Vocabulary:
  """The vocabulary for `weights` where the user named none."""
  if weights == sizes.TINY:
    return vocabulary_lib.read(load.packaged(_TINY_FILE))
  random = random_init.is_random(weights)
  folder = pathlib.Path(cache_dir or cache.default_cache_dir())
  for entry in published.VOCABULARIES.values():
    if (folder / entry.filename).is_file():
      found = vocabulary_lib.read(folder / entry.filename)
      if fits(found) or not random:
        return found
  if random:
    return vocabulary_lib.read(load.packaged(_TINY_FILE))
  command = 'python -m evclip_jax.download vocab'
  command += f' --cache_dir={cache_dir}' if cache_dir else ''
  raise UserError(
      f'there is no CLIP vocabulary in {folder}.\n  Get it with "{command}", '
      f'or set --config.clip.vocab to {vocabulary_lib.GZIP_FORM} or '
      f'{vocabulary_lib.JSON_FORM}.'
  )
