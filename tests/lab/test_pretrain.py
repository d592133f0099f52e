"""The recipe of the packaged networks, in small, and what it made."""

import pathlib

import jax
import numpy as np
import pytest
import safetensors

from data_pipelines.demo import scenes
from data_pipelines.demo.shapes import COLOURS
from data_pipelines.views.pixels import resize
from evclip_jax.lab import albums, pretrain, pretrain_clip
from evclip_jax.lab.recipe import principal_filters
from evclip_jax.models import pixels as video
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.tokenizer import learn
from evclip_jax.weights import vocabulary
from evclip_jax.weights.load import load_clip, load_encoder

ASSETS = pathlib.Path(pretrain.__file__).parent.parent / 'assets'
WEIGHTS = ('tiny_clip.safetensors', 'tiny_encoder.safetensors')


def test_captions_are_of_known_words_only():
  scene = scenes.draw_scene(0, 0, ('rolling', 'cup'), 'bright')
  rng = np.random.default_rng(0)
  said = {pretrain_clip.caption(scene, rng) for _ in range(200)}
  assert 'a video of rolling cup.' in said
  # One of them comes in two manners.
  assert len(said) == len(pretrain_clip.TEMPLATES) + 1
  known = ' '.join(pretrain_clip.corpus())
  for sentence in said:
    assert set(sentence.split()) <= set(known.split())


def test_an_album_holds_pretraining_classes_and_does_not_depend_on_workers(
    tmp_path,
):
  one, two = (
      albums.make_album(
          'x', 0, scenes.DOMAINS, 40, tmp_path / str(n), workers=n
      )
      for n in (1, 2)
  )
  np.testing.assert_array_equal(one.images, two.images)
  assert one.images.shape == (40, 1, 120, 160, 3)
  allowed = set(scenes.pretraining_classes())
  assert {(s.motion, s.thing) for s in one.scenes} <= allowed
  first, second, _ = (
      {s.seed for s in drawn} for drawn, _ in one.batches(0, 16, 3)
  )
  assert len(first) == 16 and not first & second  # one epoch


def test_view_is_the_pipelines_resize_and_crop():
  scene = scenes.draw_scene(0, 0, ('rolling', 'cup'), 'bright')
  picture = scenes.render(scene, [0])
  seen = np.asarray(albums.view(picture[None], None))[0, 0]
  large = resize(picture, 256, 340)[0]
  wanted = large[16:240, 58:282].astype(float)
  # The lab does not round to whole grey levels.
  np.testing.assert_allclose(seen, wanted, atol=1.01)


def test_principal_filters_even_out_the_directions():
  rng = np.random.default_rng(0)
  patches = rng.normal(size=(10000, 4)) * [9.0, 3.0, 1.0, 0.1]
  filters = principal_filters(patches[:5000], 2, 0.0)
  assert filters.shape == (4, 2)
  answers = patches[5000:] @ filters
  np.testing.assert_allclose(answers.std(axis=0), 1, rtol=0.05)


@pytest.mark.slow
def test_the_recipe_runs_and_its_files_load(tmp_path):
  pretrain.make(tmp_path / 'out', tmp_path / 'albums', steps=2)
  clip = load_clip('', str(tmp_path / 'out' / WEIGHTS[0]))
  trunk = load_encoder('', str(tmp_path / 'out' / WEIGHTS[1]))
  assert clip.sizes == load_clip('tiny').sizes
  assert trunk.sizes == load_encoder('tiny').sizes


def test_assets_are_small_and_in_half_precision():
  total = sum(p.stat().st_size for p in ASSETS.iterdir() if p.is_file())
  assert total <= 3_000_000
  for name in WEIGHTS:
    with safetensors.safe_open(ASSETS / name, 'np') as file:
      kinds = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
    assert kinds == {np.dtype(np.float16)}


def test_vocabulary_spells_any_name_and_knows_the_worlds_words():
  tokenizer = vocabulary.load_tokenizer('tiny')
  for word in (*scenes.MOTIONS, *scenes.OBJECTS):
    assert len(tokenizer.ids(word)) == 1, word
  for word in (*scenes.MANNERS, *COLOURS):
    assert len(tokenizer.ids(word)) <= 2, word
  assert len(tokenizer.ids('applying-eye makeup 42 é')) > 4
  # As shipped = as the recipe learns it.
  learned = learn(pretrain_clip.corpus(), pretrain_clip.MERGES)
  assert tokenizer.vocabulary.ids == learned.ids


def test_zero_shot_names_bright_scenes_of_classes_never_trained_on():
  loaded = load_clip('tiny')
  clip, params = Clip(loaded.sizes), loaded.params
  tokenizer = vocabulary.load_tokenizer('tiny')
  names = [scenes.class_name(*pair) for pair in scenes.DEMO_CLASSES]
  texts = jax.jit(clip.text)(
      params, tokenizer.encode([f'A video of {name}.' for name in names])
  )
  drawn = [
      scenes.draw_scene(0, n, pair, 'bright', 'test of the packaged CLIP')
      for pair in scenes.DEMO_CLASSES
      for n in range(4)
  ]
  drawn = np.stack([scenes.render(scene, [6]) for scene in drawn])
  images = albums.view(drawn, None)[:, 0]
  pixels = video.normalise(images, video.IMAGENET_MEAN, video.IMAGENET_STD)
  seen = jax.jit(clip.images)(params, pixels)
  scores = np.asarray(_unit(seen) @ _unit(texts).T)
  right = scores.argmax(axis=1) == np.repeat(np.arange(10), 4)
  # Chance is 10 %; for 40 draws 30 % is already beyond three deviations.
  assert right.mean() > 0.3


def _unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)
