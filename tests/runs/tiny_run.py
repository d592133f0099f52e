"""Runs with tiny networks: their configs, their commands, what they wrote."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from configs import folder as folder_config
from data_pipelines.loaders import eval_set
from evclip_jax.config import schema
from evclip_jax.runs import run, stopping
from tests import commands

ROOT = pathlib.Path(__file__).parents[2]
TINY = {
    'batch_size': 4,
    'clip.name': 'tiny',
    'data.num_frames': 2,
    'data.workers': 1,
    'encoder.name': 'tiny',
    'mesh.data': 1,
}


def config(method, root, *changes):
  """The config of a folder of clips, which is checked."""
  made = folder_config.get_config(method)
  values = {k: v for own in (TINY, *changes) for k, v in own.items()}
  made.update_from_flattened_dict(values | {'data.root': str(root)})
  schema.check(made)
  return made


def command(method, root, workdir, changes, *more):
  """The command of such a run."""
  return [
      sys.executable,
      '-m',
      'evclip_jax.main',
      f'--config=configs/folder.py:{method}',
      f'--workdir={workdir}',
      f'--config.data.root={root}',
      *(f'--config.{key}={value}' for key, value in (TINY | changes).items()),
      *more,
  ]


def environment(devices=8):
  """That of a command with so many devices."""
  flags = os.environ['XLA_FLAGS']
  flags += f' --xla_force_host_platform_device_count={devices}'
  return os.environ | {'PYTHONPATH': str(ROOT), 'XLA_FLAGS': flags}


def called(module, *arguments):
  """Calls a command of evclip_jax and waits for it."""
  return subprocess.run(
      [sys.executable, '-m', f'evclip_jax.{module}', *map(str, arguments)],
      cwd=ROOT,
      env=environment(),
      capture_output=True,
      text=True,
  )


def python(code, folder):
  """Runs code in a folder, on one device; returns what it prints."""
  done = subprocess.run(
      [sys.executable, '-P', '-c', code],
      cwd=folder,
      env=environment(1),
      capture_output=True,
      text=True,
  )
  assert not done.returncode, done.stderr[-2000:]
  return done.stdout


def failures(module, *calls):
  """What calls of a command that must end with status 2 say."""
  modules = f'evclip_jax.{module} evclip_jax.runs.run'
  modules += ' evclip_jax.runs.trained_model'
  return commands.errors(modules, *calls, cwd=ROOT, env=environment())


def card(top1, lists=None, shots=0, **about):
  """A run card with made-up numbers: top-1 by list."""
  lists = {
      name: {'sha256': f'hash of {name}', 'from': f'{name}.txt', 'clips': 9}
      | (lists or {}).get(name, {})
      for name in ('train', *top1)
  }
  return {
      'method': 'zero_shot',
      'seed': 1,
      'split': 1,
      'final': {n: {'top1': value, 'clips': 9} for n, value in top1.items()},
      'data': {'name': 'mine', 'shots': shots, 'classes': 2, 'lists': lists},
      'class_names': ['c0', 'c1'],
      'prompts': [['A video of $c_0$.']],
      'prompts_sha256': 'a',
      'parameters': {'trainable': 7},
      'selection': {'rule': 'last', 'step': 40},
      'views': {'clips': 4, 'crops': 3},
      'weights': {'clip': {'hash': 'w'}},
      'config_hash': 'abc',
      'learning_rate': 0.01,
  } | about


def stop_while_scoring(config, workdir, number=1, asked=signal.SIGTERM):
  """Trains until a signal comes in this evaluation; gives what stopped it."""
  calls, real = [], eval_set.EvalSet.batches

  def batches(self):
    calls.append(self)
    for batch in real(self):
      if len(calls) == number:
        os.kill(os.getpid(), asked)
      yield batch

  with (
      pytest.MonkeyPatch.context() as patch,
      pytest.raises(stopping.Stopped) as stop,
  ):
    patch.setattr(eval_set.EvalSet, 'batches', batches)
    run.run(config, str(workdir), 'train')
  assert len(calls) == number
  return stop.value


def rows(workdir):
  text = (pathlib.Path(workdir) / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def losses(workdir):
  return [x['loss'] for x in rows(workdir) if x['split'] == 'train']
