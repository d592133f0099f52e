import jax
import numpy as np

from evclip_jax.models.torch_like import layer_norm, torch_uniform


def test_layer_norm_over_several_axes_is_joint():
  x = np.random.default_rng(0).normal(2, 3, (2, 4, 5)).astype(np.float32)
  y = layer_norm(x, 1.0, 0.0, axes=2)
  np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-6)
  np.testing.assert_allclose(y.std((1, 2)), 1, atol=1e-4)


def test_epsilon_is_pytorchs():
  y = layer_norm(np.array([[0.0, 0.002]], np.float32), 1.0, 0.0, axes=1)
  expected = 0.001 / (1e-6 + 1e-5) ** 0.5
  np.testing.assert_allclose(y, [[-expected, expected]], rtol=1e-5)


def test_uniform_bound_is_one_over_the_root_of_the_inputs():
  x = torch_uniform(16)(jax.random.key(0), (1000,))
  assert 0.24 < float(abs(x).max()) <= 0.25
