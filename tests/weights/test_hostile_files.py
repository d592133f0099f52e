"""Hostile files: nothing in them runs, and memory stays small."""

import collections
import functools
import io
import os
import pickle
import struct
import subprocess
import zipfile

import numpy as np
import pytest

from data_pipelines import unpickle
from data_pipelines.errors import WeightsError
from evclip_jax.weights import files, torch_globals


class Call:
  """Pickles as a call of a function."""

  def __init__(self, function, *args):
    self.function, self.args = function, args

  def __reduce__(self):
    return self.function, self.args


def payloads(marker):
  """Returns values that create the file `marker` in Python's unpickler."""
  code = f'open({str(marker)!r}, "w").close()'
  return {
      'system': Call(os.system, f'touch {marker}'),
      'eval': Call(eval, code),
      'exec': Call(exec, code),
      'popen': Call(subprocess.Popen, ['touch', str(marker)]),
      'open': Call(open, str(marker), 'w'),
      'getattr': Call(getattr, 'x', '__class__'),
      'map': Call(list, Call(map, os.remove, [str(marker)])),
      'import': Call(__import__, 'os'),
      'partial': Call(functools.partial, os.system, f'touch {marker}'),
  }


NAMES = sorted(payloads('x'))


def zip_of(root: bytes, folder='archive') -> bytes:
  """Returns a torch zip archive with a pickle."""
  out = io.BytesIO()
  with zipfile.ZipFile(out, 'w') as archive:
    archive.writestr(f'{folder}/data.pkl', root)
    archive.writestr(f'{folder}/byteorder', 'little')
    archive.writestr(f'{folder}/data/0', np.zeros(4, np.float32).tobytes())
    archive.writestr(f'{folder}/version', '3\n')
  return out.getvalue()


def legacy_of(root: bytes, keys='') -> bytes:
  """Returns a legacy torch file with a pickle, before its storages."""
  head = [0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}]
  head, tail = ([pickle.dumps(x, 2) for x in y] for y in (head, [list(keys)]))
  return b''.join([*head, root, *tail])


@pytest.fixture
def read(tmp_path):
  """Reads a file of these bytes."""

  def read(content):
    path = tmp_path / 'evil.pth'
    path.write_bytes(content)
    return files.read_tensors(path).tensors

  return read


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize('wrap', [bytes, zip_of, legacy_of])
def test_no_payload_runs(name, protocol, wrap, read, tmp_path):
  marker = tmp_path / 'marker'
  value = {'state_dict': {'weight': payloads(marker)[name]}}
  with pytest.raises(WeightsError, match=r'evil\.pth.*Nothing in it was run'):
    read(wrap(pickle.dumps(value, protocol)))
  assert not marker.exists()


def test_the_message_names_what_was_refused(read):
  wanted = f'names {os.system.__module__ + ".system"!r}'
  with pytest.raises(WeightsError, match=wanted):
    read(zip_of(pickle.dumps(Call(os.system, 'true'), 2)))


def test_a_payload_within_an_inert_object_is_refused(read, tmp_path):
  marker = tmp_path / 'marker'
  inner = pickle.dumps(payloads(marker)['system'], 2)[2:-1]
  # torch.optim.lr_scheduler.CosineAnnealingLR() with the payload as its state.
  body = (
      b'\x80\x02ctorch.optim.lr_scheduler\nCosineAnnealingLR\n)\x81}'
      b'X\x01\x00\x00\x00a' + inner + b'sb.'
  )
  with pytest.raises(WeightsError, match='Nothing in it was run'):
    read(zip_of(body))
  assert not marker.exists()


def unpickled(body):
  return unpickle.read(io.BytesIO(body), torch_globals.find, None)


def test_inert_objects_do_nothing_with_their_state():
  value = unpickled(
      b'\x80\x02ctorch.optim.adamw\nAdamW\n)\x81}'
      b'X\x0c\x00\x00\x00__setstate__X\x01\x00\x00\x00xsb.'
  )
  assert type(value) is unpickle.Inert
  assert value.state == {'__setstate__': 'x'}


def test_a_config_beside_the_weights_stays_inert():
  # CfgNode() with an entry, and an attribute as well.
  value = unpickled(
      b'\x80\x02cyacs.config\nCfgNode\n)\x81(X\x01\x00\x00\x00aK\x03u'
      b'}X\x01\x00\x00\x00bK\x04sb.'
  )
  assert type(value) is unpickle.Inert
  assert value.state == {'a': 3, 'b': 4}
  assert unpickled(b'\x80\x02cargparse\nNamespace\n)\x81.').state == {}


@pytest.mark.parametrize(
    ('body', 'message'),
    [
        # BUILD on a function would let Python's unpickler set its attributes.
        (b'ctorch._utils\n_rebuild_tensor_v2\n}b.', 'attributes for a Global'),
        # A tensor's class may be named, as torch does, but not be called.
        (b'ctorch\nTensor\n)R.', r'calls .torch\.Tensor'),
        # Python takes the hash of a nested tuple until it crashes.
        (b'}' + b')' + b'\x85' * 200_000 + b'Ns.', 'nested tuple'),
    ],
    ids=['state', 'call', 'hash'],
)
def test_instructions_that_are_refused(body, message):
  with pytest.raises((ValueError, unpickle.Refused), match=message):
    unpickled(b'\x80\x02' + body)


def tensor_pickle(offset, shape, strides, count=4) -> bytes:
  """Pickles {'weight': a tensor of `count` stored floats}."""

  class Pickler(pickle.Pickler):

    def persistent_id(self, obj):
      if isinstance(obj, str) and obj == 'STORAGE':
        return ('storage', FloatStorage, '0', 'cpu', count)

  out = io.BytesIO()
  args = ('STORAGE', offset, shape, strides, False, collections.OrderedDict())
  call = Call(_rebuild_tensor_v2, *args)
  # The classes below stand for torch's while they are pickled by name.
  Pickler(out, 2).dump({'weight': call})
  data = out.getvalue()
  module = f'c{__name__}\n'.encode()
  data = data.replace(module + b'FloatStorage', b'ctorch\nFloatStorage')
  return data.replace(module, b'ctorch._utils\n')


class FloatStorage:
  """Pickled as torch.FloatStorage."""


def _rebuild_tensor_v2():
  """Pickled as torch._utils._rebuild_tensor_v2."""


def test_the_hand_made_tensor_is_read(read):
  tensors = read(zip_of(tensor_pickle(0, (2, 2), (2, 1))))
  np.testing.assert_array_equal(tensors['weight'], np.zeros((2, 2)))


@pytest.mark.parametrize(
    ('offset', 'shape', 'strides', 'count'),
    [
        (1, (2, 2), (2, 1), 4),  # one beyond the end
        (0, (2, 2), (3, 1), 4),
        (-1, (2,), (1,), 4),
        (0, (2,), (-1,), 4),
        (0, (2, 2), (1,), 4),
        (0, (2.0,), (1,), 4),
        (0, (2**40,), (1,), 2**40),  # a storage that is not there
        (0, (2**62, 2**62), (1, 1), 4),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(
    offset, shape, strides, count, read
):
  with pytest.raises(WeightsError, match=r'evil\.pth'):
    read(zip_of(tensor_pickle(offset, shape, strides, count)))


def zipped(root):
  return zip_of(pickle.dumps({'state_dict': root}, 2))


COMPRESSED = io.BytesIO()
with zipfile.ZipFile(COMPRESSED, 'w', zipfile.ZIP_DEFLATED) as archive:
  archive.writestr('archive/data.pkl', pickle.dumps({}))
# A dict that is met exponentially often, and one that contains itself.
LEVELS, LOOP = {}, {}
for _ in range(40):
  LEVELS = {'a': LEVELS, 'b': LEVELS}
LOOP['self'] = LOOP
# One list, copied by many short instructions.
COPIES = [None] * 10_000
COPIES = [Call(list, COPIES) for _ in range(10_000)]
# Strides of 0 make 4 TiB of one number.
REPEATED = tensor_pickle(0, (2**20, 2**20), (0, 0))
# In legacy files, the id of a storage has a sixth entry.
OLD = tensor_pickle(0, (4,), (1,)).replace(b'K\x04t', b'K\x04Nt', 1)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (zip_of(REPEATED), r'evil\.pth.*bytes of memory'),
        (zipped(LEVELS), r'evil\.pth.*nested too far'),
        (zipped(LOOP), 'no tensors'),
        (zipped(COPIES), 'makes far more than it holds'),
        (COMPRESSED.getvalue(), 'compressed'),
        (
            legacy_of(OLD, '0') + struct.pack('<q', 2**60),
            r'evil\.pth.*not all there',
        ),
    ],
    ids=['repeated', 'levels', 'loop', 'copies', 'compressed', 'huge length'],
)
def test_small_files_neither_fill_the_memory_nor_take_for_ever(
    content, message, read
):
  with pytest.raises(WeightsError, match=message):
    read(content)
