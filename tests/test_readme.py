"""What the README promises exists."""

import dataclasses
import importlib.util
import pathlib
import re
import subprocess

import pytest

from evclip_jax.config import identity, schema
from evclip_jax.methods import base

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()


def test_every_command_exists():
  modules = set(re.findall(r'python -m ([\w.]+)', README))
  assert 'evclip_jax.main' in modules
  for name in modules - {'venv'}:
    assert importlib.util.find_spec(name), name


def test_every_config_key_exists():
  known = set(identity.flat(schema.base()))
  for name in base.names():
    fields = dataclasses.fields(base.load(name).Settings)
    known |= {f'method.settings.{field.name}' for field in fields}
  for key in re.findall(r'--config\.([\w.]+)', README):
    assert key in known or key == 'key', key


def test_every_config_file_and_folder_exists():
  for path in re.findall(r'--config=(configs/\w+\.py)', README):
    assert (ROOT / path).exists(), path
  named = re.findall(r'`((?:colabs|data_pipelines|tests)/[\w/.]+)`', README)
  for path in named:
    assert (ROOT / path).exists(), path


@pytest.mark.parametrize('label', ['demo command', 'test command'])
def test_set_up_commands_are_one_block_each(label):
  block = re.search(rf'<!-- {label} -->\n```sh\n(.*?)```', README, re.S)
  assert block
  lines = block[1].strip().splitlines()
  assert lines[0] == 'python3 -m venv .venv'
  assert 'constraints.txt' in lines[1]


def test_ci_runs_the_readme_test_command():
  script = (ROOT / '.ci/run').read_text()
  assert '<!-- test command -->' in script
  subprocess.run(['bash', '-n', str(ROOT / '.ci/run')], check=True)
