"""Cases of EV-CLIP that are spoilt do not pass."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from evclip_jax.models.clip.sizes import TABLE
from tests.methods import tiny
from tests.parity import ev_clip
from tests.parity.__main__ import run_case

GOLDEN = pathlib.Path(__file__).parent / 'golden'
SCALE = 'dec.context_scale'


@pytest.fixture
def spoil(tmp_path):
  """(change of the manifest) -> names of the misses and their notes."""
  case = tmp_path / 'case'
  shutil.copytree(GOLDEN / 'ev-tiny-context', case)

  def act(change):
    path = case / 'manifest.json'
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return {x.name: x.note for x in run_case(case) if not x.ok}

  return act


@pytest.mark.parametrize(
    ('change', 'note'),
    [
        (lambda m: m['prompts'].update(kind='Both'), 'kind both'),
        (lambda m: m['prompts'].update(z_dim=768), 'z_dim 768'),
        (lambda m: m['prompts'].update(frames=16), 'frames 16'),
        (lambda m: m['prompts'].update(bias=True), 'bias True'),
        (lambda m: m['prompts'].update(act='silu'), 'activation'),
        (lambda m: m['prompts']['params'].pop(SCALE), 'context_scale'),
        (lambda m: m['omnivore']['config'].update(depths=[2]), 'depths'),
        (lambda m: m['clip']['params'].pop('ln_final.bias'), 'ln_final/bias'),
        (lambda m: m.pop('lam'), 'lam'),
        (lambda m: m['inputs']['video'].update(shape=[2, 3, 8, 9]), 'video'),
        (lambda m: m['inputs']['video']['shape'].__setitem__(0, 3), 'labels'),
    ],
)
def test_manifests_that_contradict_the_tensors(spoil, change, note):
  missed = spoil(change)
  assert list(missed) == ['case']
  assert note in missed['case']


def test_another_lambda_shows_in_the_total_only(spoil):
  missed = spoil(lambda m: m.update(lam=0.2))
  assert list(missed) == ['total', 'losses']


def test_a_missing_and_a_wrong_gradient_are_missed(spoil):
  def change(manifest):
    del manifest['grads'][SCALE]
    manifest['grads']['dec.feature_adaptation.2.bias'][0] *= 1.01

  assert list(spoil(change)) == [
      'grad dec.feature_adaptation.2.bias',
      f'grad {SCALE}',
  ]


def test_a_clip_in_parts_is_the_same_clip():
  clip = tiny.backbones(False).clip
  params = tiny.params(False)['clip']
  images = jax.random.normal(jax.random.key(0), (6, 224, 224, 3))

  def total(clip):
    def run(images):
      return (clip.images(params, images) ** 2).sum()

    return jax.jit(jax.value_and_grad(run))(images)

  parts = ev_clip.InParts(clip.sizes)
  for found, expected in zip(total(parts), total(clip), strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_only_large_cases_run_in_parts():
  assert ev_clip.memory(TABLE['ViT-B/16'], 16) < ev_clip._MEMORY
  assert ev_clip.memory(TABLE['RN101'], 16) < ev_clip._MEMORY
  assert ev_clip.memory(TABLE['ViT-L/14'], 16) > ev_clip._MEMORY
