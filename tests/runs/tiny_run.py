"""Runs with tiny networks: their configs, their commands, what they wrote."""

import json
import os
import pathlib
import subprocess
import sys

from configs import folder as folder_config
from evclip_jax.config import schema

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


def failures(module, *cases):
  """Calls a command with several arguments: [(status, its errors), ...].

  One process imports what it needs, and each call is a fork of it.
  """
  code = f"""if True:
    import json, os, sys, tempfile
    from data_pipelines import cli
    from evclip_jax import {module}
    from evclip_jax.runs import run, trained_model
    found = []
    for arguments in json.loads(sys.argv[1]):
      errors = tempfile.TemporaryFile()
      if not (child := os.fork()):
        os.dup2(errors.fileno(), 2)
        sys.argv[1:] = arguments
        cli.run({module}.main)
        os._exit(0)
      status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
      errors.seek(0)
      found.append((status, errors.read().decode()))
    sys.__stdout__.write(json.dumps(found))
  """
  given = json.dumps([[*map(str, arguments)] for arguments in cases])
  done = subprocess.run(
      [sys.executable, '-c', code, given],
      cwd=ROOT,
      env=environment(),
      capture_output=True,
      text=True,
  )
  assert not done.returncode, done.stderr
  return json.loads(done.stdout.splitlines()[-1])


def rows(workdir):
  text = (pathlib.Path(workdir) / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def losses(workdir):
  return [x['loss'] for x in rows(workdir) if x['split'] == 'train']
