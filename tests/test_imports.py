"""Who may import whom: imports point one way only."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Longest prefix wins. A module may import modules of its own level or below.
LEVELS = {
    'evclip_jax.errors': 0,
    'evclip_jax.randomness': 0,
    'evclip_jax.config': 0,
    'evclip_jax.schema': 0,
    'evclip_jax.batch': 0,
    'evclip_jax.cli': 0,
    'evclip_jax.pickles': 0,
    'evclip_jax.weights': 1,
    'evclip_jax.params': 1,
    'evclip_jax.sharding': 1,
    'evclip_jax.video': 1,
    'evclip_jax.losses': 1,
    'evclip_jax.alignment': 1,
    'evclip_jax.schedules': 1,
    'evclip_jax.clip': 2,
    'evclip_jax.layers': 2,
    'evclip_jax.encoders': 2,
    'evclip_jax.interop': 2,
    'evclip_jax.methods.base': 3,
    'evclip_jax.methods': 4,
    'evclip_jax': 5,
    'evclip_jax.session': 6,
    'evclip_jax.episode_eval': 6,
    'evclip_jax.results': 6,
    'evclip_jax.loaded_run': 6,
    'evclip_jax.look': 6,
    'evclip_jax.look_beside': 6,
    'evclip_jax.step_speed': 6,
    'evclip_jax.train': 7,
    'evclip_jax.score_run': 7,
    'evclip_jax.gallery': 7,
    'evclip_jax.predictions': 7,
    'evclip_jax.export': 9,
    'evclip_jax.predict_videos': 9,
    'evclip_jax.support': 9,
    'evclip_jax.run_check': 7,
    'evclip_jax.runs': 8,
    'evclip_jax.compare': 8,
    'evclip_jax.protocol_run': 8,
    'evclip_jax.main': 9,
    'evclip_jax.predict': 9,
    'evclip_jax.benchmark': 9,
    'evclip_jax.decode_speed': 9,
    'evclip_jax.convert': 9,
    'evclip_jax.download': 9,
    'evclip_jax.lab': 9,
}
ENTRY_LEVEL = 9
DATA_LEVELS = {
    'data_pipelines.quiet_tensorflow': 0,
    'data_pipelines.kept_memory': 0,
    'data_pipelines.video_files': 0,
    'data_pipelines.clip_lists': 0,
    'data_pipelines.drawn_world': 0,
    'data_pipelines.sampling': 0,
    'data_pipelines.transforms': 0,
    'data_pipelines.decode': 1,
    'data_pipelines.stores': 1,
    'data_pipelines.source': 2,
    'data_pipelines.stream': 2,
    'data_pipelines.scan': 2,
    'data_pipelines.datasets': 3,
    'data_pipelines.builders': 4,
    'data_pipelines.clip_frames': 3,
    'data_pipelines.episodes': 3,
    'data_pipelines.readers': 3,
    'data_pipelines.loader': 4,
    'data_pipelines.episode_loader': 4,
    'data_pipelines.other_data': 4,
    'data_pipelines.open_data': 5,
    'data_pipelines.pipeline': 6,
    'data_pipelines.build': 6,
    'data_pipelines': 7,
}


def modules(package):
  for path in sorted((ROOT / package).rglob('*.py')):
    name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    yield name.removesuffix('.__init__'), path


def level(module, levels=LEVELS):
  parts = module.split('.')
  for end in range(len(parts), 0, -1):
    name = '.'.join(parts[:end])
    if name in levels:
      return levels[name]
  return None


def imports(path, top_level_only=False):
  tree = ast.parse(path.read_text())
  nodes = tree.body if top_level_only else ast.walk(tree)
  for node in nodes:
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:
        inner = f'{node.module}.{alias.name}'
        file = ROOT / pathlib.Path(*inner.split('.'))
        is_module = file.with_suffix('.py').exists() or file.is_dir()
        yield inner if is_module else node.module


@pytest.mark.parametrize(
    ('name', 'path'), list(modules('evclip_jax')), ids=str
)
def test_no_import_points_upward(name, path):
  for target in imports(path):
    if target.startswith('evclip_jax.'):
      assert level(target) <= level(name), f'{name} imports {target}'
    if target.startswith('evclip_jax.methods.') and level(name) == 4:
      assert target == 'evclip_jax.methods.base', f'{name} imports {target}'
    if target.startswith('data_pipelines'):
      assert level(name) == ENTRY_LEVEL, f'{name} imports {target}'
    for banned in ('tensorflow', 'torch', 'clu'):
      assert target.split('.')[0] != banned, f'{name} imports {target}'


@pytest.mark.parametrize(
    ('name', 'path'), list(modules('data_pipelines')), ids=str
)
def test_data_pipelines_import_no_model_code(name, path):
  for target in imports(path):
    assert target.split('.')[0] not in ('jax', 'flax', 'torch'), target
    if target.startswith('evclip_jax'):
      assert level(target) == 0, f'{name} imports {target}'
    if target.startswith('data_pipelines.'):
      own = level(name, DATA_LEVELS)
      assert level(target, DATA_LEVELS) <= own, f'{name} imports {target}'


def test_configs_import_only_the_experiment():
  for path in (ROOT / 'configs').glob('*.py'):
    allowed = {'evclip_jax.experiment', 'ml_collections'}
    assert set(imports(path)) <= allowed, path


def test_everything_imports_without_tensorflow():
  names = [n for n, _ in modules('evclip_jax') if level(n) < ENTRY_LEVEL]
  # Commands define flags of the same names, so each is imported in a fork.
  commands = [n for n, _ in modules('evclip_jax') if level(n) == ENTRY_LEVEL]
  code = f"""
import importlib, os, sys
class Block:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in ('tensorflow', 'torch'):
      raise ImportError(name)
sys.meta_path.insert(0, Block())
for name in {names!r}:
  importlib.import_module(name)
for name in {commands!r}:
  if not (child := os.fork()):
    importlib.import_module(name)
    os._exit(0)
  if os.waitpid(child, 0)[1]:
    sys.exit(f'importing {{name}} failed')
"""
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr[-2000:]
