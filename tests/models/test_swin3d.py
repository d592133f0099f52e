"""Omnivore's trunk. Numbers are from the original: the spec's fixture A3."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from evclip_jax.models.swin3d.sizes import TABLE, VideoEncoderSizes
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.weights import swin3d_names
from tests import spec_numbers

TINY = VideoEncoderSizes(8, (2, 2), (1, 2), (4, 7, 7), drop_path=0.5)
encode = jax.jit(VideoEncoder(TINY).features)


@pytest.fixture(scope='module')
def tiny():
  return VideoEncoder(TINY).init(jax.random.key(0))


def fixture_tensors(sizes):
  zeros = {p: np.zeros(s) for p, s in swin3d_names.shapes(sizes).items()}
  names = {n: v.shape for n, v in swin3d_names.to_original(zeros).items()}
  # The fixture also numbers the tensors of the unused depth embedding.
  names['depth_patch_embed.proj.weight'] = (sizes.embed, 1, 2, 4, 4)
  for name in ('proj.bias', 'norm.weight', 'norm.bias'):
    names[f'depth_patch_embed.{name}'] = (sizes.embed,)
  return spec_numbers.fill(names)


# Trunk, frames, (mean, standard deviation) and four values of the features.
A3 = (
    ('omnivore_swinT', 8, (0.0030609424, 1.0005522625),
     [-0.347503515, -0.370504356, 0.460710151, -1.362483914]),
    ('omnivore_swinT', 32, (0.0030673412, 1.0005915175),
     [-0.442603015, -0.335657739, 0.480382256, -1.143730673]),
    ('omnivore_swinS', 8, (0.0004265801, 1.0063183854),
     [1.192481096, -0.968646980, 0.819734571, 0.664672446]),
    ('omnivore_swinS', 7, (0.0003573239, 1.0064871487),
     [1.286596801, -0.746776288, 0.654301196, 0.541781630]),
    ('omnivore_swinB', 8, (-0.0004983658, 1.0019000036),
     [2.704790481, 1.186709744, -1.295559723, -1.070043580]),
)  # fmt: skip


@pytest.mark.parametrize(
    ('trunk', 'num_frames', 'moments', 'values'),
    [A3[0], *(pytest.param(*row, marks=pytest.mark.slow) for row in A3[1:])],
)
def test_fixture_a3(trunk, num_frames, moments, values):
  sizes = TABLE[trunk]
  converted = swin3d_names.from_original(fixture_tensors(sizes))
  video = spec_numbers.tensor((1, 3, num_frames, 224, 224), 779, 1.7)
  f = jax.jit(VideoEncoder(converted.sizes).features)(
      unflatten_dict(converted.flat, sep='/'), video.transpose(0, 2, 3, 4, 1)
  )
  f = np.asarray(f).transpose(0, 4, 1, 2, 3)
  depth = -(-num_frames // 2)
  assert f.shape == (1, sizes.channels, depth, 7, 7)
  np.testing.assert_allclose([f.mean(), f.std()], moments, atol=1e-5)
  found = [
      f[0, 0, 0, 0, 0],
      f[0, 1, 0, 3, 4],
      f[0, 100, -1, 6, 6],
      f[0, -1, depth // 2, 0, 6],
  ]
  np.testing.assert_allclose(found, values, atol=1e-4)


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('omnivore_swinT', 27_850_470),
        ('omnivore_swinS', 49_509_078),
        ('omnivore_swinB', 88_655_688),
    ],
)
def test_parameter_counts(name, parameters):
  tree = VideoEncoder(TABLE[name]).shapes()
  assert sum(leaf.size for leaf in jax.tree.leaves(tree)) == parameters


@pytest.mark.parametrize(
    ('shape', 'expected'),
    [
        ((2, 8, 56, 56, 3), (2, 4, 7, 7, 16)),
        ((1, 7, 56, 56, 3), (1, 4, 7, 7, 16)),  # odd T
        ((1, 1, 56, 56, 3), (1, 1, 7, 7, 16)),  # one image
        ((1, 12, 60, 45, 3), (1, 6, 8, 6, 16)),  # ragged in every axis
    ],
)
def test_any_size_of_video(tiny, shape, expected):
  video = jax.random.normal(jax.random.key(1), shape)
  features = encode(tiny, video)
  assert features.shape == expected
  assert features.dtype == jnp.float32
  assert jnp.isfinite(features).all()


def test_an_odd_video_is_one_with_a_grey_frame_more(tiny):
  video = jax.random.normal(jax.random.key(1), (1, 7, 56, 56, 3))
  padded = jnp.pad(video, ((0, 0), (0, 1), (0, 0), (0, 0), (0, 0)))
  np.testing.assert_array_equal(encode(tiny, video), encode(tiny, padded))


def test_clips_do_not_see_each_other(tiny):
  video = jax.random.normal(jax.random.key(1), (3, 8, 56, 56, 3))
  np.testing.assert_allclose(
      encode(tiny, video)[1], encode(tiny, video[1:2])[0], atol=1e-5
  )


def test_drop_path_needs_a_key_and_changes_the_features(tiny):
  video = jax.random.normal(jax.random.key(1), (4, 8, 56, 56, 3))
  plain = encode(tiny, video)
  np.testing.assert_array_equal(plain, encode(tiny, video))
  noisy = encode(tiny, video, jax.random.key(3))
  assert float(jnp.abs(noisy - plain).max()) > 0.01


def test_bfloat16_returns_float32_nearby(tiny):
  video = jax.random.normal(jax.random.key(1), (1, 8, 56, 56, 3))
  half = jax.jit(VideoEncoder(TINY, jnp.bfloat16).features)(tiny, video)
  assert half.dtype == jnp.float32
  np.testing.assert_allclose(half, encode(tiny, video), atol=0.1)
