"""The convert command, from a file to a file."""

import dataclasses
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from data_pipelines.errors import UserError
from evclip_jax import convert
from evclip_jax.weights import files, load, own_file, scenic_names
from tests.models import small
from tests.weights import states


@pytest.fixture
def run(capsys):
  """Runs the command's work; gives its exit status, output and error."""

  def run(source, out, **options):
    try:
      convert.convert_file(source, out, **options)
    except UserError as e:
      return 2, capsys.readouterr().out, str(e)
    return 0, capsys.readouterr().out, ''

  return run


def command(*args):
  return subprocess.run(
      [sys.executable, '-m', 'evclip_jax.convert', *map(str, args)],
      capture_output=True,
      text=True,
      check=False,
  )


@pytest.fixture
def source(tmp_path):
  def source(kind):
    make, _ = states.STATES[kind]
    path = tmp_path / f'{kind}.npz'
    np.savez(path, **make())
    return path

  return source


@pytest.mark.parametrize('kind', states.STATES)
def test_every_kind_is_converted_and_described(kind, run, source, tmp_path):
  out = tmp_path / 'out.safetensors'
  status, text, err = run(source(kind), out)
  assert (status, err) == (0, '')
  file = files.read_tensors(out)
  part = states.STATES[kind][1]
  assert file.metadata['part'] == part
  assert file.metadata['source_kind'] == kind
  assert file.metadata['source_sha256'] == own_file.file_sha256(source(kind))
  branches = ('clip/', 'method/') if part == 'several' else f'{part}/'
  assert all(name.startswith(branches) for name in file.tensors)
  assert all(x.dtype == np.float32 for x in file.tensors.values())
  assert f'mapped: {len(file.tensors)}' in text
  assert 'missing: 0' in text
  assert f'wrote {out}' in text


def test_what_is_ignored_is_counted_and_shown(run, source, tmp_path):
  _, text, _ = run(source('ev-clip'), tmp_path / 'o.safetensors')
  count = len(states.trunk_state()) + 1
  assert f'ignored: {count}' in text
  assert '    enc.trunk.' in text
  assert f'... and {count - 4} more' in text
  assert '1 batch norms of its frozen CLIP drift' in text


def test_verbose_lists_all(run, source, tmp_path):
  out = tmp_path / 'o.safetensors'
  _, text, _ = run(source('omnivore'), out, verbose=True)
  for name in states.trunk_state():
    assert f'    {name} -> ' in text
  assert 'more' not in text


def test_not_finite_numbers_are_reported(run, tmp_path):
  tensors = states.openai_state()
  tensors['visual.proj'] = np.full_like(tensors['visual.proj'], np.nan)
  path = tmp_path / 'a.npz'
  np.savez(path, **tensors)
  status, text, _ = run(path, tmp_path / 'o.safetensors')
  assert status == 0
  assert 'warning: not all numbers are finite in 1 tensors' in text
  assert 'visual/proj' in text


@pytest.mark.parametrize('kind', ['openai-clip', 'omnivore', 'ev-clip'])
def test_back_to_the_original_names(kind, run, source, tmp_path):
  ours, back = tmp_path / 'ours.safetensors', tmp_path / 'back.safetensors'
  assert run(source(kind), ours)[0] == 0
  assert run(ours, back, to='torch-names')[0] == 0
  original = states.STATES[kind][0]()
  found = files.read_tensors(back).tensors
  for name, value in found.items():
    wanted = original[name].astype(np.float32)
    np.testing.assert_array_equal(value, wanted, name)
  # And our file from it is the same again.
  again = tmp_path / 'again.safetensors'
  assert run(back, again)[0] == 0
  first, second = files.read_tensors(ours), files.read_tensors(again)
  assert first.metadata['tree_hash'] == second.metadata['tree_hash']
  assert first.metadata['sizes'] == second.metadata['sizes']


def test_to_scenic_and_back(run, source, tmp_path):
  ours, theirs = tmp_path / 'ours.safetensors', tmp_path / 'theirs.safetensors'
  assert run(source('open-clip'), theirs, to='scenic')[0] == 0
  tree = files.read_tensors(theirs).tensors
  wanted = scenic_names.to_scenic(small.flat(small.VIT))
  assert tree.keys() == wanted.keys()
  assert run(theirs, ours)[0] == 0
  found = own_file.read(
      files.read_tensors(ours), 'clip', type(small.VIT)
  )
  assert found.sizes == small.VIT
  for path, value in small.flat(small.VIT).items():
    np.testing.assert_array_equal(found.flat[path], value, path)


def test_an_own_file_keeps_its_sizes(run, tmp_path):
  path, out = tmp_path / 'own.safetensors', tmp_path / 'out.safetensors'
  sizes = dataclasses.replace(states.TRUNK, drop_path=0.25)
  flat = {'norm/bias': np.ones(3, np.float32)}
  own_file.write(path, 'encoder', flat, sizes, {})
  assert run(path, out)[0] == 0
  found = own_file.read(files.read_tensors(out), 'encoder', type(sizes))
  assert found.sizes == sizes


def test_an_existing_file_needs_force(run, source, tmp_path):
  out = tmp_path / 'out.safetensors'
  out.write_text('precious')
  status, _, err = run(source('omnivore'), out)
  assert status == 2
  assert '--force' in err
  assert out.read_text() == 'precious'
  assert run(source('omnivore'), out, force=True)[0] == 0
  assert out.read_bytes()[:8] != b'precious'


class Evil:

  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    return os.system, (f'touch {self.marker}',)


def bad_files(folder):
  """Name -> content of a file to refuse, and a word of the message."""
  good = folder / 'good.safetensors'
  safetensors.numpy.save_file(states.trunk_state(), good)
  whole = good.read_bytes()
  return {
      'cut.safetensors': (whole[:-100], 'cut short'),
      'empty.pt': (b'', 'is empty'),
      'page.pt': (b'<html>', 'web page'),
      'evil.pth': (pickle.dumps({'a': Evil(folder / 'marker')}), 'names'),
      'text.pt': (b'something', 'not a weight file'),
  }


@pytest.mark.parametrize(
    'name',
    ['cut.safetensors', 'empty.pt', 'page.pt', 'evil.pth', 'text.pt'],
)
def test_bad_files_exit_with_2_and_write_nothing(name, run, tmp_path):
  content, word = bad_files(tmp_path)[name]
  path = tmp_path / name
  path.write_bytes(content)
  before = set(tmp_path.iterdir())
  status, _, err = run(path, tmp_path / 'out.safetensors')
  assert status == 2
  assert str(path) in err
  assert word in err
  assert len(err.splitlines()) <= 3
  assert set(tmp_path.iterdir()) == before


def test_a_tensor_of_another_architecture(run, tmp_path):
  tensors = states.openai_state()
  del tensors['visual.transformer.resblocks.1.ln_2.bias']
  path = tmp_path / 'part.npz'
  np.savez(path, **tensors)
  status, _, err = run(path, tmp_path / 'out.safetensors')
  assert status == 2
  assert err.startswith(f'{path}: 1 of ')
  assert 'visual/transformer/resblocks.1/ln_2/bias' in err


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (('a.pt',), 'SOURCE --out='),
        (('a.pt', 'b.pt', '--out=x.safetensors'), 'SOURCE --out='),
        (('no.pt', '--out=x.safetensors', '--to=torch'), '--to'),
        (('no.pt', '--out=x.safetensors'), 'no.pt does not exist'),
    ],
)
def test_wrong_arguments_exit_with_2(args, message):
  done = command(*args)
  assert done.returncode == 2
  assert message in done.stderr
  assert 'Traceback' not in done.stderr


def test_the_command(source, tmp_path):
  out = tmp_path / 'out.safetensors'
  done = command(source('omnivore'), f'--out={out}')
  assert done.returncode == 0, done.stderr
  assert 'an Omnivore video trunk' in done.stdout
  assert out.exists()


@pytest.mark.parametrize(
    ('out', 'message'),
    [
        ('x.bin', 'must end in .safetensors'),
        ('no/such/x.safetensors', 'does not exist'),
    ],
)
def test_wrong_places(out, message, run, source, tmp_path):
  status, _, err = run(source('omnivore'), tmp_path / out)
  assert status == 2
  assert message in err


def test_the_source_is_not_overwritten(run, tmp_path):
  path = tmp_path / 'a.safetensors'
  safetensors.numpy.save_file(states.trunk_state(), path)
  status, _, err = run(path, path, force=True)
  assert status == 2
  assert 'is the source' in err


def test_scenic_is_for_clip(run, source, tmp_path):
  out = tmp_path / 'out.safetensors'
  status, _, err = run(source('omnivore'), out, to='scenic')
  assert status == 2
  assert 'an Omnivore video trunk' in err


def test_what_a_clip_computes_is_said_and_kept(run, source, tmp_path, capsys):
  path, out = source('open-clip'), tmp_path / 'out.safetensors'
  status, text, _ = run(path, out)
  assert status == 0
  assert 'assumed activation=quick_gelu; the file does not say' in text
  assert 'say --activation=gelu' in text
  # What was assumed here is asked for when it is used.
  with pytest.raises(UserError, match=r'clip\.activation'):
    load.load_clip('', str(out))
  said = {'activation': 'gelu', 'vision_heads': 4}
  assert run(path, out, force=True, **said)[0] == 0
  assert load.load_clip('', str(out)).sizes == dataclasses.replace(
      small.VIT, **said
  )
  status, _, err = run(source('omnivore'), out, force=True, **said)
  assert status == 2 and 'are for CLIP' in err
