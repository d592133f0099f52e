"""Training on features kept of fixed views gives what pixels give."""

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
    'train.eval_every_epochs': 1,
    'train.bank_views': 2,
}
EPISODES = {
    'episodes.way': 2,
    'episodes.query': 1,
    'episodes.per_step': 2,
    'episodes.train_episodes': 6,
    'episodes.epoch_episodes': 2,
    'episodes.eval_every_episodes': 2,
    'episodes.test_episodes': 8,
    'data.query_augment': True,
    'method.settings.hidden': 32,
    'method.settings.backbone': 'frozen',
    'method.settings.batch_norm': 'frozen',
}


def tiny(root, tmp_path, method, **changes):
  changes['cache_dir'] = str(tmp_path / 'cache')
  return tiny_run.config(method, root, CHANGES, changes)


@pytest.mark.parametrize(
    'method, changes',
    [
        ('ev_clip', {
            'encoder.name': 'videoprism_tiny',
            'encoder.weights': 'random:0',
            'data.trunk_pixels': 72,
            'method.settings.prompt': 'context',
        }),
        ('linear_probe', {}),
        ('clip_fsar', EPISODES),
    ],
)  # fmt: skip
def test_features_train_as_the_same_views_in_pixels_do(
    split_root, tmp_path, monkeypatch, method, changes
):
  config = tiny(split_root, tmp_path, method, **changes)

  def run(name):
    card = runs.run(config, str(tmp_path / name))
    arrays = np.load(tmp_path / name / 'evaluation' / 'test.npz')
    # Of steps, of each epoch's list to score, and of the end.
    all_losses = [row['loss'] for row in tiny_run.rows(tmp_path / name)]
    return card['bank'], arrays, all_losses

  found = [run('a'), *([run('b')] if method == 'linear_probe' else [])]
  # The second time they are there already.
  assert [bank['computed'] for bank, *_ in found] == [True, False][: len(found)]
  assert found[0][0]['views'] == 2
  monkeypatch.setattr(
      train, '_open', lambda config, run, data, step: data.train(step)
  )
  monkeypatch.setattr(bank, 'batches', lambda run, data: data.batches())
  _, wanted, expected = run('pixels')
  for _, arrays, all_losses in found:
    assert all_losses == pytest.approx(expected, rel=1e-5)
    for name in wanted:
      np.testing.assert_allclose(
          arrays[name], wanted[name], rtol=1e-5, atol=1e-5
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
