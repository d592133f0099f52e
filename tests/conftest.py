"""Eight fake devices for every test; set before JAX starts."""

import os
import pathlib

import pytest

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '')
    + ' --xla_force_host_platform_device_count=8'
)


@pytest.fixture(scope='session')
def shared() -> pathlib.Path:
  """The folder of real clips and lists beside the repository, if any."""
  folder = pathlib.Path(__file__).parent.parent.parent / 'shared'
  if not folder.is_dir():
    pytest.skip('needs the folder ../shared')
  return folder
