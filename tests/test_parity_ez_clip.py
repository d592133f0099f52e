"""Cases of EZ-CLIP that are spoilt do not pass; large ones go in parts."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from evclip_jax.training.params import merge
from tests.parity import draw, ez_clip
from tests.parity.__main__ import run_case

CASE = pathlib.Path(__file__).parent / 'golden' / 'ez-tiny'
PROMPTS = 'visual.transformer.T_prompt_embeddings'


@pytest.fixture
def spoil(tmp_path):
  """(change of the manifest) -> names of the misses and their notes."""
  case = tmp_path / 'case'
  shutil.copytree(CASE, case)

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
        (lambda m: m.update(frames=16), 'frames 16'),
        (lambda m: m['params'].pop('ln_final.bias'), 'ln_final/bias'),
        (lambda m: m['params'].pop(PROMPTS), 'T_prompt_embeddings'),
        (lambda m: m['trainable'].append('visual.proj'), 'visual.proj'),
        (lambda m: m['config'].update(vision_layers=2), 'vision_layers'),
        (lambda m: m['inputs']['video'].update(shape=[3, 3, 8, 9]), 'video'),
        (lambda m: m['inputs']['video']['shape'].__setitem__(0, 2), 'labels'),
    ],
)
def test_manifests_that_contradict_the_tensors(spoil, change, note):
  missed = spoil(change)
  assert list(missed) == ['case']
  assert note in missed['case']


def test_labels_become_classes():
  texts = np.arange(12).reshape(3, 4)
  labels, classes, per_clip = ez_clip.by_class(
      np.array([7, 3, 7]), texts[[0, 1, 0]]
  )
  assert (labels.tolist(), per_clip) == ([1, 0, 1], False)
  np.testing.assert_array_equal(classes[0], texts[[1, 0]])
  labels, classes, per_clip = ez_clip.by_class(np.array([7, 3, 7]), texts)
  assert (labels.tolist(), per_clip) == ([1, 0, 1], True)
  np.testing.assert_array_equal(classes[0], texts)


def test_a_text_for_each_clip_gives_the_same_results(monkeypatch):
  as_classes = ez_clip.by_class

  def as_clips(labels, tokens):
    labels, _, _ = as_classes(labels, tokens)
    return labels, tokens[None], True

  monkeypatch.setattr(ez_clip, 'by_class', as_clips)
  lines = run_case(CASE)
  assert lines and all(line.ok for line in lines)


def test_clips_one_by_one_are_the_same(monkeypatch):
  case = draw.load_case(CASE)
  video = ez_clip.video_input(case)[:2]
  whole = ez_clip.build(case, video.shape)
  monkeypatch.setattr(ez_clip, '_MEMORY', 0)
  single = ez_clip.build(case, video.shape)
  assert (whole.one_by_one, single.one_by_one) == (False, True)
  params = merge(whole.frozen, whole.trainable)
  for found, expected in zip(
      jax.tree.leaves(jax.jit(single.video)(params, video)),
      jax.tree.leaves(jax.jit(whole.video)(params, video)),
      strict=True,
  ):
    np.testing.assert_allclose(found, expected, atol=1e-5)
