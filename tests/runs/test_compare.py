"""Comparisons on real files: episodes beside clips, seeds, rates, one table."""

import contextlib
import io
import json
import types

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.config import experiment, identity
from evclip_jax.evaluation import episodes, scores
from evclip_jax.runs import learning_rate, train
from evclip_jax.runs import run as runs
from evclip_jax.training import devices
from tests import clips
from tests.runs import tiny_run

TEXT = {'template': 'A video of {}.'}
PLAIN = TEXT | {
    'backbone': 'frozen',
    'batch_norm': 'frozen',
    'loss': 'few_shot',
    'depth': 0,
    'text_token': False,
}
ROWS = (
    {'name': 'zero-shot', 'method': 'zero_shot'},
    {'name': 'OTAM / plain', 'method': 'clip_fsar', 'settings': PLAIN},
    {
        'name': 'context',
        'method': 'ev_clip',
        'settings': {'prompt': 'context'},
        'config': {
            'batch_size': 4,
            'data.num_frames': 2,
            'data.window_frames': 4,
            'train.epochs': 1,
            'train.rates': (1e-2,),
        },
    },
)


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
  return clips.write_folder(tmp_path_factory.mktemp('clips'), 3, 10)


CHANGES = {
    'compare': ROWS,
    'data.shots': 4,
    'data.val_shots': 2,
    'episodes.way': 2,
    'episodes.query': 1,
    'episodes.test_episodes': 70,
    'protocol.seeds': (1, 2),
}


def tiny(root, **changes):
  return tiny_run.config('clip_fsar', root, CHANGES, changes)


@pytest.fixture(scope='module')
def finished(data_root, tmp_path_factory):
  folder, said = tmp_path_factory.mktemp('run') / 'run', io.StringIO()
  # Of which memory is known, all parts are checked, and say nothing, at first.
  config = tiny(data_root, **{'compute.memory_gb': 99.0})
  devices._announce.cache_clear()
  with contextlib.redirect_stdout(said):
    out = runs.run(config, str(folder), 'train')
  return folder, out, said.getvalue()


def card(folder, seed, row):
  path = folder / f'seed-{seed}' / row / 'run_card.json'
  return json.loads(path.read_text())


def test_episodes_and_clips_stand_in_one_table(finished):
  folder, out, said = finished
  # What concerns all parts.
  assert said.count('runs on CPU') == said.count('method.settings.prompt') == 1
  assert json.loads((folder / 'protocol.json').read_text()) == out
  assert len({(n['variant'], n['part']) for n in out['numbers']}) == 6
  results = {r['variant']: r for r in out['results']}
  assert list(results) == ['zero-shot', 'OTAM / plain', 'context']
  ways = []
  for row in ('zero-shot', 'OTAM_plain', 'context'):
    assert card(folder, 1, row)['final']['test']['episodes'] == 70
    with np.load(folder / 'seed-1' / row / 'evaluation/test.npz') as arrays:
      ways.append(arrays['way'])
      assert arrays['answer'].shape == (70, 2)
  assert all(np.array_equal(way, ways[0]) for way in ways)
  assert {d['clips'] for d in out['differences']} == {140}
  assert len(results['context']['values']) == 2


def test_the_page_and_the_card_say_what_it_cost(finished):
  folder, out, _ = finished
  costs = {c['variant']: c for c in out['costs']}
  own = costs['context']
  assert own['trained weights'] == card(folder, 1, 'context')['parameters'][
      'trainable'
  ]
  # Forward and backward.
  ratio = own['training GFLOPs per clip'] / own['inference GFLOPs per clip']
  assert 1 < ratio < 4
  assert own['memory GB'] > 0.001
  assert costs['zero-shot']['training GFLOPs per clip'] is None
  text = (folder / 'report.html').read_text()
  for word in ('training GFLOPs per clip', 'Difference to zero-shot',
               'What the rows differ in', 'points of top-1'):  # fmt: skip
    assert word in text


def test_a_rate_is_tried_without_a_look_at_tests(finished):
  folder, out, _ = finished
  found = card(folder, 2, 'context')
  assert list(found['rate']['tried']) == ['0.01']
  assert found['learning_rate'] == found['rate']['chosen'] == 0.01
  tried = folder / 'seed-2/context/rates/0.01/run_card.json'
  assert list(json.loads(tried.read_text())['final']) == ['val']
  # No clip that trains.
  lists = folder / 'seed-2/context/lists'
  train, val = (
      {x for x in (lists / f'{n}.txt').read_text().splitlines() if '.mp4' in x}
      for n in ('train', 'val')
  )
  assert (len(train), len(val)) == (12, 6) and not train & val
  assert 'chosen on val' in out['rates']['context']


def test_the_best_rate_is_that_of_the_best_validation(monkeypatch, tmp_path):
  # top-1, then the loss, then the lower rate.
  scored = {1e-4: (50, 0.1), 1e-3: (60, 0.9), 1e-2: (60, 0.5), 1e-1: (60, 0.5)}

  def fake_training(config, folder, model, data):
    assert list(data.evals) == ['val']
    (folder / 'checkpoints').mkdir()
    rate = config.optimizer.learning_rate
    (folder / 'metrics.jsonl').write_text(f'{rate:g}')
    top1, loss = scored[rate]
    val = {'top1': top1, 'loss': loss, 'clips': 8}
    return {'final': {'val': val}, 'costs': {'train': {}}}

  monkeypatch.setattr(train, 'train_and_evaluate', fake_training)
  config = experiment.on_data('folder', 'ev_clip')
  config.train.rates = tuple(scored)
  data = types.SimpleNamespace(evals={'val': None, 'test': None})
  chosen, about = learning_rate.choose(config, tmp_path, None, data)
  assert about['rate']['chosen'] == 1e-2
  assert about['rate']['tried']['0.0001'] == 50
  assert about['config_hash'] == identity.digest(config)
  # The warm-up of EV-CLIP has a twentieth of the rate.
  optimizer = chosen.optimizer
  assert optimizer.learning_rate == 1e-2
  assert optimizer.warmup_learning_rate == pytest.approx(5e-4)
  assert (tmp_path / 'metrics.jsonl').read_text() == '0.01'


def test_the_same_command_runs_nothing_again(finished, data_root):
  folder, out, _ = finished
  times = {p: p.stat().st_mtime_ns for p in folder.glob('seed-*/*/*')}
  # Nor is it asked whether it would fit.
  config = tiny(data_root, **{'compute.memory_gb': 1e-3})
  assert runs.run(config, str(folder), 'train') == out
  assert {p: p.stat().st_mtime_ns for p in folder.glob('seed-*/*/*')} == times


@pytest.mark.parametrize(
    ('row', 'changes', 'message'),
    [
        (ROWS[2], {'data.val_shots': 0}, 'set data.val_list'),
        (ROWS[2], {'data.val_shots': 5}, "apart .* 'class 0' has 4"),
        (ROWS[2], {'train.select': 'best_on_test'}, 'never looks at test'),
        ({'method': 'coop', 'settings': {'words_place': 'x'}}, {},
         'words_place='),
        ({'method': 'clip_fsar', 'settings': {'metric': 'x'}}, {}, 'metric='),
        # A head of the training's classes, beside a list of others.
        ({'method': 'linear_probe'},
         {'data.novel_classes': 'half', 'data.val_shots': 0}, 'linear head'),
        ({'config': {'compute.memory_gb': 1e-3}}, {},
         "row 'wrong': .* GB on each device"),
        ({'config': {'train.accumulate': 3}}, {}, 'does not divide'),
        ({'config': {'train.bank_views': 2}}, {}, 'looks at the clips'),
        ({'settings': {'template': '{}' + 99 * ' a'}}, {}, 'Shorten it'),
        ({}, {'compare': ({'name': 'a / b'}, {'name': 'a: b'})},
         'two rows would have one folder'),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_found_before_any_runs(
    data_root, tmp_path, row, changes, message
):
  rows = ROWS[0], {**row, 'name': 'wrong'}
  common = {'protocol.seeds': (), 'clip.weights': 'random:0', 'compare': rows}
  with pytest.raises(UserError, match=message):
    config = tiny(data_root, **common | changes)
    runs.run(config, str(tmp_path / 'a'), 'train')
  assert not (tmp_path / 'a').exists()


def test_a_finished_comparison_is_scored_otherwise(finished, data_root):
  folder = finished[0] / 'seed-1'
  before = (folder / 'config.json').read_bytes()
  changes = {'protocol.seeds': (), 'data.corrupt': 'darken:1'}
  runs.run(tiny(data_root, **changes), str(folder), 'evaluate')
  assert 'data.corrupt=darken:1' in (folder / 'report.html').read_text()
  assert (folder / 'config.json').read_bytes() == before
  other = tiny(data_root, **changes, **{'data.num_frames': 4})
  with pytest.raises(UserError, match='another config .data.num_frames'):
    runs.run(other, str(folder), 'evaluate')


def test_a_query_is_the_best_class_of_its_episode(monkeypatch):
  # Four clips of three classes; clip 3 could not be read.
  logs = np.log([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.6, 0.1, 0.3]])
  scored = scores.Scored(logs, np.array([0, 1, 2]), None, np.arange(3))
  monkeypatch.setattr(scores, 'score', lambda *given: scored)
  # Two episodes of two ways: supports, then queries.
  batch = {
      'clips': np.array([[0, 1, 0, 1], [2, 1, 3, 1]]),
      'label': np.array([[0, 1], [0, 1]]),
      'way': np.array([[0, 1], [2, 1]]),
  }
  data = types.SimpleNamespace(
      num_clips=4,
      class_names=['a', 'b', 'c'],
      episodes=types.SimpleNamespace(num=2, batch=lambda start, rows: batch),
      without=lambda clips, unread: np.where(clips == 3, 2, clips),
      from_bank=True,
  )
  method = types.SimpleNamespace(episodic=False)
  run = types.SimpleNamespace(method=method)
  summary, details = episodes.evaluate(run, {}, data)
  answers = details['arrays']['answer']
  np.testing.assert_array_equal(answers, [[0, 1], [0, 0]])
  assert summary['top1'] == 75
  own = np.log([[0.5 / 0.8, 0.2 / 0.3], [0.3 / 0.4, 0.2 / 0.9]])
  assert summary['loss'] == pytest.approx(-own.mean())
