"""Weight files are recognised by content; messages help with mistakes."""

import json
import shutil
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from data_pipelines.errors import WeightsError
from evclip_jax.weights import files, state_dict, torch_globals
from tests.weights.test_torch_file import DATA
from tests.weights.trees import assert_same

TENSORS = {
    'a': np.arange(6, dtype=np.float32).reshape(2, 3),
    'b': np.arange(3, dtype=np.float16),
    'scalar': np.asarray(2.5, np.float32),
    'count': np.asarray(7),
}


def test_safetensors_with_metadata(tmp_path):
  path = tmp_path / 'a.bin'
  safetensors.numpy.save_file(TENSORS, path, metadata={'format': 'pt'})
  file = files.read_tensors(path)
  assert file.kind == 'safetensors'
  assert file.metadata == {'format': 'pt'}
  assert_same(file.tensors, TENSORS)


def test_bfloat16_in_safetensors_becomes_float32(tmp_path):
  values = np.asarray([[1.5, -2.25], [3e38, 1e-30]])
  raw = values.astype(ml_dtypes.bfloat16)
  header = json.dumps({
      'a': {'dtype': 'BF16', 'shape': [2, 2], 'data_offsets': [4, 12]},
      'b': {'dtype': 'F32', 'shape': [], 'data_offsets': [0, 4]},
  }).encode()
  path = tmp_path / 'a.safetensors'
  path.write_bytes(
      struct.pack('<Q', len(header))
      + header
      + np.float32(1).tobytes()
      + raw.tobytes()
  )
  tensors = files.read_tensors(path).tensors
  np.testing.assert_array_equal(tensors['a'], raw.astype(np.float32))
  assert tensors['b'] == 1
  # The first byte of the length is that of a pickle, 0x80.
  header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
  header = header.ljust(0x80)
  path.write_bytes(struct.pack('<Q', 0x80) + header + b'\0\0\0\0')
  assert files.read_tensors(path).kind == 'safetensors'


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_npz(save, tmp_path):
  path = tmp_path / 'a.npz'
  save(path, **TENSORS)
  file = files.read_tensors(path)
  assert file.kind == 'npz'
  assert_same(file.tensors, TENSORS)


def test_the_extension_does_not_matter(tmp_path):
  path = tmp_path / 'weights.safetensors'
  shutil.copy(DATA / 'zip.pt', path)
  assert files.read_tensors(path).kind == 'torch-zip'
  path = tmp_path / 'a.npz'
  np.savez(path, a=np.asarray([{}], dtype=object))
  with pytest.raises(WeightsError, match=r'a\.npz holds pickled objects'):
    files.read_tensors(path)


@pytest.mark.parametrize(
    'value', [np.asarray(['a']), np.zeros(2, ml_dtypes.bfloat16), None]
)
def test_npz_that_holds_no_numbers(value, tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, a=TENSORS['a'], **{} if value is None else {'b': value})
  if value is None:
    with zipfile.ZipFile(path, 'a') as archive:
      archive.writestr('b', 'text')
  with pytest.raises(WeightsError, match=r"a\.npz: 'b' is .*, not numbers"):
    files.read_tensors(path)


def test_a_path_in_the_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  save(tmp_path / 'a.safetensors', TENSORS)
  assert_same(files.read_tensors('~/a.safetensors').tensors, TENSORS)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'<!DOCTYPE html><html>', 'web page'),
        (b'\n <html>', 'web page'),
        (b'<\0\0\0' + bytes(99), 'program of jax.export, not weights'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull'),
        (b'\x1f\x8b\x08\x00', 'Unpack'),
        (b'{"a": 1}', 'JSON'),
        (b'\x93NUMPY\x01\x00', r'numpy\.savez'),
        (b'hello', r"begins with b'hello'.*\n.*\.safetensors or \.npz"),
        (b'cos\nsystem\n', 'not a weight file'),
        (b'PK\x03\x04', 'damaged or cut short'),
    ],
)
def test_other_files_are_refused_by_what_they_are(content, message, tmp_path):
  path = tmp_path / 'weights.pt'
  path.write_bytes(content)
  with pytest.raises(WeightsError, match=message) as caught:
    files.read_tensors(path)
  assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
  with pytest.raises(WeightsError, match=r'no\.pt does not exist'):
    files.read_tensors(tmp_path / 'no.pt')
  with pytest.raises(WeightsError, match='folder without model.saf.* or '):
    files.read_tensors(tmp_path)


@pytest.mark.parametrize('suffix', ['safetensors', 'npz'])
def test_cut_short(suffix, tmp_path):
  path = tmp_path / f'a.{suffix}'
  if suffix == 'npz':
    np.savez(path, **TENSORS)
  else:
    safetensors.numpy.save_file(TENSORS, path)
  whole = path.read_bytes()
  for length in range(20, len(whole), 41):
    path.write_bytes(whole[:length])
    with pytest.raises(WeightsError, match=rf'a\.{suffix}.*cut short'):
      files.read_tensors(path)


def save(path, tensors):
  safetensors.numpy.save_file(tensors, path)
  return path


def test_a_folder_and_a_model_in_several_files(tmp_path):
  parts = [{'a': TENSORS['a']}, {'b': TENSORS['b'], 'count': TENSORS['count']}]
  index = {'weight_map': {}}
  for number, part in enumerate(parts):
    name = f'model-0000{number}-of-00002.safetensors'
    save(tmp_path / name, part)
    index['weight_map'] |= dict.fromkeys(part, name)
  path = tmp_path / 'model.safetensors.index.json'
  path.write_text(json.dumps(index))
  for place in (tmp_path, path):
    assert_same(files.read_tensors(place).tensors, parts[0] | parts[1])
  assert len(files.shards(path)) == 3
  index['weight_map']['c'] = 'model-00000-of-00002.safetensors'
  path.write_text(json.dumps(index))
  with pytest.raises(WeightsError, match="none of its files, such as 'c'"):
    files.read_tensors(path)
  index['weight_map'] = {'a': 'part.safetensors', 'b': path.name}
  for broken in (
      '{', '{}', '{"weight_map": {"a": "../x"}}', '[]', '[' * 9999,
      json.dumps(index),
  ):
    path.write_text(broken)
    with pytest.raises(WeightsError, match='is not the index of a model'):
      files.read_tensors(path)
  del index['weight_map']['b']
  path.write_text(json.dumps(index))
  with pytest.raises(WeightsError, match='part.safetensors is missing'):
    files.read_tensors(path)
  # A whole file takes precedence.
  save(tmp_path / 'model.safetensors', {'x': TENSORS['a']})
  assert list(files.read_tensors(tmp_path).tensors) == ['x']


X = np.zeros(1)


@pytest.mark.parametrize('prefix', ['module.', 'module.clip.', 'model.'])
def test_the_prefixes_of_wrappers_are_removed(prefix, tmp_path):
  tensors = {f'{prefix}a': X, f'{prefix}b.c': X}
  file = files.read_tensors(save(tmp_path / 'a.safetensors', tensors))
  assert list(file.tensors) == ['a', 'b.c']
  first = prefix.split('.')[0]
  assert f"removed the prefix '{first}.' from all names" in file.notes
  file = files.read_tensors(save(tmp_path / 'b', tensors | {'b': X}))
  assert f'{prefix}a' in file.tensors


def choose(root):
  """Returns names, notes and names left out, of a tree of arrays."""

  def wrapped(value):
    if isinstance(value, dict):
      return {k: wrapped(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
      return torch_globals.NumpyArray(value.copy())
    return value

  tensors, notes, left_out = state_dict.choose(wrapped(root))
  return list(tensors), notes, left_out


def test_the_state_dict_in_nested_dicts_is_taken():
  names = 'state_dict', 'model_state_dict', 'model_state', 'model', 'other'
  for name in names:
    found, notes, _ = choose({'epoch': {}, name: {'a': X, 'b': X}})
    assert found == ['a', 'b']
    assert notes == (f'took the entry {name!r} (2 tensors)',)
  found, _, left_out = choose({'net': {'a': X}, 'optimizer': {'b': {'c': X}}})
  assert (found, left_out) == (['a'], ('optimizer.b.c',))
  assert choose({'trunk': {'a.b': X}, 'heads': {'image.c': X}}) == (
      ['a.b'],
      (
          "took the entry 'trunk' (1 tensors)",
          "left out 1 tensors under 'heads'",
      ),
      ('heads.image.c',),
  )


@pytest.mark.parametrize(
    ('root', 'message'),
    [
        ({'generator': {'a': X}, 'critic': {'a': X}}, 'several.*critic'),
        ({'net': {'a': {'b': X}, 'a.b': X}}, r'two .* called a\.b'),
        ([X], 'a list, not a dict'),
        (3, 'not a dict'),
        (None, 'not a dict'),
        ({}, 'no tensors'),
    ],
)
def test_objects_without_one_state_dict_are_refused(root, message):
  with pytest.raises(WeightsError, match=message):
    choose(root)
