"""Training on features kept of fixed views gives what pixels give."""

import contextlib

import numpy as np
import pytest

from configs import folder as folder_config
from data_pipelines.errors import UserError
from evclip_jax.config import schema
from evclip_jax.evaluation import bank
from evclip_jax.runs import run as runs
from evclip_jax.runs import train
from tests import clips

TINY = {
    'batch_size': 4,
    'clip.name': 'tiny',
    'data.num_frames': 2,
    'data.workers': 1,
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


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  folder = tmp_path_factory.mktemp('clips')
  for part, first in (('train', 0), ('test', 50)):
    for k in range(2):
      for i in range(3):
        path = folder / part / f'class_{k}' / f'{part}_{i}.mp4'
        clips.write_clip(path, seed=100 * k + first + i)
  return folder


def tiny(root, tmp_path, method, **changes):
  config = folder_config.get_config(method)
  changes |= {'data.root': str(root), 'cache_dir': str(tmp_path / 'cache')}
  config.update_from_flattened_dict(TINY | changes)
  schema.check(config)
  return config


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
    root, tmp_path, monkeypatch, method, changes
):
  config = tiny(root, tmp_path, method, **changes)
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


def test_what_sees_pixels_has_no_bank(root, tmp_path):
  config = tiny(root, tmp_path, 'ev_clip', **{'encoder.name': 'tiny'})
  with pytest.raises(UserError, match='train.bank_views=2: what ev_clip'):
    runs.run(config, str(tmp_path / 'run'))
