"""metrics.jsonl is the same whether or not a run was interrupted."""

import importlib.util
import sys

import pytest

from evclip_jax.reporting import log as reporting
from tests.runs.tiny_run import rows


def write(folder, resume, steps):
  log = reporting.MetricsLog(folder, resume)
  for step in steps:
    log.add(step, 'train', loss=1 / step)
  return log


def test_lines_after_the_checkpoint_come_again_only_once(tmp_path):
  write(tmp_path, 0, range(1, 8))
  with (tmp_path / 'metrics.jsonl').open('a') as f:
    f.write('{"step": 8, "spl')
  write(tmp_path, 5, range(6, 11))
  assert [x['step'] for x in rows(tmp_path)] == list(range(1, 11))


def test_only_one_process_writes(tmp_path, monkeypatch):
  monkeypatch.setattr(reporting, 'is_first', lambda: False)
  reporting.MetricsLog(tmp_path, 0).add(1, 'train', loss=1.0)
  assert not (tmp_path / 'metrics.jsonl').exists()


@pytest.mark.skipif(
    importlib.util.find_spec('tensorboardX') is None,
    reason='needs tensorboardX',
)
def test_tensorboard_gets_the_numbers(tmp_path, capsys):
  log = write(tmp_path, 0, [1, 2])
  assert 'TensorBoard is on' in capsys.readouterr().out
  log.add(2, 'test', top1=50.0, final=True, selected_by='last')
  log.close()
  files = (tmp_path / 'tensorboard').iterdir()
  events = b''.join(file.read_bytes() for file in files)
  assert b'train/loss' in events
  assert b'test/top1' in events
  assert b'final' not in events


def test_the_environment_names_the_command_and_the_commit(monkeypatch):
  monkeypatch.setattr(sys, 'orig_argv', ['python', '-m', 'evclip_jax.main'])
  monkeypatch.setattr(sys, 'argv', ['evclip_jax/main.py'])
  found = reporting.environment()
  assert 'main' in ' '.join(found['command'])
  assert found['commit'] is None or len(found['commit'].rstrip('+')) == 40
  assert found['versions']['jax']
  assert reporting.peak_memory()['host_peak_bytes'] > 1e7
