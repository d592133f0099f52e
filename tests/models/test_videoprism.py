"""Parts of VideoPrism by hand; tests/parity has the whole networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from data_pipelines.errors import UserError
from evclip_jax.models.videoprism import encoder, layers, video_text
from evclip_jax.models.videoprism.sizes import VideoPrismSizes
from evclip_jax.weights import random_init, videoprism_names

SIZES = VideoPrismSizes(
    16, 2, 32, 1, 1, patch=2, grid=4, num_frames=4,
    auxiliary_layers=1, text_layers=1, text_hidden=32, vocab_size=9,
    pooler_width=64,
)


@pytest.fixture(scope='module')
def params():
  flat = random_init.draw(videoprism_names.shapes(SIZES), 0)
  return unflatten_dict(flat, sep='/')


def taps(old, new):
  """Returns the matrix [new, old] of the specification."""
  step = old / new
  centre = (np.arange(new)[:, None] + 0.5) * step - 0.5
  weights = 1 - abs(np.arange(old) - centre) / max(1, step)
  weights = np.maximum(weights, 0)
  return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(('old', 'new'), [(4, 6), (4, 3), (16, 8), (5, 5)])
def test_positions_are_resized_with_antialiasing(old, new):
  rng = np.random.default_rng(0)
  time, space = rng.normal(size=(old, 3)), rng.normal(size=(old, old, 3))
  a = taps(old, new)
  np.testing.assert_allclose(
      encoder._resized(jnp.asarray(time), (new,)), a @ time, atol=1e-5
  )
  np.testing.assert_allclose(
      encoder._resized(jnp.asarray(space), (new, new)),
      np.einsum('ip,jq,pqc->ijc', a, a, space),
      atol=1e-5,
  )


@pytest.mark.parametrize(
    ('video', 'message'),
    [
        (np.zeros((1, 1, 8, 6, 3), np.float32), r'not \[1, 1, 8, 6, 3\]'),
        (np.zeros((1, 1, 7, 7, 3), np.float32), 'pixels=7: .* multiple of 2'),
        (np.zeros((1, 1, 8, 8, 3), np.uint8), 'uint8; divide by 255'),
        (np.full((1, 1, 8, 8, 3), 255.0), r'values in 255\.\.255'),
    ],
)
def test_frames_of_another_kind_are_refused(params, video, message):
  for function in ('features', 'video'):
    with pytest.raises(UserError, match=message):
      getattr(video_text.VideoTextModel(SIZES), function)(params, video)


def test_attention_in_parts_is_the_same(monkeypatch):
  x = jax.random.normal(jax.random.key(0), (2, 12, 16))
  attention = layers.Attention(2, jnp.float32)
  tree = attention.init(jax.random.key(1), x)
  whole = attention.apply(tree, x)
  monkeypatch.setattr(layers, '_CHUNK', 4)
  np.testing.assert_allclose(attention.apply(tree, x), whole, atol=1e-6)


def test_a_text_does_not_depend_on_its_padding(params):
  model = video_text.VideoTextModel(SIZES)
  ids = np.array([[3, 1, 4, -1, -1]])
  text = jax.jit(model.text)
  short = text(params, ids[:, :3])
  np.testing.assert_allclose(text(params, ids), short, atol=1e-5)


def test_bfloat16_is_near(params):
  video = jax.random.uniform(jax.random.key(0), (1, 4, 8, 8, 3))
  full, half = (
      jax.jit(video_text.VideoTextModel(SIZES, dtype).video)(params, video)[0]
      for dtype in (jnp.float32, jnp.bfloat16)
  )
  assert half.dtype == jnp.float32
  np.testing.assert_allclose(half, full, atol=0.05 * float(abs(full).max()))
