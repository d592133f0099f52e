"""Training on features kept of fixed views gives what pixels give."""

import contextlib

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.evaluation import bank
from evclip_jax.runs import run as runs
from evclip_jax.runs import train
from tests.runs import tiny_run

CHANGES = {
    'mesh.data': 2,
    'train.epochs': 3,
    'train.eval_every_epochs': 3,
    'train.bank_views': 2,
}
EPISODES = {
    'episodes.way': 2,
    'episodes.query': 1,
    'episodes.per_step': 2,
    'episodes.train_episodes': 6,
    'episodes.epoch_episodes': 2,
    'episodes.eval_every_episodes': 6,
    'episodes.test_episodes': 8,
    'data.query_augment': True,
    'method.settings.hidden': 32,
    'method.settings.backbone': 'frozen',
    'method.settings.batch_norm': 'frozen',
}


def tiny(root, tmp_path, method, **changes):
  changes['cache_dir'] = str(tmp_path / 'cache')
  return tiny_run.config(method, root, CHANGES, changes)


@contextlib.contextmanager
def pixels(config, run, data, first_step):
  with data.train(first_step) as batches:
    yield batches


@pytest.mark.parametrize(
    'method, changes',
    [
        (
            'ev_clip',
            {
                'encoder.name': 'videoprism_tiny',
                'encoder.weights': 'random:0',
                'data.trunk_pixels': 72,
                'method.settings.prompt': 'context',
            },
        ),
        ('linear_probe', {}),
        ('clip_fsar', EPISODES),
    ],
)
def test_features_train_as_the_same_views_in_pixels_do(
    split_root, tmp_path, monkeypatch, method, changes
):
  config = tiny(split_root, tmp_path, method, **changes)
  names = ['a', 'b', 'pixels'] if method == 'linear_probe' else ['a', 'pixels']
  cards = [runs.run(config, str(tmp_path / name)) for name in names[:-1]]
  assert [c['bank']['computed'] for c in cards] == [True, False][: len(cards)]
  assert cards[0]['bank']['views'] == 2
  monkeypatch.setattr(train, '_open', pixels)
  monkeypatch.setattr(bank, 'batches', lambda run, data: data.batches())
  cards.append(runs.run(config, str(tmp_path / 'pixels')))
  saved = [
      np.load(tmp_path / name / 'evaluation' / 'test.npz')
      for name in names
  ]
  for card, rows in zip(cards, saved, strict=True):
    for name, value in card['final']['test'].items():
      assert value == pytest.approx(cards[-1]['final']['test'][name], rel=1e-5)
    for name in rows:
      np.testing.assert_allclose(
          rows[name], saved[-1][name], rtol=1e-5, atol=1e-5
      )


def test_what_sees_pixels_has_no_bank(split_root, tmp_path):
  config = tiny(split_root, tmp_path, 'ev_clip')
  with pytest.raises(UserError, match='train.bank_views=2: what ev_clip'):
    runs.run(config, str(tmp_path / 'run'))


def test_features_that_cannot_be_kept_are_used_all_the_same(tmp_path, capsys):
  (tmp_path / 'file').touch()
  rows = {'index': np.arange(2)}
  bank._write(tmp_path / 'file/features/a', rows, {'clip': np.ones((2, 3))})
  assert 'note: the features cannot be kept' in ''.join(capsys.readouterr())
