"""The download command."""

import os
import subprocess
import sys

import pytest

from evclip_jax.weights import download, published
from tests.weights.test_download import BODY, SHA256, Server


@pytest.fixture
def run(tmp_path):
  def run(*args):
    environment = os.environ | {'XDG_CACHE_HOME': str(tmp_path / 'xdg')}
    return subprocess.run(
        [sys.executable, '-m', 'evclip_jax.download', *args],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )

  return run


def test_list_shows_all_names_and_the_folder(run, tmp_path):
  done = run('--list')
  assert done.returncode == 0, done.stderr
  for name in published.ALL:
    assert name in done.stdout
  assert str(tmp_path / 'xdg' / 'evclip_jax') in done.stdout


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        ((), 'name what to fetch'),
        (('ViT-B/16', 'ViT-B-61'), 'Did you mean'),
        (('--cash_dir=x', 'vocab'), 'cash_dir'),
    ],
)
def test_mistakes_exit_with_2(run, args, message):
  done = run(*args)
  assert done.returncode == 2
  assert message in done.stderr
  assert 'Traceback' not in done.stderr


def test_a_file_that_is_there_is_named(run, tmp_path):
  (tmp_path / 'omnivore_swinT_checkpoint.torch').write_bytes(b'x')
  done = run('omnivore_swinT', f'--cache_dir={tmp_path}')
  assert done.returncode == 0, done.stderr
  assert str(tmp_path / 'omnivore_swinT_checkpoint.torch') in done.stdout


def test_progress_is_printed_where_there_is_no_terminal(
    tmp_path, monkeypatch, capsys
):
  import threading

  from evclip_jax import download as command

  monkeypatch.setenv('no_proxy', '*')
  bar = command._Bar('weights')
  with Server() as server:
    threading.Thread(
        target=server.serve_forever, args=(0.01,), daemon=True
    ).start()
    item = published.Published(server.url, SHA256, 'w.pt')
    download.fetch_published(item, 'weights', tmp_path, bar.update)
    server.shutdown()
  bar.close()
  lines = capsys.readouterr().err.splitlines()
  size = len(BODY) / 2**20
  assert lines[0] == f'weights: 0.0 of {size:.1f} MB'
  assert lines[-1] == f'weights: {size:.1f} of {size:.1f} MB'
  assert len(lines) <= 11
