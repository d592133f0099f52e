"""The small transformer over the frames of a clip that CLIP-FSAR trains."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.models.torch_like import Norm, linear

HEADS = 8


class TemporalTransformer(nn.Module):
  """Lets the tokens of a clip see each other; knows nothing of their order.

  Everything is in float32: the module is small, and a metric over its results
  follows.

  Attributes:
    depth: number of layers.
    hidden: width between the two dense layers of each.
    dropout: behind the attention's output projection.
    mlp_dropout: behind each of the two dense layers.

  Source: CLIP-FSAR, models/base/few_shot.py, the head's "context2".
  Differs: none.
  """

  depth: int = 1
  hidden: int = 2048
  dropout: float = 0.2
  mlp_dropout: float = 0.05

  @nn.compact
  def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
    """[B, N, D] -> [B, N, D]; a 'dropout' key is needed unless deterministic.

    Raises:
      ValueError: D is no multiple of the number of heads.
    """
    if x.shape[-1] % HEADS:
      raise ValueError(f'{HEADS} heads do not divide a width of {x.shape[-1]}.')
    for layer in range(self.depth):
      x = TemporalLayer(
          self.hidden, self.dropout, self.mlp_dropout, name=f'layers.{layer}'
      )(x, deterministic)
    return x


class TemporalLayer(nn.Module):
  """One layer; only its attention is normalised first.

  The residuals add what came in, and nothing is normalised behind them.
  """

  hidden: int
  dropout: float
  mlp_dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
    width = x.shape[-1]

    def dense(features, inputs, name, bias=True):
      return linear(features, inputs.shape[-1], bias, name, jnp.float32)(inputs)

    def drop(rate, values):
      return nn.Dropout(rate, deterministic=deterministic)(values)

    x = x.astype(jnp.float32)
    normed = Norm(name='norm')(x)
    q, k, v = (
        dense(width, normed, name, bias=False)
        .reshape(*x.shape[:-1], HEADS, width // HEADS)
        .swapaxes(-2, -3)  # [B, h, N, D/h]
        for name in ('to_q', 'to_k', 'to_v')
    )
    scores = q @ k.swapaxes(-1, -2) * (width // HEADS) ** -0.5
    y = (jax.nn.softmax(scores) @ v).swapaxes(-2, -3).reshape(x.shape)
    x = x + drop(self.dropout, dense(width, y, 'to_out.0'))
    y = jax.nn.gelu(dense(self.hidden, x, 'net.0'), approximate=False)
    y = dense(width, drop(self.mlp_dropout, y), 'net.3')
    return x + drop(self.mlp_dropout, y)
