"""Defines where a method may reach into CLIP's towers."""

import dataclasses
from collections.abc import Callable

import jax

Reweigh = Callable[[jax.Array], jax.Array]
# A block's own ln_1 and attention, without the residual connection:
# `attend(x, reweigh=None, *, adapt=lambda y: y)` maps any sequences [..., N, D]
# to attn(adapt(ln_1(x))) of the same shape. `reweigh` maps the probabilities
# [..., h, N, N] to those that are used. In the text tower attention is causal
# and N is at most the context length.
Attend = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class Hooks:
  """Holds functions that every block of a tower calls; None = not called.

  A block computes, with an `attend` as `Attend` describes:

    x = before_attn(layer, x, attend)
    x = x + around_attn(layer, attend(x))
    x = after_attn(layer, x)
    y = ln_2(x)
    x = x + around_mlp(layer, mlp(y) + beside_mlp(layer, y))

  `layer` is a Python int from 0; x is [n, N, D], with n images or texts and N
  tokens, the class token first. A hook may add tokens before attention and drop
  them after it. Weights that a hook trains are in the method's own tree, never
  in CLIP's, and reach the hook as a closure. Unless `Clip.remat` is None, the
  hooks of a block run again in the backward pass and must return the same
  result: random masks come from keys that depend on the layer only.

  The last two may also record what they get (in the caller's dict, under the
  same trace), so towers with one of them are never rematerialised.

  Attributes:
    embed: (tokens) -> tokens, once: before `ln_pre` in the image tower, before
      the first block in the text tower.
    before_attn: (layer, x, attend) -> x.
    reweigh: (layer, weights [n, h, N, N]) -> weights: changes the attention
      probabilities of the block, such as by dropout. It does not act within
      `before_attn`, whose `attend` takes its own.
    around_attn: (layer, y) -> y, on the attention branch before the residual.
    after_attn: (layer, x) -> x.
    beside_mlp: (layer, y) -> z, which is added to the MLP's output.
    around_mlp: (layer, y) -> y, on the MLP branch before the residual.
    attention_map: (layer, weights [n, h, N, N]) -> None; gets the attention
      probabilities that the block used.
    moments: (name, x [n, H, W, C], mean [C], var [C]) -> (mean, var): for every
      batch norm of a ResNet, the statistics to use instead of the stored ones.
      `name` is its path in the tower, such as 'layer1.0/bn2'.
  """

  embed: Callable[[jax.Array], jax.Array] | None = None
  before_attn: Callable[[int, jax.Array, Attend], jax.Array] | None = None
  reweigh: Callable[[int, jax.Array], jax.Array] | None = None
  around_attn: Callable[[int, jax.Array], jax.Array] | None = None
  after_attn: Callable[[int, jax.Array], jax.Array] | None = None
  beside_mlp: Callable[[int, jax.Array], jax.Array] | None = None
  around_mlp: Callable[[int, jax.Array], jax.Array] | None = None
  attention_map: Callable[[int, jax.Array], None] | None = None
  moments: (
      Callable[
          [str, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]
      ]
      | None
  ) = None

  @property
  def in_blocks(self) -> bool:
    """Returns whether a hook reads or changes what blocks compute."""
    return dataclasses.replace(self, embed=None, moments=None) != PLAIN

  @property
  def records(self) -> bool:
    """Returns whether a hook may record what it gets."""
    return self.attention_map is not None or self.moments is not None


PLAIN = Hooks()
