"""The notebooks: clean, and run from a wheel, first cell to last."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / 'colabs').glob('*.ipynb'))
# By number: pictures at least, and what is printed.
RESULTS = {
    '01': (4, r'test: top-1 [1-9].*(?s:.*)orbax of ev_clip'),
    '02': (3, r'zero-shot +[1-9]\S* +[1-9].*\nEZ-CLIP +[1-9]\S* +[1-9]'),
    '03': (3, r'right: [1-9](?s:.*)one example: [1-9]'),
    '04': (2, r'zero-shot +top-1 +[1-9].*\ncontext +top-1 +[1-9]'),
}

pytestmark = pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)


def load(path):
  return nbformat.read(path, as_version=4)


def copy_source(folder):
  """Building leaves files beside the sources."""
  source = folder / 'source'
  source.mkdir()
  for name in ('evclip_jax', 'data_pipelines'):
    shutil.copytree(
        ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__')
    )
  for name in ('pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  return source


@pytest.fixture(scope='module')
def python(tmp_path_factory):
  """An environment that has the installed packages and this one's wheel."""
  folder = tmp_path_factory.mktemp('installed')
  command = [sys.executable, '-m', 'pip', '-q', 'wheel', '--no-deps']
  command += ['--no-index', '--no-build-isolation', '-w', folder]
  subprocess.run([*command, copy_source(folder)], check=True)
  venv.create(folder / 'venv')
  scheme = {'base': folder / 'venv', 'platbase': folder / 'venv'}
  packages = pathlib.Path(sysconfig.get_path('purelib', vars=scheme))
  # A line of a .pth adds a folder without the .pth files in it, so that
  # the repository, if installed in place, is not seen.
  (packages / 'others.pth').write_text(sysconfig.get_path('purelib'))
  (built,) = folder.glob('*.whl')
  with zipfile.ZipFile(built) as wheel:
    wheel.extractall(packages)
  return folder / 'venv/bin/python'


def test_notebooks_are_small_and_carry_no_outputs(path):
  notebook = load(path)
  nbformat.validate(notebook)
  assert len(notebook.cells) < 40
  cells = [c for c in notebook.cells if c.cell_type == 'code']
  assert not any(c.outputs or c.execution_count for c in cells)
  # All begin alike.
  first = [c.source for c in load(NOTEBOOKS[0]).cells if c.cell_type == 'code']
  assert [c.source for c in cells[:2]] == first[:2]


def test_notebooks_run_without_the_repository(
    path, python, tmp_path, monkeypatch
):
  run(path, python, tmp_path, monkeypatch)


@pytest.mark.slow
def test_notebooks_run_with_every_package_from_the_registry(
    path, tmp_path, monkeypatch
):
  venv.create(tmp_path / 'venv', with_pip=True)
  python = tmp_path / 'venv/bin/python'
  wanted = ['-c', ROOT / 'constraints.txt', copy_source(tmp_path), 'ipykernel']
  subprocess.run([python, '-m', 'pip', '-q', 'install', *wanted], check=True)
  run(path, python, tmp_path, monkeypatch)


def run(path, python, tmp_path, monkeypatch):
  """Runs a notebook in an environment and looks at what it shows."""
  kernel = tmp_path / 'jupyter/kernels/wheel'
  kernel.mkdir(parents=True)
  command = [os.fspath(python), '-m', 'ipykernel_launcher']
  command += ['-f', '{connection_file}']
  spec = {'argv': command, 'display_name': 'wheel', 'language': 'python'}
  (kernel / 'kernel.json').write_text(json.dumps(spec))
  monkeypatch.setenv('JUPYTER_PATH', str(tmp_path / 'jupyter'))
  monkeypatch.setenv('TINY', '1')
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  # One device, as most people have.
  flags = os.environ['XLA_FLAGS'].replace('device_count=8', 'device_count=1')
  monkeypatch.setenv('XLA_FLAGS', flags)
  monkeypatch.delenv('PYTHONPATH', raising=False)
  notebook = load(path)
  check = 'import evclip_jax; print(evclip_jax.__file__)'
  notebook.cells.append(nbformat.v4.new_code_cell(check))
  NotebookClient(
      notebook,
      timeout=600,
      kernel_name='wheel',
      resources={'metadata': {'path': str(tmp_path)}},
  ).execute()
  outputs = [o for c in notebook.cells for o in c.get('outputs', [])]
  text = ''.join(o.get('text', '') for o in outputs)
  assert str(ROOT) not in text.splitlines()[-1]
  assert 'Traceback' not in text
  assert not re.search(r'top-1 +0\.0', text)
  pictures, printed = RESULTS[path.stem[:2]]
  assert sum('image/png' in o.get('data', {}) for o in outputs) >= pictures
  assert re.search(printed, text), text[-3000:]
  if path.stem.startswith('01'):
    with zipfile.ZipFile(tmp_path / 'my_clips_run.zip') as archive:
      names = archive.namelist()
    assert any(n.startswith('checkpoints/last/') for n in names)
