"""The implementations of CLIP's attention, and the choice of one."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.models.clip import attention


def device(platform, version='', capability='9.0'):
  client = types.SimpleNamespace(platform_version=version)
  return types.SimpleNamespace(
      platform=platform, client=client, compute_capability=capability
  )


HOPPER = device('gpu', 'PJRT C API\ncuda 12090')


@pytest.mark.parametrize(
    ('where', 'dtype', 'depth', 'seen', 'wanted'),
    [
        (HOPPER, jnp.bfloat16, 64, False, 'cudnn'),
        (HOPPER, jnp.float16, 64, False, 'cudnn'),
        (HOPPER, jnp.float32, 64, False, 'xla'),
        # A hook needs the probabilities.
        (HOPPER, jnp.bfloat16, 64, True, 'xla'),
        # The kernel does not take these heads.
        (HOPPER, jnp.bfloat16, 12, False, 'xla'),
        (HOPPER, jnp.bfloat16, 256, False, 'xla'),
        (device('gpu', 'cuda 12090', '7.5'), jnp.bfloat16, 64, False, 'xla'),
        (device('gpu', 'rocm 60000'), jnp.bfloat16, 64, False, 'xla'),
        (device('tpu'), jnp.bfloat16, 64, False, 'xla'),
        (device('cpu'), jnp.bfloat16, 64, False, 'xla'),
    ],
)
def test_the_choice(where, dtype, depth, seen, wanted):
  dtype = jnp.dtype(dtype)
  assert attention.implementation(where, dtype, depth, seen) == wanted


def test_the_choice_is_followed(monkeypatch):
  monkeypatch.setattr(attention, 'implementation', lambda *_: 'cudnn')
  monkeypatch.setattr(attention, 'fused', lambda q, *_: jnp.ones_like(q))
  module = attention.Attention(2, False, 0.1, jnp.float32)
  x = jnp.ones((1, 3, 4))
  params = module.init(jax.random.key(0), x)['params']
  out = module.apply({'params': params}, x)
  expected = params['out_proj']['kernel'].sum(0) + params['out_proj']['bias']
  np.testing.assert_allclose(out, np.tile(expected, (1, 3, 1)), rtol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_the_fused_kernel_computes_the_same(causal, dtype):
  shape = (4, 197, 3, 2, 64)
  q, k, v = jnp.moveaxis(jax.random.normal(jax.random.key(0), shape), 2, 0)
  exact = attention.plain(q, k, v, causal)

  def loss(q, k, v):
    return attention.fused(q, k, v, causal).astype(jnp.float32).sum()

  low = [x.astype(dtype) for x in (q, k, v)]
  np.testing.assert_allclose(
      np.asarray(attention.fused(*low, causal), np.float32), exact, atol=1e-2
  )
  given = (lambda *x: attention.plain(*x, causal).sum()), (0, 1, 2)
  for found, wanted in zip(
      jax.grad(loss, (0, 1, 2))(*low), jax.grad(*given)(q, k, v), strict=True
  ):
    np.testing.assert_allclose(np.asarray(found, np.float32), wanted, atol=3e-2)
