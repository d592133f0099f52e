"""The whole analysis of a run on bright clips and their darkened copies."""

import csv
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

import evclip_jax
from data_pipelines.errors import UserError
from evclip_jax.domain_shift import analyse
from evclip_jax.runs import run as runs
from tests import clips
from tests.runs import tiny_run

GAINS = {'bright': 1.0, 'dim': 0.3, 'dark': 0.04}
NUMBER = 16


def write_clip(path, seed, gain):
  """A square that moves over texture; gain is of linear light."""
  rng = np.random.default_rng(seed)
  image = rng.uniform(20, 230, (6, 8, 3)).repeat(10, axis=0).repeat(10, axis=1)
  frames = np.stack([image] * 12)
  for t, frame in enumerate(frames):
    frame[20:40, 3 * t : 3 * t + 20] = rng.uniform(0, 255, 3)
  frames = 255 * (gain * (frames / 255) ** 2.2) ** (1 / 2.2)
  clips.write_frames(path, frames.round().astype(np.uint8))


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A run that scored three lists and fails on the dark one alone."""
  root = tmp_path_factory.mktemp('data')
  changes = {'data.workers': 2, 'data.score_own': False}
  changes['cache_dir'] = str(root / 'cache')
  config = tiny_run.config('zero_shot', root / 'bright', changes)
  for name, gain in GAINS.items():
    config.data.others[name] = {'name': 'folder', 'root': str(root / name)}
    for i in range(NUMBER):
      write_clip(root / name / f'class_{i % 2}' / f'{i}.mp4', i, gain)
  workdir = root / 'run'
  runs.run(config, str(workdir), 'evaluate')
  for name in GAINS:
    file = workdir / 'evaluation' / f'{name}.npz'
    arrays = dict(np.load(file))
    answer = arrays['labels'] ^ (name == 'dark')
    arrays['log_probabilities'] = np.eye(2, dtype=np.float32)[answer]
    np.savez(file, **arrays)
  return workdir


@pytest.fixture(scope='module')
def result(finished):
  return evclip_jax.shift(str(finished), corruptions=['darken'])


def test_the_dark_is_what_matters(result):
  first, *others = result['influence']['zero_shot']['factors']
  assert first['factor'] == 'luminance' and first['significant']
  assert not any(x['significant'] for x in others)
  assert 'mostly in light' in result['sentences'][1]
  assert 'goes with luminance' in result['sentences'][2]


def test_darkened_copies_are_ranked_by_every_distance(result):
  dim, dark = (result['distances'][n]['clip'] for n in ('dim', 'dark'))
  for name in ('frechet', 'mmd', 'proxy_a', 'centroid'):
    assert dim[name]['value'] <= dark[name]['value'], name
  assert dim['frechet']['value'] < dark['frechet']['value']
  assert set(result['distances']['dark']) == {'clip', 'trunk', 'words'}
  assert result['distances']['dark']['words']['texts']['value'] == 0


def test_curves_begin_at_the_accuracy_of_the_list(result, finished):
  card = json.loads((finished / 'run_card.json').read_text())
  curve = result['corruptions']['kinds']['darken']['zero_shot']
  assert curve['top1'][0] == pytest.approx(card['final']['bright']['top1'])
  assert len(curve['top1']) == 6
  assert min(curve['top1']) <= curve['area']['value'] <= max(curve['top1'])


def test_files_hold_every_clip_and_the_sentences(result, finished):
  with open(finished / 'shift.csv') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == NUMBER * len(GAINS)
  by_list = {name: [r for r in rows if r['list'] == name] for name in GAINS}
  light = {n: np.mean([float(r['luminance']) for r in own])
           for n, own in by_list.items()}  # fmt: skip
  assert light['dim'] == pytest.approx(0.3 * light['bright'], rel=0.1)
  assert {r['right zero_shot'] for r in by_list['dark']} == {'0'}
  assert json.loads((finished / 'shift.json').read_text()) == result
  page = (finished / 'shift.html').read_text()
  assert 'not drawn' not in page and page.count('<img') >= 10
  assert page.index(result['sentences'][0]) < page.index('<h2>')


def test_a_second_run_gives_the_same_bytes(result, finished):
  """With one worker, by the command, and anew where it is not kept."""
  before = (finished / 'shift.csv').read_bytes()
  for file in (finished.parent / 'cache/shift').glob('visual*'):
    file.unlink()
  config = json.loads((finished / 'config.json').read_text())
  config['data']['workers'] = 1
  (finished / 'config.json').write_text(json.dumps(config))
  done = tiny_run.called('shift', f'--workdir={finished}')
  assert not done.returncode, done.stderr
  assert (finished / 'shift.csv').read_bytes() == before
  again = json.loads((finished / 'shift.json').read_text())
  for key in ('differences', 'distances', 'influence', 'along'):
    assert again[key] == result[key], key


@pytest.mark.parametrize(
    'values, message',
    [
        ({'lists': ['nowhere']}, "no list 'nowhere'"),
        ({'reference': 'x'}, "no list 'x'"),
        ({'corruptions': 'blur,darkn'}, "no corruption 'darkn'"),
        ({'lists': 'bright'}, 'only one list'),
    ],
)
def test_bad_input_is_told(finished, values, message):
  with pytest.raises(UserError, match=message) as error:
    evclip_jax.shift(str(finished), **values)
  assert len(str(error.value).splitlines()) <= 2


def test_a_clip_in_several_lists_counts_once():
  rng = np.random.default_rng(0)
  own = analyse.Clips(
      keys=[''] * 40,
      classes=[''] * 40,
      hashes=[str(i) for i in range(40)],
      rows=[{'luminance': v, 'clutter': v**2} for v in rng.uniform(size=40)],
      features={},
      texts=np.zeros((1, 1)),
      right={'m': (rng.uniform(size=40) < 0.5).astype(float)},
      tags=[()] * 40,
  )
  found = SimpleNamespace(methods=['m'], config=SimpleNamespace(seed=1))
  results = []
  for lists in ({'a': own}, {'a': own, 'b': own}):
    results.append({'influence': {}, 'along': {}, 'notes': []})
    analyse._explain(lists, found, results[-1])
  once, twice = results
  assert twice['influence'] == once['influence']
  assert twice['along'] == once['along']
  assert once['notes'] == []
  assert '40 clips are copies' in twice['notes'][0]


def test_a_run_without_evaluation_is_told(finished, tmp_path):
  for name in ('config.json', 'run_card.json'):
    (tmp_path / name).write_bytes((finished / name).read_bytes())
  with pytest.raises(UserError, match='has no evaluation'):
    evclip_jax.shift(str(tmp_path))


def test_a_folder_that_cannot_be_written_is_told_before(finished, monkeypatch):
  monkeypatch.setattr(os, 'access', lambda *given: False)
  with pytest.raises(UserError, match='cannot be written'):
    evclip_jax.shift(str(finished))
