"""CoOp's text prompts: trained vectors in place of the words around a name."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.methods import base
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.clip.model import Clip

PLACES = ('end', 'middle', 'front')
# Stands for a trained vector in the texts; any word of one token would do.
_WORD = 'X'
# What CoOp and IVLP draw all prompts with.
STD = 0.02


@dataclasses.dataclass(frozen=True)
class LearnedWords:
  """n vectors that stand with a class name in CLIP's text tower.

  Attributes:
    count: n.
    place: where the name stands among them: 'end', 'middle' or 'front'.
    class_names: with vectors of their own for each class of training; () = all
      classes share theirs.

  Source: EV-CLIP, trainers/coop.py, PromptLearner.
  Differs: the vectors are never those of words (CTX_INIT); marks at the end of
    a name are taken off, which would merge with the full stop into one token;
    texts always come from class names, never from a checkpoint.
  """

  count: int
  place: str = 'end'
  class_names: tuple[str, ...] = ()

  @classmethod
  def of(cls, settings: Any, class_names: tuple[str, ...]) -> 'LearnedWords':
    """Reads the settings 'words', 'words_place' and 'words_per_class'.

    Raises:
      UserError: a count or a place that cannot be.
    """
    base.check_choice('words_place', settings.words_place, PLACES)
    if not 1 <= settings.words <= 64:
      raise UserError(
          f'method.settings.words={settings.words}: use 1 to 64.'
      )
    own = class_names if settings.words_per_class else ()
    return cls(settings.words, settings.words_place, own)

  def init(self, rng: jax.Array, width: int) -> jax.Array:
    """Draws [n, D], or [K, n, D] with vectors for each class."""
    shape = (self.count, width)
    if self.class_names:
      shape = (len(self.class_names), *shape)
    return STD * jax.random.normal(rng, shape)

  def class_texts(self, names: list[str]) -> list[list[str]]:
    """Returns 'X X ... X name.', for `Method.class_texts`.

    Raises:
      UserError: other names than those that the vectors belong to.
    """
    if self.class_names:
      base.check_classes(names, self.class_names, 'words of its own per class')
    words = ' '.join([_WORD] * self.count)
    return [[f'{words} {name.rstrip(" .,;:!?")}.' for name in names]]

  def encode(
      self, clip: Clip, params: base.Params, tokens: jax.Array, **hooks
  ) -> jax.Array:
    """Encodes the texts of classes, with params['method']['words'] in them.

    Args:
      clip: CLIP.
      params: the whole tree.
      tokens: [1, K, L] of `class_texts`.
      **hooks: more hooks of the text tower.

    Returns:
      [1, K, E].
    """
    words, frozen = params['method']['words'], params['clip']

    def embed(x):
      return self._embed(frozen['text'], words, tokens[0]).astype(x.dtype)

    return clip.text(frozen, tokens, Hooks(embed=embed, **hooks))

  def _embed(self, text, words, tokens) -> jax.Array:
    """Computes the text tower's first input, [K, L, D]."""
    classes, length = tokens.shape
    table = text['token_embedding'][tokens]
    words = jnp.broadcast_to(words, (classes, *words.shape[-2:]))
    rows = jnp.concatenate([table, words], axis=1)  # [K, L + n, D]
    order = self._order(tokens)
    x = jnp.take_along_axis(rows, order[..., None], axis=1)
    return x + text['positional_embedding'][:length]

  def _order(self, tokens: jax.Array) -> jax.Array:
    """Returns which row of (embeddings, vectors) stands where, int [K, L]."""
    length, count = tokens.shape[1], self.count
    # Start, words, name, full stop, end of text.
    name = tokens.argmax(axis=-1)[:, None] - count - 2  # [K, 1]
    before = {'end': count, 'middle': count // 2, 'front': 0}[self.place]
    place = jnp.arange(length)[None] - 1  # 0 is behind the start
    word = jnp.where(place < before, place, place - name)
    is_name = (place >= before) & (place < before + name)
    is_word = (place >= 0) & (place < count + name) & ~is_name
    order = jnp.where(is_name, place + 1 + count - before, place + 1)
    return jnp.where(is_word, length + word, order)
