"""Whole runs in episodes on real files: train, score, resume, predict."""

import itertools
import json
import pathlib
import re
import signal
import socket
import subprocess
import time

import numpy as np
import pytest

import evclip_jax
from data_pipelines.errors import UserError
from evclip_jax.runs import prediction
from evclip_jax.runs import run as runs
from tests.runs import tiny_run
from tests.runs.tiny_run import ROOT, losses, rows

CHANGES = {
    'batch_size': 8,
    'data.frame_rule': 'segment',
    'mesh.data': 0,
    'episodes.way': 2,
    'episodes.query': 1,
    'episodes.per_step': 8,
    'episodes.train_episodes': 16,
    'episodes.epoch_episodes': 8,
    'episodes.eval_every_episodes': 8,
    'episodes.test_episodes': 70,
    'method.settings.hidden': 32,
    # The tower trains in tests/methods/test_contract.py.
    'method.settings.backbone': 'frozen',
    'method.settings.batch_norm': 'frozen',
}


def tiny(root, **changes):
  return tiny_run.config('clip_fsar', root, CHANGES, changes)


def answers(workdir, place='evaluation'):
  return np.load(pathlib.Path(workdir) / place / 'test.npz')['answer']


@pytest.fixture(scope='module')
def finished(split_root, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'run'
  card = runs.run(tiny(split_root), str(workdir), 'train')
  return workdir, card


def test_the_card_says_what_was_scored(finished):
  workdir, card = finished
  assert len(losses(workdir)) == 2
  result = card['final']['test']
  assert result['episodes'] == 70
  assert 0 <= result['top1'] <= 100
  assert 0 <= result['interval'] < 20
  episodes = card['data']['lists']['test']['episodes']
  assert episodes['way'] == 2 and episodes['shot'] == 1
  per_class = json.loads((workdir / 'evaluation/test.json').read_text())
  assert len(per_class['per_class_top1']) == 3
  assert answers(workdir).shape == (70, 2)
  assert (workdir / 'report.html').stat().st_size > 10_000


@pytest.mark.parametrize(
    'changes', [{'episodes.bank': False}, {'eval.batch_size': 16}]
)
def test_the_bank_changes_no_answer(finished, split_root, changes):
  workdir, card = finished
  before = answers(workdir)
  again = runs.run(tiny(split_root, **changes), str(workdir), 'evaluate')
  np.testing.assert_array_equal(answers(workdir, 'evaluate'), before)
  loss = again['final']['test']['loss']
  assert loss == pytest.approx(card['final']['test']['loss'], rel=1e-5)


def test_a_trained_run_is_scored_in_other_ways(finished, split_root):
  workdir, card = finished
  seen = {card['final']['test']['loss']}
  for changes in (
      {'evaluate': 'combined', 'text_exponent': 0.2},
      {'metric': 'bimhm', 'directions': 'one'},
      {'metric': 'linear', 'prototypes': 'none'},
  ):
    changes = {f'method.settings.{k}': v for k, v in changes.items()}
    again = runs.run(tiny(split_root, **changes), str(workdir), 'evaluate')
    assert again['step'] == card['step']
    seen.add(again['final']['test']['loss'])
  assert len(seen) == 4


# One step on one and on four: tests/methods/test_contract.py.
@pytest.mark.slow
def test_devices_and_parts_do_not_change_the_losses(
    finished, split_root, tmp_path
):
  cases = {str(n): {'mesh.data': n} for n in (1, 2, 4)}
  cases['parts'] = {'mesh.data': 2, 'train.accumulate': 4}
  expected = losses(finished[0])
  for name, changes in cases.items():
    # Dropout of parts has other keys.
    plain = {'method.settings.dropout': 0.0, 'method.settings.mlp_dropout': 0.0}
    reference = tmp_path / 'plain'
    if name == 'parts':
      runs.run(tiny(split_root, **plain), str(reference), 'train')
      expected, changes = losses(reference), changes | plain
    runs.run(tiny(split_root, **changes), str(tmp_path / name), 'train')
    np.testing.assert_allclose(
        losses(tmp_path / name), expected, rtol=1e-5, atol=1e-5
    )


def test_two_processes_compute_what_one_does_and_stop_together(
    finished, split_root, tmp_path
):
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  both = [
      subprocess.Popen(
          tiny_run.command(
              'clip_fsar',
              split_root,
              tmp_path / 'two',
              CHANGES | {'episodes.train_episodes': 80},
              f'--coordinator=127.0.0.1:{port}',
              '--processes=2',
              f'--process={k}',
          ),
          cwd=ROOT,
          env=tiny_run.environment(4),
          stderr=subprocess.PIPE,
          text=True,
      )
      for k in range(2)
  ]
  log = tmp_path / 'two/metrics.jsonl'
  while both[0].poll() is None:
    if log.exists() and log.read_text().count('\n') > 3:
      # Whichever is asked, both stop.
      both[1].send_signal(signal.SIGTERM)
      break
    time.sleep(0.02)
  said = [process.communicate(timeout=300)[1] for process in both]
  assert [process.returncode for process in both] == [143, 143], said
  (saved,) = (tmp_path / 'two/checkpoints/last').iterdir()
  assert f'stopped after step {saved.name} of 10' in said[0]
  assert len(losses(tmp_path / 'two')) == int(saved.name)
  np.testing.assert_allclose(
      losses(tmp_path / 'two')[:2], losses(finished[0]), rtol=1e-5, atol=1e-5
  )
  one, two = (
      next(x for x in rows(folder) if x['split'] == 'test')
      for folder in (finished[0], tmp_path / 'two')
  )
  assert two['top1'] == one['top1']
  assert two['loss'] == pytest.approx(one['loss'], rel=1e-5)


def test_a_stopped_run_ends_as_if_it_had_not_been(
    finished, split_root, tmp_path
):
  stop = tiny_run.stop_while_scoring(tiny(split_root), tmp_path)
  assert 'stopped after step 1 of 2' in str(stop)
  runs.run(tiny(split_root), str(tmp_path), 'train')
  assert losses(tmp_path) == losses(finished[0])
  np.testing.assert_array_equal(answers(tmp_path), answers(finished[0]))


def test_prediction_compares_with_examples_as_on_the_page_about_python(
    finished, split_root, tmp_path, monkeypatch, capsys
):
  (tmp_path / 'runs').mkdir()
  (tmp_path / 'runs/folder-clip_fsar-s1').symlink_to(finished[0])
  videos = sorted((split_root / 'test').rglob('*.mp4'))
  for name, clip in zip('abc', videos, strict=False):
    (tmp_path / f'{name}.mp4').symlink_to(clip)
  monkeypatch.chdir(tmp_path)
  text = (ROOT / 'docs/python.md').read_text()
  (block,) = re.findall(r'```python\n([^`]*clip_fsar[^`]*)```', text)
  names = {'evclip_jax': evclip_jax}
  exec(block, names)
  assert {name for name, _ in names['scores'][0]} == {'waving', 'drinking'}
  model, videos = names['matcher'], ['a.mp4', 'b.mp4']
  with pytest.raises(UserError, match='--support=DIR'):
    model.predict(videos)
  for wrong, message in (
      ('train', "support='train': wanted {class: videos}"),
      ([('a', videos), ('b', videos)], 'wanted {class: videos}'),
      ({'a': videos, 1: videos}, "support ['a', 1]: wanted names"),
      ({'a': videos, ' ': videos, 'b': videos}, "'a', ' ', 'b']: wanted names"),
  ):
    with pytest.raises(UserError, match=re.escape(message)):
      model.predict(videos, support=wrong)
  assert 'examples used' not in capsys.readouterr().out
  model.predict(videos, support={'a': videos, 'b': videos[:1]})
  assert 'examples used of each class: 1' in capsys.readouterr().out
  examples = prediction.find_examples(str(split_root / 'train'))
  scores = model.predict(videos, support=examples)
  for one in scores:
    assert {name for name, _ in one} == {'class 0', 'class 1', 'class 2'}
    assert sum(p for _, p in one) == pytest.approx(1)
  assert len(scores) == model.features(videos).shape[0] == 2


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'episodes.way': 4}, 'have? 3|has 3'),
        ({'episodes.query': 4}, r'fewer than 1 \+ 4'),
        ({'episodes.per_step': 6, 'episodes.train_episodes': 18,
          'mesh.data': 4}, 'episodes.per_step=4 or 8'),
        ({'episodes.train_episodes': 15}, 'per_step=8. Use 8 or 16'),
        ({'train.accumulate': 3, 'mesh.data': 1}, 'does not divide the 8'),
        # Refused before the step is compiled to learn what memory it needs.
        ({'train.accumulate': 3, 'mesh.data': 1, 'compute.memory_gb': 1.0},
         'does not divide the 8'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(split_root, tmp_path, changes, message):
  with pytest.raises(UserError, match=message):
    runs.run(tiny(split_root, **changes), str(tmp_path / 'run'), 'train')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'compute.memory_gb': 1e-3}, r'needs \d.* GB on each device, which'),
        ({'compute.memory_gb': 9.0, 'train.accumulate': 3}, 'does not divide'),
        ({'train.bank_views': 1, 'method.settings.backbone': 'trained'},
         'looks at the clips'),
        ({'train.select': 'best_val'}, 'needs a validation list'),
        ({'train.rates': (1e-3, 1e-4)}, 'rates needs a validation list'),
    ],
)  # fmt: skip
def test_a_step_is_checked_before_any_clip(tmp_path, changes, message):
  root = tmp_path / 'clips'
  for k, name, i in itertools.product(range(2), ('train', 'test'), range(3)):
    path = root / name / f'class_{k}' / f'{name}_{i}.mp4'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'no video')
  with pytest.raises(UserError, match=message):
    runs.run(tiny(root, **changes), str(tmp_path / 'run'), 'train')
