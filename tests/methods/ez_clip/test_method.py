"""Numbers: sections 4.2 and 12 of the specification, from the original."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from evclip_jax.methods import base, losses
from evclip_jax.methods.ez_clip import checkpoint as interop
from evclip_jax.methods.ez_clip import method as ez_clip
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.training import optimizer as optim
from evclip_jax.training.params import merge, split
from tests.methods.ez_clip import ez_tiny


def backbones(clip, num_frames=8, **fields):
  sizes = clip_sizes.TABLE[clip]
  return base.Backbones(Clip(sizes, **fields), None, num_frames)


@pytest.mark.parametrize(
    ('clip', 'num_frames', 'kind', 'expected'),
    [
        ('ViT-B/16', 8, 'deep', 5_204_736),
        ('ViT-B/32', 8, 'deep', 5_204_736),
        ('ViT-B/16', 16, 'deep', 5_278_464),
        ('ViT-B/16', 8, 'shallow', 5_137_152),
        ('ViT-B/16', 8, 'none', 5_131_008),
        ('ViT-B/16', 8, 'adapter', 8_681_472),
        ('ViT-L/14', 8, 'deep', 16_360_704),
        ('ViT-L/14', 16, 'deep', 16_557_312),
        ('ViT-L/14', 8, 'adapter', 28_777_728),
    ],
)
def test_trainable_parameter_counts(clip, num_frames, kind, expected):
  method = ez_clip.make(
      ez_clip.Settings(temporal=kind), backbones(clip, num_frames), ()
  )
  tree = jax.eval_shape(method.init, jax.random.key(0))
  assert sum(leaf.size for leaf in jax.tree.leaves(tree)) == expected


def test_the_specifications_numbers_are_drawn_right():
  found = ez_tiny.series(3, 7)
  expected = -0.46426936, -0.99052304, -0.77788852
  np.testing.assert_allclose(found, expected, atol=1e-8)
  state = ez_tiny.state('deep')
  assert len(state) == 80
  for name, expected in (
      ('visual.conv1.weight', 7.66299409),
      ('visual.temporal_embedding', 0.42859426),
      ('visual.transformer.T_prompt_embeddings', 10.19534308),
  ):
    total = state[name].astype(np.float64).sum()
    np.testing.assert_allclose(total, expected, atol=1e-5)


VECTORS = {
    'deep': (
        (-1.5117111, -0.8055163, -0.4824841, 1.1934394),
        (-0.5676504, -1.4430137, -0.4213526, -1.4638229),
        (-0.5980040, -1.2508573, -0.8365254, 0.2615069),
        (22.090588, 390.873277),
        (-3.2542578, 2.6048895, -4.3624707),
        (-0.9486685, 4.6009924, -5.9104479),
    ),
    'shallow': (
        (-1.4532612, -0.7833677, -0.4124938, 1.2618620),
        (-0.5580011, -1.4511169, -0.4119034, -1.4616958),
        (-0.5674634, -1.2236367, -0.8129038, 0.2675455),
        (21.347072, 391.431102),
        (-2.8281589, 2.7509315, -4.4304782),
        (-0.8040649, 4.5828263, -5.9551819),
    ),
    'none': (
        (0.8602607, 0.0769962, 0.0847091, 0.5739772),
        (0.7215249, -0.6940220, -0.6026288, -0.0008424),
        (0.7516178, 0.0542613, 0.5072315, -0.1995610),
        (-67.602681, 396.904114),
        (22.8835958, 19.7014978, 20.1618920),
        (17.5412661, 12.9430106, 13.5441478),
    ),
    'adapter mixed': (
        (0.2416114, -0.8777517, -0.8914075, -0.0353722),
        (-0.0015988, -0.8351549, -0.7372766, -0.8525162),
        (0.7100924, -0.0265171, -0.4010474, -0.0190334),
        (12.600247, 387.080656),
        (-2.4012188, -2.9842094, 5.9926533),
        (-2.6661143, -2.5401286, 7.1465847),
    ),
    'adapter': (
        (0.1848049, -0.8383346, -0.9310922, -0.0531935),
        (-0.0945707, -0.8541170, -0.6123847, -1.0481535),
        (0.7423219, -0.0800002, -0.3738526, 0.0077869),
        (12.338510, 388.394394),
        None,
        None,
    ),
}


@pytest.mark.parametrize('name', VECTORS)
def test_vectors_of_the_original(name):
  kind, _, mixed = name.partition(' ')
  frames, texts, logits = ez_tiny.outputs(kind, bool(mixed))
  first, second, third, sums, *rows = VECTORS[name]
  np.testing.assert_allclose(frames[0, 0, :4], first, atol=2e-5)
  np.testing.assert_allclose(frames[0, 1, :4], second, atol=2e-5)
  np.testing.assert_allclose(frames[1, 3, :4], third, atol=2e-5)
  found = frames.sum(), np.abs(frames).sum()
  np.testing.assert_allclose(found, sums, rtol=2e-5)
  expected = -0.4174151, -0.0302714, 1.4424774, -0.8818717
  np.testing.assert_allclose(texts[1, :4], expected, atol=1e-5)
  np.testing.assert_allclose(texts.sum(), 15.603117, rtol=1e-5)
  if rows[0]:
    np.testing.assert_allclose(logits, rows, atol=5e-4)


def test_motion_of_the_original():
  frames, _, _ = ez_tiny.outputs('deep')
  found = losses.motion(jnp.asarray(frames), jnp.ones(2))
  np.testing.assert_allclose(found, 0.5525095455177176, rtol=1e-5)


def test_attention_maps_of_the_original():
  method, params = ez_tiny.built('deep')
  maps = jax.jit(method.looks)(params, ez_tiny.pixels())
  assert sorted(maps) == ['with prompts', 'without prompts']
  seen = maps['with prompts']
  assert seen.shape == (2, 4, 4, 4)
  expected = 0.1974019, 0.0349541, 0.0248547
  np.testing.assert_allclose(seen[0, 0, 0, :3], expected, atol=1e-6)
  # The rest is what the class token sees of itself and of the prompt.
  np.testing.assert_allclose(
      1 - seen[0, 0].sum(), 0.0231231 + 0.0540572, atol=1e-5
  )
  assert np.abs(seen - maps['without prompts']).max() > 1e-3


def test_a_training_step_of_the_original():
  method, params = ez_tiny.built('deep')
  trainable, frozen = split(params, method.trainable)
  assert 'method/temporal_embedding' in frozen
  batch = {'label': np.array([1, 0]), 'mask': np.ones(2, np.float32)}
  tokens = jnp.asarray(ez_tiny.tokens()[None, :2])

  @jax.jit
  def step(trainable):
    def objective(trainable):
      params = merge(frozen, trainable)
      features = method.video(params, ez_tiny.pixels(), None, True)
      total, parts = method.loss(params, features, tokens, batch, None)
      return total, parts | {'frames': features.frames}

    (total, parts), grads = jax.value_and_grad(objective, has_aux=True)(
        trainable
    )
    return total, parts, grads

  total, parts, grads = step(trainable)
  for found, expected in (
      (parts['video_to_text'], 2.7777856672651575),
      (parts['text_to_video'], 1.1087975701831605),
      (parts['motion'], 0.5525095455177176),
      (total, 2.4958011642418763),
  ):
    np.testing.assert_allclose(found, expected, rtol=2e-5)
  named = interop.to_original(
      {p.removeprefix('method/'): np.asarray(g) for p, g in grads.items()}
  )
  blocks = 'visual.transformer.resblocks'
  text = 'transformer.resblocks.0.Adapter.D_fc2.weight'
  for name, norm in (
      ('visual.transformer.T_prompt_embeddings', 0.7691523253622722),
      (f'{blocks}.0.Adapter.D_fc1.weight', 15.002125888264587),
      (f'{blocks}.1.Adapter.D_fc2.bias', 1.2963152584941227),
      (text, 5.569424918010312),
  ):
    np.testing.assert_allclose(np.linalg.norm(named[name]), norm, rtol=1e-4)
  np.testing.assert_allclose(
      named[f'{blocks}.0.Adapter.D_fc1.weight'].sum(), -8.165525381, rtol=1e-4
  )
  optimizer = optim.adamw(1e-3, 0.9, 0.98, 1e-8, 0.2)

  @jax.jit
  def update(grads, trainable):
    updates, _ = optimizer.update(grads, optimizer.init(trainable), trainable)
    return optax.apply_updates(trainable, updates)

  after = jax.device_get(update(grads, trainable))
  for path, expected in (
      ('method/temporal_prompts', 10.20130328303046),
      ('method/text/adapter.0/D_fc2/kernel', 5.014503561328231),
  ):
    np.testing.assert_allclose(after[path].sum(), expected, atol=2e-3)
  frames = step(after)[1]['frames']
  np.testing.assert_allclose(
      np.abs(frames).sum(), 395.57116722524796, rtol=1e-4
  )
