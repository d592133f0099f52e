"""Golden cases pass, and cases that are spoilt do not."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from tests.parity import compare, ez_clip
from tests.parity.__main__ import main, run_case, table

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
CASES = sorted(p.name for p in GOLDEN.iterdir() if p.is_dir())
# The fastest one; what is spoilt below fails in code all kinds share.
QUICK = 'clip-tiny-vit'
# Other cases hold all that these compare.
CONTAINED = (
    'ev-tiny-mask', 'fsar-1shot', 'omnivore-tiny-t8', 'videoprism-tiny-a'
)


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in CONTAINED))
        for name in CASES
    ],
)
def test_golden_case(name):
  lines = run_case(GOLDEN / name)
  assert all(line.ok for line in lines), table(lines)
  assert len(lines) >= 2


@pytest.fixture
def copied(tmp_path):
  """(name of a case) -> a copy of it, to be spoilt."""

  def copy(name):
    folder = tmp_path / name
    shutil.copytree(GOLDEN / name, folder, dirs_exist_ok=True)
    return folder

  return copy


@pytest.fixture
def case(copied):
  return copied(QUICK)


def with_manifest(case, change):
  """Rewrites the manifest."""
  path = case / 'manifest.json'
  manifest = json.loads(path.read_text())
  change(manifest)
  path.write_text(json.dumps(manifest))
  return run_case(case)


def with_expected(case, change):
  """Rewrites the expected arrays."""
  path = case / 'expected.npz'
  arrays = dict(np.load(path))
  change(arrays)
  np.savez(path, **arrays)
  return run_case(case)


def missed(lines):
  return [line.name for line in lines if not line.ok]


def change(name, index, value):
  def act(arrays):
    arrays[name] = arrays[name].copy()
    arrays[name][index] = value

  return act


def images(change):
  return lambda a: a.update(image_features=change(a['image_features']))


@pytest.mark.parametrize(
    ('spoil', 'names'),
    [
        (change('image_features', (1, 31), 0.0), ['image_features']),
        (change('text_features', (0, 0), np.nan), ['text_features']),
        (change('tokens', (0, 3), 5), ['text_features', 'logits_per_image']),
        (change('tokens', (0, 3), 49408), ['case']),
        (lambda a: a.pop('text_features'), ['text_features']),
        (lambda a: a.clear(), ['case']),
        (lambda a: a.update(more=np.ones(2, 'f')), ['more']),
        (images(lambda x: x[None]), ['image_features']),
        (images(lambda x: x[:1]), ['image_features']),
        (images(lambda x: np.zeros_like(x, int)), ['image_features']),
    ],
)
def test_spoilt_expectations_are_missed(case, spoil, names):
  assert missed(with_expected(case, spoil)) == names


ALL = ['image_features', 'text_features', 'logits_per_image']
BIAS = 'visual.ln_post.bias'


@pytest.mark.parametrize(
    ('spoil', 'names'),
    [
        (lambda m: m.update(salt='other'), ALL),
        (lambda m: m['params'][BIAS].update(std=0.2), [ALL[0], ALL[2]]),
        (lambda m: m['inputs']['images'].update(mean=0.1), [ALL[0], ALL[2]]),
        (lambda m: m['params'].update({'x': m['params'][BIAS]}), ['case']),
        (lambda m: m['params'][BIAS].update(shape=[64]), ['case']),
        (lambda m: m['inputs']['images'].update(shape=[2, 3, 9, 9]), ['case']),
        (lambda m: m.update(kind='mystery'), ['case']),
        (lambda m: m.pop('kind'), ['case']),
        (lambda m: m.update(arch='ViT-B-32'), ['case']),
        (lambda m: m.update(config={'vision_width': 64}), ['case']),
        (lambda m: m.update(config={'transformer_heads': 2}), ALL[1:]),
    ],
)
def test_spoilt_manifests_are_missed(case, spoil, names):
  assert missed(with_manifest(case, spoil)) == names


SCALE, LAST = 'dec.context_scale', 'dec.feature_adaptation.2.bias'
EV, EZ, FSAR = 'ev-tiny-context', 'ez-tiny', 'fsar-1shot-combine'


def video(shape):
  return lambda m: m['inputs']['video'].update(shape=shape)


@pytest.mark.parametrize(
    ('name', 'spoil', 'note'),
    [
        (EV, lambda m: m['prompts'].update(kind='Both'), 'kind both'),
        (EV, lambda m: m['prompts'].update(z_dim=768), 'z_dim 768'),
        (EV, lambda m: m['prompts']['params'].pop(SCALE), 'context_scale'),
        (EV, lambda m: m.pop('lam'), 'lam'),
        (EV, video([2, 3, 8, 9]), 'video'),
        (EZ, lambda m: m.update(frames=16), 'frames 16'),
        (EZ, lambda m: m['trainable'].append('visual.proj'), 'visual.proj'),
        (EZ, video([3, 3, 8, 9]), 'video'),
        (FSAR, lambda m: m.update(dim=32), 'dim 32'),
        (FSAR, lambda m: m.update(shot=2), 'equally many'),
        (FSAR, lambda m: m['flags'].update(PROTO=True), 'PROTO'),
        (FSAR, lambda m: m['params'].pop('scale'), 'method/scale'),
        (FSAR, lambda m: m.pop('adam'), 'adam'),
    ],
)
def test_manifests_that_contradict_the_tensors(copied, name, spoil, note):
  (line,) = with_manifest(copied(name), spoil)
  assert line.name == 'case' and note in line.note


def spoil_ev(manifest):
  manifest['lam'] = 0.2
  del manifest['grads'][SCALE]
  manifest['grads'][LAST][0] *= 1.01


def spoil_fsar(manifest):
  manifest['class_weight'] = 1.5
  manifest['flags']['EVAL_TEXT'] = True


@pytest.mark.parametrize(
    ('name', 'spoil', 'names'),
    [
        (EV, spoil_ev,
         ['total', 'losses', f'grad {LAST}', f'grad {SCALE}']),
        (FSAR, spoil_fsar,
         ['eval_logits', 'total', 'losses', 'grad scale']),
    ],
)
def test_another_setting_shows_where_it_acts(copied, name, spoil, names):
  assert sorted(missed(with_manifest(copied(name), spoil))) == sorted(names)


@pytest.mark.parametrize('name', ['manifest.json', 'expected.npz'])
@pytest.mark.parametrize('content', [b'[]', None])
def test_broken_files_are_missed_and_the_next_case_runs(
    case, name, content, capsys
):
  path = case / name
  path.write_bytes(path.read_bytes()[:700] if content is None else content)
  assert main([str(case), str(GOLDEN / QUICK)]) == 1
  out = capsys.readouterr().out
  assert '2 cases, 4 comparisons: 3 ok, 1 MISS' in out
  assert f'missed: {case}' in out and name in out


def test_gradients_are_compared_by_norm_and_first_elements():
  ones, zeros = [1.0] * 4, [0.0] * 4
  for norm, first, ours, ok in (
      (2.0, ones, ones, True),
      (2.01, ones, ones, False),
      (2.0, [1, 1, 1, 1.01], ones, False),
      (2.0, [1, 1, 1], ones, False),
      (2.0, [1, 1, 1, 1, 1], ones, False),
      (np.nan, ones, ones, False),
      (0.0, zeros, ones, False),
      (2.0, ones, [1, 1, 1, np.nan], False),
      (10.0, ones, [1.0] * 100, True),
      # The first elements agree, others do not.
      (10.0, ones, [1.0] * 50 + [1.1] * 50, False),
      (0.0, zeros, zeros, True),
      (0.5, [-0.5], -0.5, True),
  ):
    (line,) = compare.gradients({'w': [norm, first]}, {'w': np.array(ours)})
    assert line.ok == ok, (norm, first, ours)


def test_trajectories_have_their_own_tolerance():
  expected = {'losses': np.array([1.0, 2.0], 'f'), 'total': np.array(1.0, 'f')}
  ours = {'losses': np.array([1.0, 2.003]), 'total': np.array(1.0005)}
  lines = {x.name: x for x in compare.outputs(expected, ours)}
  assert lines['losses'].ok and not lines['total'].ok
  assert not compare.outputs(expected, ours | {'losses': [1.0, 2.005]})[0].ok


def test_a_text_for_each_clip_gives_the_same_results(monkeypatch):
  as_classes = ez_clip.by_class

  def as_clips(labels, tokens):
    labels, _, _ = as_classes(labels, tokens)
    return labels, tokens[None], True

  monkeypatch.setattr(ez_clip, 'by_class', as_clips)
  lines = run_case(GOLDEN / EZ)
  assert lines and all(line.ok for line in lines)
