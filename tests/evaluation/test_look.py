"""What a looker shows of clips whose frames are made worse."""

from types import SimpleNamespace

import numpy as np

from evclip_jax.evaluation import look
from evclip_jax.methods.base import VideoFeatures
from evclip_jax.models.corruptions import Corrupted
from evclip_jax.training import devices
from evclip_jax.training.session import Session


def _video(params, pixels, key, training):
  del params, key, training
  return VideoFeatures(pixels.mean((1, 2, 3)), pixels.mean((2, 3)))


def test_pictures_show_the_frames_that_were_scored():
  method = SimpleNamespace(
      pixels=Corrupted(lambda frames, rng: frames / 255 - 0.5, 'occlude:5', 1),
      video=_video,
      looks=None,
  )
  trees = 'trainable', 'statistics', 'frozen', 'shardings', 'hashes', 'sources'
  run = Session(
      method=method, tokenizer=None, clip=None, mesh=devices.make_mesh(1),
      class_names=[], **{name: {} for name in trees},
  )  # fmt: skip
  clips = np.full((3, 2, 64, 64, 3), 255, np.uint8)
  clips[1] = 0
  seen = look.Looker(run, {}, 2)(clips, score=False)
  for one, plain in zip(seen, clips, strict=True):
    hidden = one.frames != plain
    # Grey covers half of the area, at the same place in all frames.
    assert abs(hidden.mean() - 0.5) < 0.03
    assert set(one.frames[hidden].tolist()) <= {127, 128}
    np.testing.assert_allclose(
        one.features, (one.frames / 255 - 0.5).mean((0, 1, 2)), atol=1e-5
    )
  # Grey is 0 after this normalisation, corrupted or not.
  np.testing.assert_allclose(look.fill_colour(method), 0.5, atol=1e-6)
