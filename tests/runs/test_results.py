"""Means, intervals and differences of runs, and collecting them by hand."""

import csv
import json

import numpy as np
import pytest
from scipy import stats

from data_pipelines.errors import UserError
from evclip_jax import collect
from evclip_jax.config import experiment, identity
from evclip_jax.runs import result_page, results
from tests.runs import tiny_run


def write_run(folder, hits, method='zero_shot', seed=1, about=None, **changes):
  """A finished run with made-up scores of one list of two classes.

  `hits` says of each clip whether it is right, None for one that was left out.
  """
  config = experiment.new(method)
  config.seed = seed
  config.update_from_flattened_dict(changes)
  there = [i for i, hit in enumerate(hits) if hit is not None]
  labels = np.array(there, np.int64) % 2
  answers = np.where([hits[i] for i in there], labels, 1 - labels)
  (folder / 'evaluation').mkdir(parents=True)
  np.savez(
      folder / 'evaluation/test.npz',
      log_probabilities=np.log(np.eye(2)[answers] + 0.1),
      labels=labels,
      index=np.array(there),
  )
  right = np.array([hits[i] for i in there], float)
  per_class = {f'c{k}': 100 * right[labels == k].mean() for k in (0, 1)}
  (folder / 'evaluation/test.json').write_text(
      json.dumps({'per_class_top1': per_class})
  )
  costs = {'train': {'gflops_per_clip': 2.0 + seed}}
  about = {'method': method, 'seed': seed, 'costs': costs} | (about or {})
  card = tiny_run.card({'test': 100 * right.mean()}, **about)
  (folder / 'run_card.json').write_text(json.dumps(card))
  values = identity.to_dict(config)
  (folder / 'config.json').write_text(json.dumps(values))
  return results.Run(card, folder)


def test_the_interval_of_a_mean_is_students():
  values = [70.0, 75.0, 82.0, 71.0]
  found = results.spread(values)
  low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
  assert found['interval'] == pytest.approx([low, high])
  assert found['std'] == pytest.approx(np.std(values, ddof=1))
  assert results.spread([3.0])['interval'] is None


def test_the_bootstrap_is_that_of_drawing_clips():
  each = np.repeat([-100.0, 0.0, 100.0], [10, 60, 30])
  mean, interval = results.bootstrap(each, 1)
  assert mean == 20
  rng = np.random.default_rng(0)
  drawn = rng.choice(each, (20_000, 100)).mean(axis=1)
  expected = np.percentile(drawn, (2.5, 97.5))
  np.testing.assert_allclose(interval, expected, atol=1)
  assert results.bootstrap(each, 1) == (mean, interval)
  assert results.bootstrap(each[:1], 1) == (-100, [-100, -100])


def test_rows_are_compared_on_the_clips_of_both(tmp_path):
  first = {
      'seed-1': write_run(tmp_path / 'a1', [1, 0, 0, 1, None, 1]),
      'seed-2': write_run(tmp_path / 'a2', [1, 1, 0, 1, 0, 1], seed=2),
  }
  other = {
      'seed-1': write_run(tmp_path / 'b1', [1, 1, 0, 0, 1, 1]),
      'seed-2': write_run(tmp_path / 'b2', [1, 1, 1, 1, 0, 0], seed=2),
  }
  (found,) = results.differences({'a': first, 'b': other}, 0)
  # Per clip over the seeds: 0, 50, 50, -50, 0 (of one seed), -50.
  assert found['difference'] == pytest.approx(0)
  assert found['clips'] == 6
  assert -50 < found['interval'][0] < 0 < found['interval'][1] < 50
  summary = results.summarise_runs({'a': first, 'b': other}, results.tests, 0)
  assert 'c_0' in summary['caption'] and 'test 9 clips' in summary['caption']
  assert 'over seeds 1, 2 [95 %' in summary['caption']
  page = result_page.write(
      tmp_path, 'all', 'All', {'a': first, 'b': other}, summary
  ).read_text()
  assert 'b minus a, points of top-1 in each class (mean of 2 runs)' in page
  assert '<svg' in page and '$c_0$' in page
  rows = result_page.table(summary)
  # 12.706 standard errors to both sides, and no more than all.
  assert rows[0]['test'] == '63.3 ± 4.7 [21.0, 100.0]'
  assert rows[0]['training GFLOPs per clip'] == 3.5
  assert rows[0]['views'] == '4 clips x 3 crops'
  for number in summary['numbers']:
    number['view'] = 'single view'
  assert 'views' not in result_page.table(summary)[0]
  # Runs without scores have nothing to compare.
  for run in other.values():
    (run.folder / 'evaluation/test.npz').unlink()
  assert results.differences({'a': first, 'b': other}, 0) == []


def test_the_caption_says_over_what_numbers_are_averaged(tmp_path):
  dated = {'environment': {'date': '2026-11-28T23:59:59+00:00'}}
  worse = {'corrupt': 'darken:3'}

  def caption(*runs):
    parts = {f'part-{i}': run for i, run in enumerate(runs)}
    return results.summarise_runs({'a': parts}, results.tests, 0)['caption']

  one = write_run(tmp_path / '1', [1, 0, 1])
  split = write_run(tmp_path / '2', [1, 0, 1], about=dated)
  seed = write_run(tmp_path / '3', [1, 0, 1], seed=2)
  assert caption(one).startswith('Top-1 in percent. Texts')
  assert 'deviation over splits [95 %' in caption(one, split)
  assert 'over seeds 1, 2 and splits [95 %' in caption(one, split, seed)
  assert caption(one, split).endswith('. Runs of 2026-11-28.')
  dark = write_run(tmp_path / '4', [1, 0, 1], about=worse)
  assert caption(dark).endswith('made worse: data.corrupt=darken:3.')


def collected(capsys, *folders, out=''):
  collect.collect([str(folder) for folder in folders], str(out))
  return capsys.readouterr().out


@pytest.fixture
def two_seeds(tmp_path):
  runs = tmp_path / 'runs'
  for seed in (1, 2):
    for name, method in (('base', 'zero_shot'), ('EV_CLIP', 'ev_clip')):
      write_run(
          runs / f's{seed}' / name, [seed - 1, 1, 0, 1, 1, 1], method, seed
      )
  return runs


def test_runs_are_averaged_over_seeds(two_seeds, capsys, tmp_path):
  # Another program's.
  (two_seeds / 's1/config.json').write_text('{}')
  out = tmp_path / 'table.csv'
  text = collected(capsys, two_seeds, two_seeds / 's1', out=out)
  assert '75.0 ± 11.8' in text and 'Difference to ev_clip' in text
  rows = list(csv.DictReader(out.open()))
  assert [row['variant'] for row in rows] == ['ev_clip', 'zero_shot']
  assert float(rows[0]['test']) == pytest.approx(75)
  assert rows[0]['test runs'] == '2'
  for name, start in (('a.md', '| variant | test |'), ('a.tex', r'\begin')):
    collected(capsys, two_seeds, out=tmp_path / name)
    assert (tmp_path / name).read_text().startswith(start)
  assert r'\$c\_0\$' in (tmp_path / 'a.tex').read_text()
  assert r'$c\_0$' in (tmp_path / 'a.md').read_text()


def test_a_key_that_came_later_makes_no_row(two_seeds, capsys):
  for name in ('base', 'EV_CLIP'):
    path = two_seeds / 's1' / name / 'config.json'
    values = json.loads(path.read_text())
    del values['train']['rates'], values['data']['val_shots']
    path.write_text(json.dumps(values))
  assert '75.0 ± 11.8' in collected(capsys, two_seeds)


def test_settings_that_differ_make_rows(tmp_path, capsys):
  for prompt in ('mask', 'context'):
    write_run(
        tmp_path / prompt,
        [1, 0, 1, 1, 1, 1],
        'ev_clip',
        **{'method.settings.prompt': prompt},
    )
  text = collected(capsys, tmp_path / 'mask', tmp_path / 'context')
  assert 'ev_clip prompt=mask' in text and 'ev_clip prompt=context' in text


OTHER = tiny_run.card({'test': 0}, {'test': {'sha256': 'e' * 64}})
OTHER_LIST = {'data': OTHER['data']}


@pytest.mark.parametrize(
    ('about', 'changes', 'message'),
    [
        (OTHER_LIST, {}, "differ in list 'test'"),
        (OTHER_LIST, {'train.epochs': 3}, "differ in list 'test'"),
        ({'prompts_sha256': 'b'}, {}, 'differ in prompts'),
        ({'prompts_sha256': 'b'}, {'method.settings.templates': ('{}',)},
         'differ in prompts'),
        ({'selection': {'rule': 'best_val', 'step': 3}},
         {'train.select': 'best_val'}, 'differ in selection'),
        ({'views': {'clips': 1, 'crops': 1}}, {}, 'differ in views'),
        ({'weights': {'clip': {'hash': 'v'}}}, {}, 'differ in weights'),
        ({'seed': 1}, {}, 'are the same run, of seed 1'),
    ],
)  # fmt: skip
def test_what_cannot_be_averaged_is_refused(
    tmp_path, capsys, about, changes, message
):
  write_run(tmp_path / 'a', [1, 0, 1, 1, 1, 1])
  write_run(tmp_path / 'b', [1, 1, 1, 1, 1, 1], seed=2, about=about, **changes)
  with pytest.raises(UserError, match=message):
    collected(capsys, tmp_path / 'a', tmp_path / 'b')


def test_seeds_may_choose_by_clips_of_their_own(tmp_path, capsys):
  for seed, shots in ((1, 2), (2, 2), (3, 4)):
    lists = {'val': {'sha256': f'{shots} drawn by {seed}'}}
    card = tiny_run.card({'test': 50, 'val': 60}, lists)
    about = {key: card[key] for key in ('final', 'data')}
    changes = {'seed': seed, 'data.val_shots': shots}
    write_run(tmp_path / str(seed), [1, 0], about=about, **changes)
  assert '50.0 ± 0.0' in collected(capsys, tmp_path / '1', tmp_path / '2')
  with pytest.raises(UserError, match=r'differ in data\.val_shots\.'):
    collected(capsys, tmp_path / '1', tmp_path / '3')


def test_what_cannot_be_collected_is_a_mistake(capsys, two_seeds):
  for folders, out, message in (
      ([], '', 'wanted run folders'),
      (['nowhere'], '', 'nowhere holds no finished run'),
      (['nowhere'], 'a.txt', 'ends in .md, .csv or .tex'),
      # A file is no folder, also for root.
      ([two_seeds], f'{__file__}/a.csv', 'a.csv cannot be written: '),
  ):
    with pytest.raises(UserError, match=message):
      collected(capsys, *folders, out=out)
