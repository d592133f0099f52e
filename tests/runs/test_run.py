"""Whole runs on real files with tiny networks: train, resume, evaluate."""

import json
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.config import experiment
from evclip_jax.runs import cost_table, results
from evclip_jax.runs import run as runs
from evclip_jax.training import batch as batch_lib
from evclip_jax.training import devices, session
from tests.runs import tiny_run
from tests.runs.tiny_run import losses

CHANGES = {
    'data.shots': 4,
    # The mask takes longest to compile; test_prediction.py has it.
    'method.settings.prompt': 'context',
    'train.epochs': 3,
    'train.eval_every_epochs': 1,
    'train.checkpoint_every_epochs': 1,
    'optimizer.warmup_epochs': 1,
}


def tiny(root, **changes):
  return tiny_run.config('ev_clip', root, CHANGES, changes)


@pytest.fixture(scope='module')
def finished(data_root, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'run'
  card = runs.run(tiny(data_root), str(workdir), 'train')
  # Evaluations of other tests add lines.
  shutil.copy(workdir / 'metrics.jsonl', workdir.parent)
  return workdir, card


def test_a_run_leaves_what_the_contract_names(finished):
  workdir, card = finished
  assert {'config.json', 'metrics.jsonl', 'checkpoints', 'run_card.json'} <= {
      p.name for p in workdir.iterdir()
  }
  assert json.loads((workdir / 'run_card.json').read_text()) == card
  assert len(losses(workdir)) == 3 * 3
  final = [x for x in tiny_run.rows(workdir) if x.get('final')]
  assert [x['split'] for x in final] == ['test']
  assert final[0]['clips'] == 3
  assert {'loss', 'top1', 'top5', 'macro_f1'} <= set(final[0])
  assert card['selection']['rule'] == 'last'
  assert set(card['weights']) == {'clip', 'encoder'}
  assert len(card['prompts_sha256']) == 64
  # Parameters and two moments in float32, and a little for the format.
  files = (workdir / 'checkpoints').rglob('*')
  size = sum(p.stat().st_size for p in files if p.is_file())
  assert size < 3 * 4 * card['parameters']['trainable'] + 200_000


def test_a_finished_run_only_reports_again(finished, data_root):
  workdir, card = finished
  before = (workdir / 'metrics.jsonl').read_text()
  again = runs.run(tiny(data_root), str(workdir), 'train')
  assert again['final'] == card['final']
  assert (workdir / 'metrics.jsonl').read_text() == before


@pytest.mark.parametrize(('windows', 'crops'), [(1, 1), (2, 3)])
def test_an_evaluation_gives_the_same_numbers(
    finished, data_root, windows, crops
):
  workdir, card = finished
  views = {'eval.clips': windows, 'eval.crops': crops}
  own = workdir / 'evaluation/test.npz'
  before = own.read_bytes()
  got = runs.run(tiny(data_root, **views), str(workdir), 'evaluate')
  assert got['views'] == {'clips': windows, 'crops': crops}
  assert got['final']['test']['clips'] == card['final']['test']['clips']
  assert (got['final'] == card['final']) == (crops == 1)
  # Scores that go with the card of the training stay.
  assert own.read_bytes() == before
  assert results.scores_file(results.Run(got, workdir), 'test', '.npz').exists()
  said = f'{windows} windows x {crops} crops of each clip'
  assert (said in (workdir / 'report.html').read_text()) == (crops > 1)


def test_other_frozen_weights_are_refused(finished, data_root):
  other = tiny(data_root, **{'clip.weights': 'random:1'})
  with pytest.raises(UserError, match='other clip weights'):
    runs.run(other, str(finished[0]), 'evaluate')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('prompt', 'counts'), [('context', (1, 4)), ('both', (1, 2, 4, 8))]
)
def test_the_number_of_devices_does_not_change_the_losses(
    prompt, counts, data_root, tmp_path
):
  changes = {
      'batch_size': 8,
      'method.settings.prompt': prompt,
      'method.settings.consistency_weight': 0.1,
  }
  got = {}
  for number in counts:
    config = tiny(data_root, **changes, **{'mesh.data': number})
    workdir = tmp_path / str(number)
    runs.run(config, str(workdir), 'train')
    got[number] = losses(workdir)
    np.testing.assert_allclose(got[number], got[1], rtol=1e-5, atol=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(data_root, tmp_path):
  rates = {'learning_rate': 1e38, 'warmup_learning_rate': 0.0}
  config = tiny(data_root, **{'train.epochs': 4})
  config.optimizer.update(rates)
  with pytest.raises(UserError, match=r'stopped at step .* is not finite'):
    runs.run(config, str(tmp_path), 'train')
  # The first epoch runs at rate 0: its checkpoint is the last good one.
  kept = [p.name for p in (tmp_path / 'checkpoints/last').iterdir()]
  assert kept == ['3']


def test_the_step_checked_for_memory_is_the_one_that_runs(data_root):
  config, names = tiny(data_root), ['a', 'b', 'c']
  built = session.build(config, names)
  optimizer, step = built.train_step(config)
  batch = batch_lib.noise(config, 3, config.batch_size, False)
  given = built.texts(built.initial()), devices.put_batch(built.mesh, batch)
  wanted = step.lower(built.state(optimizer), built.frozen, *given)
  shapes = cost_table.shapes(config, names, config.mesh.data)
  lower, _ = cost_table.programs_of(config, shapes)
  assert lower().as_text() == wanted.as_text()


def test_nothing_to_train_is_an_error(data_root, tmp_path):
  config = tiny(data_root)
  config.compare = ({'name': 'zero', 'method': 'zero_shot'},)
  config = experiment.rows(config)['zero']
  with pytest.raises(UserError, match='nothing to train'):
    runs.run(config, str(tmp_path / 'a'), 'train')
  card = runs.run(config, str(tmp_path / 'b'), 'evaluate')
  assert card['selection']['rule'] == 'given'


def test_a_killed_run_ends_as_if_it_had_not_been(finished, data_root, tmp_path):
  # tests/runs/test_episodic_run.py asks real processes to stop.
  whole, cut = finished[0].parent, tmp_path / 'cut'
  log = cut / 'metrics.jsonl'
  process = subprocess.Popen(
      tiny_run.command('ev_clip', data_root, cut, CHANGES),
      cwd=tiny_run.ROOT,
      env=tiny_run.environment(),
  )
  while process.poll() is None:
    # Behind the first checkpoint.
    if log.exists() and log.read_text().count('\n') > 4:
      process.kill()
      break
    time.sleep(0.02)
  assert process.wait() == -signal.SIGKILL
  runs.run(tiny(data_root), str(cut), 'train')
  whole = whole / 'metrics.jsonl'
  assert (cut / 'metrics.jsonl').read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ('number', 'asked', 'status', 'said'),
    [
        # In the first evaluation; in the report of the finished training.
        (1, signal.SIGTERM, 143, 'step 3 of 9'),
        (3, signal.SIGINT, 130, 'step 9 of 9'),
    ],
)
def test_a_run_stops_while_it_scores(
    number, asked, status, said, finished, data_root, tmp_path
):
  config = tiny(data_root)
  stop = tiny_run.stop_while_scoring(config, tmp_path, number, asked)
  assert re.search(f'stopped after {said}.*command', str(stop))
  assert stop.status == status
  runs.run(config, str(tmp_path), 'train')
  whole = finished[0].parent / 'metrics.jsonl'
  assert (tmp_path / 'metrics.jsonl').read_bytes() == whole.read_bytes()


def test_a_finished_run_may_be_made_longer(finished, data_root, tmp_path):
  longer = tmp_path / 'run'
  shutil.copytree(finished[0], longer)
  runs.run(tiny(data_root, **{'train.epochs': 4}), str(longer), 'train')
  assert losses(longer)[:9] == losses(finished[0])
  assert len(losses(longer)) == 12
  with pytest.raises(UserError, match='train.epochs: 4 there, 3 now'):
    runs.run(tiny(data_root), str(longer), 'train')


def test_user_errors_exit_with_2(data_root, tmp_path):
  workdir = tmp_path / 'run'
  messages = {
      '--config.data.shot=3': 'Did you mean "shots"',
      '--config=configs/folder.py:nothing': "method.name='nothing'",
      '--config=configs/nothing.py': 'there is no such file',
      '--config.data.root=/nowhere': 'data.root',
      "--config.compare=({'name':'x'},) --config.data.tests={'a':'no.txt'}":
          'the list no.txt',
      '--processes=2': 'wanted HOST:PORT of process 0',
      '--process=1': 'from 0 to N - 1',
  }
  cases = [
      tiny_run.command('ev_clip', data_root, workdir, CHANGES, *flags)[3:]
      for flags in map(str.split, messages)
  ]
  found = tiny_run.failures('main', *cases)
  for said, message in zip(found, messages.values(), strict=True):
    assert message in said
  assert not workdir.exists()
