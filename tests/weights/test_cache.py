"""Converted weights are kept beside the source and never trusted blindly."""

import dataclasses
import multiprocessing
import os
import shutil

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError, WeightsError
from evclip_jax.weights import cache, files, own_file
from evclip_jax.weights.own_file import file_sha256, tree_hash
from evclip_jax.weights.table import Converted


@dataclasses.dataclass(frozen=True)
class Sizes:
  width: int
  layers: tuple[int, ...]
  name: str = 'x'


SIZES = Sizes(3, (2, 2), 'y')


def shapes(sizes):
  return {'net/a': (2, sizes.width), 'net/b': ()}


@pytest.fixture
def source(tmp_path):
  path = tmp_path / 'weights' / 'source.npz'
  path.parent.mkdir()
  np.savez(path, a=np.arange(6.0).reshape(2, 3), b=np.float32(0.5))
  return path


@pytest.fixture
def calls():
  return []


@pytest.fixture
def load(calls, tmp_path):
  def convert(file: files.StateFile):
    calls.append(file.path)
    flat = {f'net/{n}': x.astype(np.float32) for n, x in file.tensors.items()}
    return Converted(SIZES, flat)

  def load(path, version=1, part='clip'):
    return cache.load_or_convert(
        path, part, version, convert, Sizes, shapes, tmp_path / 'cache'
    )

  return load


def beside(source):
  return source.with_name('source.npz.evclip_jax.safetensors')


def test_a_source_is_converted_once(load, calls, source):
  (first, digest), (second, again) = load(source), load(source)
  assert len(calls) == 1
  assert first.sizes == second.sizes == SIZES
  assert digest == again == tree_hash(second.flat)
  assert second.flat.keys() == {'net/a', 'net/b'}
  for name, value in first.flat.items():
    assert second.flat[name].dtype == np.float32
    np.testing.assert_array_equal(second.flat[name], value)


def test_what_the_kept_file_notes(load, source):
  load(source)
  with safetensors.safe_open(beside(source), 'numpy') as f:
    noted = f.metadata()
    assert 'clip/net/a' in f.keys()  # noqa: SIM118
  assert noted['format'] == 'evclip_jax'
  assert noted['source'] == 'source.npz'
  assert noted['source_sha256'] == file_sha256(source)
  assert noted['converter'] == '1'


def test_another_converter_version_makes_it_stale(load, calls, source):
  load(source, version=1)
  load(source, version=2)
  assert len(calls) == 2


def test_a_changed_source_makes_it_stale(load, calls, source):
  load(source)
  np.savez(source, a=np.ones((2, 3)), b=np.float32(0.5))
  # Of the same size, so only its time and content tell.
  os.utime(source, (1, 1))
  assert load(source)[0].flat['net/a'][0, 0] == 1
  assert len(calls) == 2


def test_a_touched_source_is_compared_by_content(load, calls, source):
  load(source)
  os.utime(source, (1, 1))
  load(source)
  assert len(calls) == 1


@pytest.mark.parametrize('damage', ['cut', 'flip', 'empty', 'forged'])
def test_a_damaged_kept_file_is_made_anew(damage, load, calls, source):
  _, wanted = load(source)
  kept = beside(source)
  data = bytearray(kept.read_bytes())
  if damage == 'cut':
    data = data[:-3]
  elif damage == 'flip':
    data[-3] ^= 1
  elif damage == 'empty':
    data = b''
  kept.write_bytes(data)
  if damage == 'forged':
    safetensors.numpy.save_file({'clip/a': np.zeros(2)}, kept, {'x': 'y'})
  assert load(source)[1] == wanted
  assert len(calls) == 2
  load(source)
  assert len(calls) == 2


def test_a_folder_that_cannot_be_written_to(load, calls, source, tmp_path):
  # A folder in the way of the file: also root cannot write there.
  beside(source).mkdir()
  load(source)
  load(source)
  assert len(calls) == 1
  assert len(list((tmp_path / 'cache' / 'converted').iterdir())) == 1


def test_nowhere_to_write(load, calls, source, tmp_path):
  beside(source).mkdir()
  (tmp_path / 'cache').write_text('a file where the cache folder should be')
  load(source)
  load(source)
  assert len(calls) == 2


def test_no_temporary_files_are_left(load, source):
  load(source)
  names = {p.name for p in source.parent.iterdir()}
  assert names == {source.name, beside(source).name}


def _convert_in_child(path, cache_dir, results):
  def convert(file):
    flat = {n: x.astype(np.float32) for n, x in file.tensors.items()}
    return Converted(SIZES, flat)

  _, digest = cache.load_or_convert(
      path, 'clip', 1, convert, Sizes, shapes, cache_dir
  )
  results.put(digest)


def test_several_processes_at_once(source, tmp_path):
  context = multiprocessing.get_context('spawn')
  results = context.Queue()
  children = [
      context.Process(
          target=_convert_in_child, args=(source, tmp_path / 'c', results)
      )
      for _ in range(3)
  ]
  for child in children:
    child.start()
  hashes = {results.get(timeout=30) for _ in children}
  for child in children:
    child.join()
  assert len(hashes) == 1


def test_the_file_is_named_when_conversion_fails(source, tmp_path):
  def convert(file):
    raise WeightsError('it is something else.')

  with pytest.raises(WeightsError, match=r'source\.npz: it is something else'):
    cache.load_or_convert(
        source, 'clip', 1, convert, Sizes, shapes, tmp_path / 'c'
    )
  assert not beside(source).exists()


def test_a_missing_source_is_an_error_even_if_it_was_converted(load, source):
  load(source)
  source.unlink()
  with pytest.raises(WeightsError, match='does not exist'):
    load(source)


def test_own_files_are_read_as_they_are(load, calls, tmp_path):
  path = tmp_path / 'own.safetensors'
  flat = {'net/a': np.ones((2, 3), np.float32), 'net/b': np.float32(3)}
  own_file.write(path, 'clip', flat, SIZES, {'source': 'x'})
  found, digest = load(path)
  assert not calls
  assert found.sizes == SIZES
  assert digest == tree_hash(flat)
  assert list(tmp_path.glob('own*')) == [path]


def test_own_files_of_another_part_are_refused(load, tmp_path):
  path = tmp_path / 'own.safetensors'
  own_file.write(path, 'encoder', {'a': np.ones(2, np.float32)}, SIZES, {})
  with pytest.raises(WeightsError, match=r"own.*holds 'encoder'.*'clip'"):
    load(path)


def test_own_files_with_other_leaves_are_refused(load, tmp_path):
  path = tmp_path / 'own.safetensors'
  own_file.write(path, 'clip', {'net/a': np.ones(2, np.float32)}, SIZES, {})
  with pytest.raises(WeightsError, match=r"own.*'net/a' is \(2,\)"):
    load(path)


def test_own_files_changed_by_hand_are_refused(load, tmp_path):
  path = tmp_path / 'own.safetensors'
  own_file.write(path, 'clip', {'a': np.ones(2, np.float32)}, SIZES, {})
  data = bytearray(path.read_bytes())
  data[-1] ^= 1
  path.write_bytes(data)
  with pytest.raises(WeightsError, match='not those it was written with'):
    load(path)


@pytest.mark.parametrize('sizes', [None, Converted(1, {})])
def test_own_files_with_other_sizes_are_refused(sizes, load, tmp_path):
  path = tmp_path / 'own.safetensors'
  own_file.write(path, 'clip', {'a': np.ones(2, np.float32)}, sizes, {})
  with pytest.raises(WeightsError, match='not as this version writes it'):
    load(path)


def test_others_can_read_what_the_system_lets_them(tmp_path):
  path, plain = tmp_path / 'own.safetensors', tmp_path / 'plain'
  own_file.write(path, 'clip', {'a': np.ones(2, np.float32)}, SIZES, {})
  plain.touch()
  assert path.stat().st_mode == plain.stat().st_mode


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'own.safetensors'
  own_file.write(path, 'clip', {'a': np.ones(2, np.float32)}, SIZES, {})
  old = path.read_bytes()

  def full(*args, **kwargs):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(safetensors.numpy, 'save_file', full)
  with pytest.raises(UserError, match=r'own\.safetensors: No space left'):
    own_file.write(path, 'clip', {'a': np.zeros(2, np.float32)}, SIZES, {})
  assert path.read_bytes() == old
  assert [p.name for p in tmp_path.iterdir()] == ['own.safetensors']


@pytest.mark.parametrize(
    'other',
    [
        {'b': np.float32([1, 2])},
        {'a': np.float32([1, 3])},
        {'a': np.float32([[1, 2]])},
        {'a': np.float64([1, 2])},
        {'a': np.float32([1, 2]), 'b': np.float32([])},
    ],
)
def test_tree_hash_sees_every_difference(other):
  assert tree_hash({'a': np.float32([1, 2])}) != tree_hash(other)


def test_tree_hash_ignores_order_and_layout_in_memory():
  a, b = np.arange(6.0).reshape(2, 3), np.float32(1)
  assert tree_hash({'a': a, 'b': b}) == tree_hash(
      {'b': b, 'a': np.asfortranarray(a)}
  )


def test_the_default_folder_follows_the_system(monkeypatch, tmp_path):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  assert cache_folder() == tmp_path / 'evclip_jax'
  monkeypatch.delenv('XDG_CACHE_HOME')
  monkeypatch.setenv('HOME', str(tmp_path))
  assert cache_folder() == tmp_path / '.cache' / 'evclip_jax'


def test_a_copy_elsewhere_is_converted_on_its_own(load, calls, source):
  load(source)
  copy = source.with_name('copy.npz')
  shutil.copy(source, copy)
  load(copy)
  assert len(calls) == 2
