"""Who may import whom: imports point one way only."""

import ast
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
# A folder imports only itself and folders behind it; files at the top of
# evclip_jax, the commands, may import all.
ORDER = [
    'lab',
    'domain_shift',
    'runs',
    'evaluation',
    'training',
    'config',
    'methods',
    'weights',
    'reporting',
    'models',
]


def imports(path):
  """The modules that a file names anywhere in it."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def test_imports_point_one_way():
  for place, folder in enumerate(ORDER):
    for path in (ROOT / 'evclip_jax' / folder).rglob('*.py'):
      for target in imports(path):
        package, name, *_ = [*target.split('.'), '']
        if package == 'evclip_jax':
          allowed = (*ORDER[place:], '__version__')
          assert name in allowed, f'{path} imports {target}'


def test_data_pipelines_import_no_model_code():
  for path in (ROOT / 'data_pipelines').rglob('*.py'):
    for target in imports(path):
      assert target.split('.')[0] not in ('evclip_jax', 'jax', 'flax'), (
          f'{path} imports {target}'
      )


def test_no_method_imports_another():
  for path in (ROOT / 'evclip_jax' / 'methods').glob('*/*.py'):
    others = {
        target.split('.')[2]
        for target in imports(path)
        if target.startswith('evclip_jax.methods.')
    }
    packages = {p.parent.name for p in path.parent.parent.glob('*/__init__.py')}
    assert others & packages <= {path.parent.name}, path


def test_configs_import_only_the_experiment():
  for path in (ROOT / 'configs').glob('*.py'):
    for target in imports(path):
      allowed = ('evclip_jax.config', 'ml_collections')
      assert target.startswith(allowed), path


def test_everything_imports_without_tensorflow():
  names = [
      '.'.join(path.relative_to(ROOT).with_suffix('').parts)
      for package in ('evclip_jax', 'data_pipelines')
      for path in sorted((ROOT / package).rglob('*.py'))
      if path.name != '__init__.py'
  ]
  code = f"""
import importlib, os, sys
class Block:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in ('tensorflow', 'tensorflow_datasets', 'torch'):
      raise ImportError(name)
sys.meta_path.insert(0, Block())
for name in {names!r}:
  # Commands define flags of the same names, so each is imported in a fork.
  if name.count('.') > 1:
    importlib.import_module(name)
  elif not (child := os.fork()):
    importlib.import_module(name)
    os._exit(0)
  elif os.waitpid(child, 0)[1]:
    sys.exit(f'importing {{name}} failed')
"""
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr[-2000:]
