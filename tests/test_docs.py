"""What the README and the pages of docs promise exists."""

import dataclasses
import importlib.util
import pathlib
import re
import subprocess

import pytest

from evclip_jax.config import identity, page, schema
from evclip_jax.methods import base

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
PAGES += sorted((ROOT / 'configs').glob('*.py'))


@pytest.fixture(params=PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def text(request):
  return request.param.read_text()


def test_every_command_exists(text):
  modules = set(re.findall(r'python3? -m (\w[\w.]+)', text))
  modules |= set(re.findall(r'`((?:evclip_jax|data_pipelines)\.\w+)`', text))
  for name in modules - {'evclip_jax.load', 'data_pipelines.dataset'}:
    assert importlib.util.find_spec(name), name


def test_every_config_key_exists(text):
  known = set(identity.flat(schema.base()))
  for name in base.names():
    fields = dataclasses.fields(base.load(name).Settings)
    known |= {f'method.settings.{field.name}' for field in fields}
  # Groups of a user's own keys.
  free = ('data.tests.', 'data.others.', 'key', 'KEY')
  for key in re.findall(r'--config\.([\w.]+)', text):
    assert key in known or key.startswith(free), key


def test_every_named_file_and_folder_exists(text):
  named = re.findall(r'\b(?:docs|configs)/[\w/]+\.\w+', text)
  named += re.findall(r'`((?:colabs|configs|docs|tests)/[\w/.]+)`', text)
  named += re.findall(r"`((?:data_pipelines|evclip_jax)/[\w/]+)`", text)
  named += re.findall(r"`((?:data_pipelines|evclip_jax)/[\w/]+\.\w+)`", text)
  for path in named:
    if 'foo' not in path and 'NAME' not in path:
      assert (ROOT / path).exists(), path


def test_the_page_of_config_keys_is_that_of_the_schema():
  written = (ROOT / 'docs/config.md').read_text()
  assert written == page.text(), 'python -m evclip_jax.config.page writes it'


def test_the_readme_is_short():
  assert len(README.split()) <= 1000


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
