"""Where a method may reach into CLIP's towers."""

import dataclasses
from collections.abc import Callable

import jax

Reweigh = Callable[[jax.Array], jax.Array]
# A block's own attention behind its own ln_1, without the residual: of any
# sequences x [..., N, D] (in the text tower, where it is causal, N up to the
# context length) `attend(x, reweigh=None, *, adapt=lambda y: y)` gives
# attn(adapt(ln_1(x))) of the same shape; `reweigh` maps the probabilities
# [..., h, N, N] to what is used in their place.
Attend = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class Hooks:
  """Functions called inside every block of one tower; None leaves it plain.

  A block computes, with `attend` = `Attend` without the other arguments:

    x = before_attn(layer, x, attend)
    x = x + around_attn(layer, attend(x))
    x = after_attn(layer, x)
    y = ln_2(x)
    x = x + around_mlp(layer, mlp(y) + beside_mlp(layer, y))

  `layer` is a Python int counted from 0, x is [n, N, D]: n images or texts,
  N tokens (class token first). A hook may add tokens before attention and drop
  them after it. What a hook trains lives in the method's own tree and reaches
  it as a closure, never in CLIP's. Unless `Clip.remat` is None the hooks of a
  block run again in the backward pass, so they must give the same result
  twice: random masks come from keys that depend on the layer only.

  The last two are for looking and recording: they may keep what they are
  given (in a dict of the caller's, under the same trace), therefore towers
  with one of them are never rematerialised.

  Attributes:
    embed: (tokens) -> tokens, once: before `ln_pre` in the image tower, before
      the first block in the text tower.
    before_attn: (layer, x, attend) -> x.
    reweigh: (layer, weights [n, h, N, N]) -> weights, the block's attention
      probabilities before they meet the values (attention dropout). It does not
      act on what `before_attn` attends; `attend` takes its own.
    around_attn: (layer, y) -> y, on the attention branch before the residual.
    after_attn: (layer, x) -> x.
    beside_mlp: (layer, y) -> z, z is added to the MLP's output.
    around_mlp: (layer, y) -> y, on the MLP branch before the residual.
    attention_map: (layer, weights [n, h, N, N]) -> None; sees the block's
      attention probabilities as they were used, changes nothing.
    moments: (name, x [n, H, W, C], mean [C], var [C]) -> (mean, var), for every
      batch norm of a ResNet: the statistics to use in place of the stored
      ones, such as those of the batch. `name` is its path in the tower, such as
      'layer1.0/bn2'.
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
    """Returns whether a hook sees or changes what blocks compute."""
    return dataclasses.replace(self, embed=None, moments=None) != PLAIN

  @property
  def records(self) -> bool:
    """Returns whether a hook may keep what it sees."""
    return self.attention_map is not None or self.moments is not None


PLAIN = Hooks()
