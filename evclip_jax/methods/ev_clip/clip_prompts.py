"""EV-CLIP's two prompts on clips with any leading axes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from evclip_jax.methods.ev_clip.context_generator import ContextGenerator
from evclip_jax.methods.ev_clip.generators import GRID, MaskGenerator
from evclip_jax.models.swin3d.trunk import VideoEncoder


@dataclasses.dataclass(frozen=True)
class ClipPrompts:
  """A mask over the pixels and a context token, made by each clip for itself.

  Attributes:
    encoder: the frozen trunk, which is never perturbed.
    width: E of CLIP.
    dtype: of the computation.
  """

  encoder: VideoEncoder
  width: int
  dtype: Any

  def init(self, rng: jax.Array, num_frames: int) -> dict[str, Any]:
    """The subtrees 'mask' and 'context'."""
    first, second = jax.random.split(rng)
    z = jnp.zeros(
        (1, -(-num_frames // 2), GRID, GRID, self.encoder.sizes.channels)
    )
    return {
        'mask': self._mask.init(first, z)['params'],
        'context': self._context.init(second, z)['params'],
    }

  def __call__(
      self, own: dict[str, Any], params_encoder: dict[str, Any], pixels
  ) -> tuple[jax.Array, jax.Array]:
    """Makes the prompts.

    Args:
      own: what `init` gave.
      params_encoder: params['encoder'].
      pixels: [..., T, H, W, 3], normalised.

    Returns:
      mask [..., H, W] and context [..., 1, E].
    """
    lead = pixels.shape[:-4]
    flat = pixels.reshape(-1, *pixels.shape[-4:])
    z = jax.lax.stop_gradient(
        self.encoder.features(params_encoder, flat, None)
    )
    return tuple(
        module.apply({'params': own[name]}, z).reshape(*lead, *tail)
        for name, module, tail in (
            ('mask', self._mask, pixels.shape[-3:-1]),
            ('context', self._context, (1, self.width)),
        )
    )

  @property
  def _mask(self) -> MaskGenerator:
    return MaskGenerator(dtype=self.dtype)

  @property
  def _context(self) -> ContextGenerator:
    return ContextGenerator(self.width, dtype=self.dtype)
