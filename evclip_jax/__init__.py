"""Few-shot video action recognition with a frozen CLIP, in JAX and Flax."""

__version__ = '0.1.0'
