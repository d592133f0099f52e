"""CoOp's text prompts: trained vectors instead of words around a name."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.methods import base
from evclip_jax.methods.class_texts import ClassTexts, DescriptionSettings
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.clip.model import Clip

# Stands for a trained vector in texts; any word of one token would do.
_WORD = 'X'
# Standard deviation of initial text and visual prompts in CoOp and IVLP.
STD = 0.02


@dataclasses.dataclass(frozen=True)
class WordSettings(DescriptionSettings):
  """Holds the settings of CoOp's text prompts.

  Attributes:
    words: trained vectors in a text.
    words_place: place of the class name: 'end', 'middle' or 'front'.
    words_per_class: whether each training class has its own vectors; then other
      classes cannot be scored.
    words_init: words, such as 'a photo of a', whose embeddings initialise the
      vectors; their number replaces `words`. '' = random vectors.
  """

  words: int = 16
  words_place: str = 'end'
  words_per_class: bool = False
  words_init: str = ''


class LearnedWords:
  """Puts n trained vectors around a class name in CLIP's text tower.

  The name is replaced by a description of the class, if there is one.

  Attributes:
    count: n.
    texts: names or descriptions of classes.
    place: place of the name among the vectors: 'end', 'middle' or 'front'.
    class_names: the training classes, if each has its own vectors; () = all
      classes share them.
    first: words whose embeddings initialise the vectors; '' = random ones.

  Source: EV-CLIP, trainers/coop.py, PromptLearner.
  Differs: initial words must be one token each; punctuation at the end of a
    name is removed, as it would merge with the full stop into one token; texts
    always come from class names, never from a checkpoint.
  """

  def __init__(self, settings: Any, class_names: tuple[str, ...]):
    """Reads `WordSettings`, or settings with `words` only.

    Raises:
      UserError: invalid settings.
    """
    if hasattr(settings, 'words_place'):
      base.check_choices(settings, words_place=('end', 'middle', 'front'))
    self.place = getattr(settings, 'words_place', 'end')
    per_class = getattr(settings, 'words_per_class', False)
    self.class_names = class_names if per_class else ()
    first = getattr(settings, 'words_init', '').split()
    self.first = ' '.join(first)
    self.count = len(first) or settings.words
    if not 1 <= self.count <= 64:
      raise UserError(f'method.settings.words={self.count}: use 1 to 64.')
    if first and per_class:
      raise UserError(
          'method.settings.words_init is the same for all classes: set '
          'words_per_class=False.'
      )
    self.texts = ClassTexts(settings, ('{}',))

  @property
  def name(self) -> str:
    """Returns the name of the texts in captions."""
    return f'{self.count} trained words and {self.texts.name}'

  def init(self, rng: jax.Array, width: int) -> jax.Array:
    """Draws vectors [n, D], or [K, n, D] if each class has its own."""
    shape = (self.count, width)
    if self.class_names:
      shape = (len(self.class_names), *shape)
    return STD * jax.random.normal(rng, shape)

  def start(
      self,
      own: base.Params,
      params: base.Params,
      encode: Callable[[list[str]], np.ndarray],
  ) -> base.Params:
    """Sets own['words'] to the embeddings of `first`, for `Method.start`.

    Raises:
      UserError: a word has several tokens.
    """
    if not self.first:
      return own
    ids = np.asarray(encode([self.first])[0])
    if ids.argmax() != self.count + 1:
      raise UserError(
          f'method.settings.words_init={self.first!r} has {self.count} words '
          f'of {ids.argmax() - 1} tokens; wanted words of one token each.'
      )
    table = params['clip']['text']['token_embedding']
    return own | {'words': table[ids[1 : self.count + 1]]}

  def __call__(self, names: list[str]) -> list[list[str]]:
    """Returns 'X X ... X name.', for `Method.class_texts`.

    Raises:
      UserError: the vectors belong to other classes.
    """
    if self.class_names:
      base.check_classes(names, self.class_names, 'words of its own per class')
    words = self.first or ' '.join([_WORD] * self.count)
    return [
        [f'{words} {text.replace("_", " ").rstrip(" .,;:!?")}.' for text in row]
        for row in self.texts(names)
    ]

  def encode(
      self, clip: Clip, params: base.Params, tokens: jax.Array, **hooks
  ) -> jax.Array:
    """Encodes the texts of classes, with params['method']['words'] in them.

    Args:
      clip: CLIP.
      params: the whole tree.
      tokens: [M, K, L] of the texts.
      **hooks: more hooks of the text tower.

    Returns:
      [M, K, E].
    """
    words, frozen = params['method']['words'], params['clip']
    words = jnp.broadcast_to(words, (*tokens.shape[:2], *words.shape[-2:]))

    def flat(x):
      return x.reshape(-1, *x.shape[2:])

    def embed(x):
      rows = self._embed(frozen['text'], flat(words), flat(tokens))
      return rows.astype(x.dtype)

    return clip.text(frozen, tokens, Hooks(embed=embed, **hooks))

  def _embed(self, text, words, tokens) -> jax.Array:
    """Computes the input of the text tower's first block, [K, L, D]."""
    table = text['token_embedding'][tokens]
    rows = jnp.concatenate([table, words], axis=1)  # [K, L + n, D]
    order = self._order(tokens)
    x = jnp.take_along_axis(rows, order[..., None], axis=1)
    return x + text['positional_embedding'][: tokens.shape[1]]

  def _order(self, tokens: jax.Array) -> jax.Array:
    """Returns each position's row in (embeddings, vectors), int [K, L]."""
    length, count = tokens.shape[1], self.count
    # A text is: start, words, name, full stop, end of text.
    name = tokens.argmax(axis=-1)[:, None] - count - 2  # [K, 1]
    before = {'end': count, 'middle': count // 2, 'front': 0}[self.place]
    place = jnp.arange(length)[None] - 1  # 0 is after the start token
    word = jnp.where(place < before, place, place - name)
    is_name = (place >= before) & (place < before + name)
    is_word = (place >= 0) & (place < count + name) & ~is_name
    order = jnp.where(is_name, place + 1 + count - before, place + 1)
    return jnp.where(is_word, length + word, order)
