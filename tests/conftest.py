"""Eight fake devices for every test; set before JAX starts."""

import os
import pathlib
import tempfile
from importlib import metadata

import pytest

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Tests compile much and compute little: what makes programs fast would take
# half of their time.
_FLAGS = [
    '--xla_force_host_platform_device_count=8',
    '--xla_backend_optimization_level=0',
    '--xla_llvm_disable_expensive_passes=true',
]
# A jaxlib that does not know a flag ends the process: only for the tested one.
_TESTED = pathlib.Path(__file__).parent.parent / 'constraints.txt'
if f'jaxlib=={metadata.version("jaxlib")}' in _TESTED.read_text().split():
  _FLAGS.append('--xla_cpu_use_fusion_emitters=false')
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), *_FLAGS])
# What one test compiled, the next one and its subprocesses find, also those of
# the other workers of pytest-xdist, which get this process's environment.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  _CACHE = tempfile.TemporaryDirectory(prefix='evclip-compiled-')
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _CACHE.name
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.1'


# Begun first, so that the last minutes do not belong to one of them alone.
_LONG = (
    'test_run.py',
    'test_episodic_run.py',
    'test_colab.py',
    'test_protocols.py',
    'test_data_sets.py',
    'test_config_steps.py',
)


def pytest_collection_modifyitems(items: list[pytest.Item]):
  """Puts the long files first."""
  places = {name: place for place, name in enumerate(_LONG)}
  items.sort(key=lambda item: places.get(item.path.name, len(_LONG)))


@pytest.fixture
def packaged_sizes(monkeypatch):
  """Shapes of the packaged networks, which their files say, from any others."""
  from evclip_jax.models.clip import sizes
  from evclip_jax.weights import trunks
  from tests.methods import tiny

  monkeypatch.setitem(sizes.TABLE, 'tiny', tiny.CLIP)
  monkeypatch.setitem(trunks.TABLE, 'tiny', tiny.ENCODER)


@pytest.fixture(scope='session')
def shared() -> pathlib.Path:
  """The folder of real clips and lists beside the repository, if any."""
  folder = pathlib.Path(__file__).parent.parent.parent / 'shared'
  if not folder.is_dir():
    pytest.skip('needs the folder ../shared')
  return folder
