"""The notebooks: clean, pinned, and run from the first cell to the last."""

import os
import pathlib
import re
import zipfile

import nbformat
import pytest
from nbclient import NotebookClient
from safetensors import safe_open

import evclip_jax

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / 'colabs').glob('*.ipynb'))


def load(path):
  return nbformat.read(path, as_version=4)


def code_cells(path):
  return [c for c in load(path).cells if c.cell_type == 'code']


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_small_and_carry_no_outputs(path):
  assert len(load(path).cells) < 40
  for cell in code_cells(path):
    assert not cell.outputs
    assert cell.execution_count is None


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_the_first_cell_installs_this_version(path):
  first, second = (cell.source for cell in code_cells(path)[:2])
  pinned = re.search(r'evclip-jax==(\S+)', first)
  assert pinned[1] == evclip_jax.__version__
  assert "os.environ.get('TINY'" in second


def test_few_shot_on_your_own_videos_runs(tmp_path, monkeypatch):
  notebook = load(ROOT / 'colabs' / '01_few_shot_on_your_own_videos.ipynb')
  monkeypatch.setenv('TINY', '1')
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  # One device, as most people have.
  flags = os.environ['XLA_FLAGS'].replace('device_count=8', 'device_count=1')
  monkeypatch.setenv('XLA_FLAGS', flags)
  monkeypatch.setenv('PYTHONPATH', str(ROOT))
  client = NotebookClient(
      notebook,
      timeout=300,
      kernel_name='python3',
      resources={'metadata': {'path': str(tmp_path)}},
  )
  client.execute()
  outputs = [o for c in notebook.cells for o in c.get('outputs', [])]
  pictures = [o for o in outputs if 'image/png' in o.get('data', {})]
  # The curve of the loss, and a picture for each of three clips.
  assert len(pictures) >= 4
  text = ''.join(o.get('text', '') for o in outputs)
  assert 'weights trained' in text
  assert 'probability' in text
  assert 'Traceback' not in text
  with zipfile.ZipFile(tmp_path / 'my_clips_checkpoint.zip') as archive:
    names = archive.namelist()
  assert any(n.startswith('checkpoints/last/') for n in names)
  with safe_open(tmp_path / 'my_clips.safetensors', 'np') as file:
    assert file.metadata()['method'] == 'ev_clip'
    assert all(name.startswith('method/') for name in file.keys())  # noqa: SIM118
