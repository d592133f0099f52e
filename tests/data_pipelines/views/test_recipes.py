"""Each system's recipe against a second computation.

The second ones are written for one frame or one pixel at a time, from the
definitions; what Pillow does to a picture is asked of Pillow or computed in
whole numbers.
"""

import dataclasses
import pathlib

import numpy as np
import pytest

from data_pipelines.loaders import one_clip
from data_pipelines.video import read
from data_pipelines.views import clip_fsar, ev_clip, ez_clip
from data_pipelines.views.view import Place, squares
from evclip_jax.config import schema
from tests.data_pipelines import coded_clips
from tests.data_pipelines.views.test_pixels import interpolated

REAL = pathlib.Path(__file__).parents[4] / 'shared/videos/apply_eye_makeup.avi'


@pytest.fixture(scope='module')
def frames(tmp_path_factory):
  """uint8 [4, H, W, 3] of a real film; of a generated one without it."""
  path = REAL
  if not path.exists():
    folder = tmp_path_factory.mktemp('film')
    path = coded_clips.write(folder / 'a.mp4', num_frames=16)
  return read.read_frames(str(path), [1, 5, 9, 13])[:, :120, :160]


def close(pixels, wanted):
  assert pixels.dtype == np.uint8
  assert np.abs(pixels - np.clip(wanted, 0, 255)).max() < 0.501


def test_a_trunk_gets_a_square_of_the_same_part(frames):
  plain = ev_clip.Spec(4, 16, 'center', 40, 54, 32)
  for side, wide in ((48, 48), (16, 32)):
    spec = dataclasses.replace(plain, trunk_pixels=side)
    out = spec.cut(frames, (4, 8))
    assert out.shape == spec.shape == (4, 32 + side, wide, 3)
    upper, lower = squares(out, 32)
    close(upper[2], interpolated(frames[2], (40, 54), 'bicubic')[4:36, 8:40])
    # Of a frame that is so much larger, too.
    size = 40 * side // 32, 54 * side // 32
    top, left = 4 * side // 32, 8 * side // 32
    whole = interpolated(frames[2], size, 'bicubic')
    close(lower[2], whole[top : top + side, left : left + side])
    assert out.astype(int).sum() == upper.astype(int).sum() + lower.sum()
    # The same draws, and one square alone is the upper one.
    one, two = (
        s.train_view(4, 25, np.random.default_rng(1)).pixels(frames)
        for s in (plain, spec)
    )
    np.testing.assert_array_equal(squares(two, 32)[0], one)


@pytest.mark.parametrize('size', [(120, 160), (160, 90), (97, 97)])
def test_ev_clip_can_keep_the_aspect(size):
  frames = np.random.default_rng(0).integers(0, 256, (4, *size, 3), np.uint8)
  spec = ev_clip.Spec(4, 16, 'center', 40, 54, 32, resize='short_side')
  short = min(size)
  height, width = (40 * side // short for side in size)
  whole = interpolated(frames[2], (height, width), 'bicubic')
  for crop, part in ((0, 0), (1, 1 / 2), (2, 1)):
    view = spec.eval_view(4, 25, Place(crop=crop, crops=3), None)
    top, left = (height - 32) // 2, (width - 32) // 2
    if height > width:
      top = int((height - 32) * part)
    else:
      left = int((width - 32) * part)
    close(view.pixels(frames)[2], whole[top : top + 32, left : left + 32])
  view = spec.train_view(4, 25, np.random.default_rng(1))
  assert view.pixels(frames).shape == (4, 32, 32, 3)


@pytest.mark.parametrize('flip', [False, True])
def test_clip_fsar_equals_the_definition(frames, flip):
  spec = clip_fsar.Spec(4, 32)
  assert spec.resized_pixels == 36
  out = spec.cut(frames, (1, 4), flip)
  frame = frames[3]
  if flip:
    frame = np.stack([row[::-1] for row in frame])
  close(out[3], interpolated(frame, (36, 36), 'bilinear')[1:33, 4:36])


def antialiased(frame, size, kernel, support):
  """Pillow's resizing of one frame in floats, along both axes."""

  def matrix(n, m):
    scale = max(n / m, 1)
    out = np.zeros((m, n))
    for o in range(m):
      centre = (o + 0.5) * n / m
      low = max(int(centre - support * scale + 0.5), 0)
      high = min(int(centre + support * scale + 0.5), n)
      for i in range(low, high):
        out[o, i] = kernel((i + 0.5 - centre) / scale)
      out[o] /= out[o].sum()
    return out

  # Pillow rounds after each axis; across comes first.
  across = np.einsum('yxc,ox->yoc', frame, matrix(frame.shape[1], size[1]))
  across = np.floor(np.clip(across, 0, 255) + 0.5)
  out = np.einsum('yxc,oy->oxc', across, matrix(frame.shape[0], size[0]))
  return np.floor(np.clip(out, 0, 255) + 0.5)


def triangle(d):
  return max(1 - abs(d), 0)


def cubic(d):
  d = abs(d)
  if d < 1:
    return 1.5 * d**3 - 2.5 * d**2 + 1
  return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0


def test_ez_clip_scoring_equals_the_definition(frames):
  spec = ez_clip.Spec(4, 'center', 32)
  out = spec.cut(frames, Place())
  # 120 x 160 becomes 36 x 48; the crop lies at 2 and 8.
  wanted = antialiased(frames[1], (36, 48), cubic, 2)[2:34, 8:40]
  assert np.abs(out[1] - wanted).max() <= 1
  left, right = (spec.cut(frames, Place(crop=c, crops=3)) for c in (0, 2))
  np.testing.assert_array_equal(left[:, :, 8:], out[:, :, :-8])
  np.testing.assert_array_equal(right[:, :, :-8], out[:, :, 8:])
  upright = spec.cut(frames.transpose(0, 2, 1, 3), Place())
  assert upright.shape == out.shape


def test_crops_lie_at_the_even_half():
  wide = np.zeros((1, 36, 36 + 5, 3), np.uint8)
  wide[:] = np.arange(41)[:, None]
  out = ez_clip.Spec(1, crop_pixels=32).cut(wide, Place())
  # round(4.5) is 4.
  assert out[0, 0, 0, 0] == 4
  assert [Place(crop=c, crops=3).part for c in range(3)] == [0, 0.5, 1]


def test_ez_clip_training_equals_the_definition(frames):
  """Box, resize and flip; the draws are repeated in their order."""
  spec = ez_clip.Spec(4, 'center', 32)
  seen = set()
  for seed in range(12):
    out = spec.augment(frames, np.random.default_rng(seed))
    again = np.random.default_rng(seed)
    top, left, tall, wide = ez_clip.multi_scale_box(
        *frames.shape[1:3], 32, again
    )
    flip = again.random() < 0.5
    box = frames[2, top : top + tall, left : left + wide]
    wanted = antialiased(box, (32, 32), triangle, 1)
    if flip:
      wanted = wanted[:, ::-1]
    assert np.abs(out[2] - wanted).max() <= 1.51
    seen.add(flip)
  assert len(seen) == 2


def test_without_flip_no_clip_is_mirrored(frames):
  step = np.zeros((1, 120, 160, 3), np.uint8)
  step[:, :, 80:] = 255
  spec = ez_clip.Spec(1, 'center', 32, flip=False)
  for seed in range(20):
    out = spec.augment(step, np.random.default_rng(seed))
    assert np.all(np.diff(out[0, 0, :, 0].astype(int)) >= 0)


def test_half_of_the_queries_are_mirrored(frames):
  spec = clip_fsar.Spec(4, 32, query_augment=True)

  def pixels(query, seed):
    generator = np.random.default_rng(seed)
    view = spec.train_view(40, 25.0, generator, query)
    return view.frames, view.pixels(frames)

  mirrored = []
  for seed in range(12):
    plain, changed = pixels(False, seed), pixels(True, seed)
    np.testing.assert_array_equal(plain[0], changed[0])
    mirrored.append((plain[1] != changed[1]).mean() > 0.5)
  assert 2 < sum(mirrored) < 10


@pytest.mark.parametrize('recipe', [ev_clip, ez_clip, clip_fsar])
def test_recipes_are_found_by_name(recipe):
  config = schema.base()
  config.data.preprocess = recipe.__name__.split('.')[-1]
  schema.check(config)
  spec = one_clip.spec_of(config.data)
  assert type(spec) is recipe.Spec and spec.shape == (8, 224, 224, 3)
