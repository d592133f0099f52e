"""EZ-CLIP. Numbers are from the original: the spec's sections 4.2 and 12."""

import jax
import numpy as np
import pytest

from tests.methods.ez_clip import ez_tiny

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


def test_attention_maps_of_the_original():
  method, params = ez_tiny.built('deep')
  maps = jax.jit(method.looks)(params, ez_tiny.pixels())
  assert sorted(maps) == ['with prompts', 'without prompts']
  seen = maps['with prompts']
  assert seen.shape == (2, 4, 4, 4)
  expected = 0.1974019, 0.0349541, 0.0248547
  np.testing.assert_allclose(seen[0, 0, 0, :3], expected, atol=1e-6)
  # The rest is the class token's attention to itself and to the prompt.
  np.testing.assert_allclose(
      1 - seen[0, 0].sum(), 0.0231231 + 0.0540572, atol=1e-5
  )
  assert np.abs(seen - maps['without prompts']).max() > 1e-3
