"""The cache of converted weights, and files of this project."""

import dataclasses
import multiprocessing
import os
import shutil
import types

import numpy as np
import pytest
import safetensors.numpy

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError, WeightsError
from evclip_jax.weights import cache, files, own_file
from evclip_jax.weights.networks import Network
from evclip_jax.weights.own_file import tree_hash
from evclip_jax.weights.table import Converted
from tests.weights.trees import assert_same


@dataclasses.dataclass(frozen=True)
class Sizes:
  width: int
  layers: tuple[int, ...]
  name: str = 'x'


SIZES = Sizes(3, (2, 2), 'y')
FLAT = {'net/a': np.ones((2, 3), np.float32), 'net/b': np.float32(3)}


def shapes(sizes):
  return {'net/a': (2, sizes.width), 'net/b': ()}


def network(part='clip', version=1, beside=''):
  names = types.SimpleNamespace(VERSION=version, shapes=shapes)
  return Network(part, '', {}, {}, names, Sizes, lambda path: beside)


def convert(file):
  flat = {f'net/{n}': x.astype(np.float32) for n, x in file.tensors.items()}
  return Converted(SIZES, flat, notes=('a note',), assumed=('width',))


@pytest.fixture
def path(tmp_path):
  path = tmp_path / 'weights' / 'source.npz'
  path.parent.mkdir()
  np.savez(path, a=np.arange(6.0).reshape(2, 3), b=np.float32(0.5))
  return path


@pytest.fixture
def calls():
  """Lists the files that were converted."""
  return []


@pytest.fixture
def load(calls, tmp_path):
  def load(path, **fields):
    def counted(file):
      calls.append(file.path)
      return convert(file)

    folder = tmp_path / 'cache'
    return cache.load_or_convert(path, network(**fields), counted, folder)

  return load


def kept(path):
  return path.with_name('source.npz.evclip_jax.safetensors')


def test_a_file_is_converted_once(load, calls, path):
  (first, digest), (second, again) = load(path), load(path)
  assert len(calls) == 1
  assert first.sizes == second.sizes == SIZES
  assert (second.notes, second.assumed) == (('a note',), ('width',))
  assert digest == again == tree_hash(second.flat)
  assert second.flat.keys() == {'net/a', 'net/b'}
  assert all(x.dtype == np.float32 for x in first.flat.values())
  assert_same(second.flat, first.flat)
  # Nothing else is left there.
  assert {p.name for p in path.parent.iterdir()} == {path.name, kept(path).name}
  noted = files.read_tensors(kept(path))
  assert 'clip/net/a' in noted.tensors
  assert noted.metadata['source'] == 'source.npz'
  assert noted.metadata['source_sha256'] == own_file.file_sha256(path)


def change_content(path):
  np.savez(path, a=np.ones((2, 3)), b=np.float32(0.5))
  # Its size is the same; only time and content differ.
  os.utime(path, (1, 1))


def rewrite(change):
  """Makes a function that changes the bytes of the result."""
  return lambda path: kept(path).write_bytes(change(kept(path).read_bytes()))


def forge(path):
  safetensors.numpy.save_file({'clip/a': np.zeros(2)}, kept(path), {'x': 'y'})


@pytest.mark.parametrize(
    ('change', 'again', 'count'),
    [
        (lambda path: None, {'version': 2}, 2),
        (lambda path: None, {'beside': 'another config'}, 2),
        (lambda path: os.utime(path, (1, 1)), {}, 1),
        (change_content, {}, 2),
        (rewrite(lambda data: data[:-3]), {}, 2),
        (rewrite(lambda data: data[:-3] + bytes([~data[-3] & 255]) + data[-2:]),
         {}, 2),
        (rewrite(lambda data: b''), {}, 2),
        (forge, {}, 2),
    ],
)
def test_stale_results_are_not_used(change, again, count, load, calls, path):
  load(path)
  change(path)
  wanted = convert(files.read_tensors(path))
  for _ in range(2):
    assert load(path, **again)[1] == tree_hash(wanted.flat)
  assert len(calls) == count


def test_places_that_cannot_be_written_to(load, calls, path, tmp_path):
  # Not even root can write to a file whose name is that of a folder.
  kept(path).mkdir()
  load(path)
  load(path)
  assert len(calls) == 1
  assert len(list((tmp_path / 'cache' / 'converted').iterdir())) == 1
  shutil.rmtree(tmp_path / 'cache')
  (tmp_path / 'cache').write_text('a file where the cache folder should be')
  load(path)
  assert len(calls) == 2


def test_another_file_is_converted_on_its_own(load, calls, path):
  load(path)
  copy = path.with_name('copy.npz')
  shutil.copy(path, copy)
  load(copy)
  assert len(calls) == 2
  path.unlink()
  with pytest.raises(WeightsError, match='does not exist'):
    load(path)


def _convert_in_child(path, cache_dir, results):
  results.put(cache.load_or_convert(path, network(), convert, cache_dir)[1])


def test_several_processes_at_once(path, tmp_path):
  context = multiprocessing.get_context('spawn')
  results = context.Queue()
  args = path, tmp_path / 'c', results
  children = [
      context.Process(target=_convert_in_child, args=args) for _ in range(3)
  ]
  for child in children:
    child.start()
  hashes = {results.get(timeout=60) for _ in children}
  for child in children:
    child.join()
  assert len(hashes) == 1


def test_the_file_is_named_when_conversion_fails(path, tmp_path):
  def fail(file):
    raise WeightsError('it is something else.')

  with pytest.raises(WeightsError, match=r'source\.npz: it is something else'):
    cache.load_or_convert(path, network(), fail, tmp_path / 'c')
  assert not kept(path).exists()


@pytest.fixture
def own(tmp_path):
  return tmp_path / 'own.safetensors'


def test_own_files_are_read_as_they_are(load, calls, own):
  own_file.write(own, 'clip', FLAT, SIZES, {'source': 'x'})
  found, digest = load(own)
  assert not calls
  assert (found.sizes, digest) == (SIZES, tree_hash(FLAT))
  assert list(own.parent.glob('own*')) == [own]
  # Others can read it if the system lets them.
  plain = own.with_name('plain')
  plain.touch()
  assert own.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    ('part', 'flat', 'sizes', 'damage', 'message'),
    [
        ('encoder', FLAT, SIZES, 0, "own.*holds 'encoder'.*'clip'"),
        ('clip', {'net/a': FLAT['net/b']}, SIZES, 0, r"own.*'net/a' is \(\)"),
        ('clip', FLAT, SIZES, 1, 'changed after it was written'),
        ('clip', FLAT, None, 0, 'not as this version writes it'),
        ('clip', FLAT, Converted(1, {}), 0, 'not as this version writes it'),
        ('clip', FLAT, SIZES, '3', 'not as this version writes it'),
    ],
)
def test_own_files_that_are_refused(
    part, flat, sizes, damage, message, load, own
):
  notes = damage if isinstance(damage, str) else '[]'
  own_file.write(own, part, flat, sizes, {'notes': notes})
  data = bytearray(own.read_bytes())
  data[-1] ^= damage == 1
  own.write_bytes(data)
  with pytest.raises(WeightsError, match=message):
    load(own)


def test_a_failed_write_leaves_the_old_file(own, monkeypatch):
  own_file.write(own, 'clip', FLAT, SIZES, {})
  old = own.read_bytes()

  def full(*args, **kwargs):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(safetensors.numpy, 'save_file', full)
  with pytest.raises(UserError, match=r'own\.safetensors: No space left'):
    own_file.write(own, 'clip', {'a': np.zeros(2, np.float32)}, SIZES, {})
  assert own.read_bytes() == old
  assert [p.name for p in own.parent.iterdir()] == ['own.safetensors']


def test_tree_hash_ignores_only_order_and_layout_in_memory():
  for other in (
      {'b': np.float32([1, 2])},
      {'a': np.float32([1, 3])},
      {'a': np.float32([[1, 2]])},
      {'a': np.float64([1, 2])},
      {'a': np.float32([1, 2]), 'b': np.float32([])},
  ):
    assert tree_hash({'a': np.float32([1, 2])}) != tree_hash(other)
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
  assert cache_folder('~/x') == tmp_path / 'x'
