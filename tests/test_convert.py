"""The convert command, from a file to a file."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax import convert
from evclip_jax.weights import files, load, own_file, scenic_names
from tests import commands
from tests.models import small
from tests.weights import states


@pytest.fixture
def run(capsys):
  """Runs the command's work; gives what it prints."""

  def run(source, out, **options):
    convert.convert_file(source, out, **options)
    return capsys.readouterr().out

  return run


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
  out, again = tmp_path / 'out.safetensors', tmp_path / 'again.safetensors'
  text = run(source(kind), out)
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
  # From an own file comes the same again.
  run(out, again)
  for key in ('part', 'sizes', 'tree_hash'):
    found = files.read_tensors(again).metadata.get(key)
    assert found == file.metadata.get(key), key


def test_what_is_ignored_is_counted_and_shown(run, source, tmp_path):
  text = run(source('ev-clip'), tmp_path / 'o.safetensors')
  count = len(states.trunk_state()) + 1
  assert f'ignored: {count}' in text
  assert '    enc.trunk.' in text
  assert f'... and {count - 4} more' in text
  assert '1 batch norms of its frozen CLIP drift' in text


def test_not_finite_numbers_are_reported(run, tmp_path):
  tensors = states.openai_state()
  tensors['visual.proj'] = np.full_like(tensors['visual.proj'], np.nan)
  path = tmp_path / 'a.npz'
  np.savez(path, **tensors)
  text = run(path, tmp_path / 'o.safetensors')
  assert 'warning: not all numbers are finite in 1 tensors' in text
  assert 'visual/proj' in text


@pytest.mark.parametrize('kind', ['openai-clip', 'omnivore'])
def test_back_to_the_original_names(kind, run, source, tmp_path):
  ours, back = tmp_path / 'ours.safetensors', tmp_path / 'back.safetensors'
  run(source(kind), ours)
  run(ours, back, to='torch-names')
  original = states.STATES[kind][0]()
  found = files.read_tensors(back).tensors
  for name, value in found.items():
    wanted = original[name].astype(np.float32)
    np.testing.assert_array_equal(value, wanted, name)
  # And our file from it is the same again.
  again = tmp_path / 'again.safetensors'
  run(back, again)
  first, second = files.read_tensors(ours), files.read_tensors(again)
  assert first.metadata['tree_hash'] == second.metadata['tree_hash']
  assert first.metadata['sizes'] == second.metadata['sizes']


def test_to_scenic_and_back(run, source, tmp_path):
  ours, theirs = tmp_path / 'ours.safetensors', tmp_path / 'theirs.safetensors'
  run(source('open-clip'), theirs, to='scenic')
  tree = files.read_tensors(theirs).tensors
  wanted = scenic_names.to_scenic(small.flat(small.VIT))
  assert tree.keys() == wanted.keys()
  run(theirs, ours)
  found = own_file.read(files.read_tensors(ours), 'clip', type(small.VIT))
  assert found.sizes == small.VIT
  for path, value in small.flat(small.VIT).items():
    np.testing.assert_array_equal(found.flat[path], value, path)


def test_wrong_arguments_exit_with_2():
  calls = {
      ('a.pt',): 'SOURCE --out=',
      ('a.pt', 'b.pt', '--out=x.safetensors'): 'SOURCE --out=',
      ('no.pt', '--out=x.safetensors', '--to=torch'): '--to',
      ('no.pt', '--out=x.safetensors'): 'no.pt does not exist',
  }
  found = commands.errors('evclip_jax.convert', *calls)
  for error, message in zip(found, calls.values(), strict=True):
    assert message in error


def test_what_a_clip_computes_is_said_and_kept(run, source, tmp_path):
  path, out = source('open-clip'), tmp_path / 'out.safetensors'
  text = run(path, out)
  assert 'assumed activation=quick_gelu; the file does not say' in text
  assert 'say --activation=gelu' in text
  # What was assumed here is asked for when it is used.
  with pytest.raises(UserError, match=r'clip\.activation'):
    load.load_clip('', str(out))
  said = {'activation': 'gelu', 'vision_heads': 4}
  run(path, out, force=True, **said)
  back = tmp_path / 'back.safetensors'
  run(out, back, to='torch-names')
  for file in (out, back):
    sizes = load.load_clip('', str(file)).sizes
    assert sizes == dataclasses.replace(small.VIT, **said)


def spoil(tensors):
  del tensors['visual.transformer.resblocks.1.ln_2.bias']
  return tensors


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'<html>', 'web page'),
        (b'something', 'not a weight file'),
        (spoil(states.openai_state()), r'1 of .*resblocks\.1/ln_2/bias'),
        ({'a': np.zeros(2)}, 'of no model that this project'),
    ],
)
def test_bad_files_exit_with_2_and_write_nothing(
    content, message, run, tmp_path
):
  path = tmp_path / 'source.npz'
  if isinstance(content, dict):
    np.savez(path, **content)
  else:
    path.write_bytes(content)
  with pytest.raises(UserError, match=message) as error:
    run(path, tmp_path / 'out.safetensors')
  assert str(path) in str(error.value)
  assert len(str(error.value).splitlines()) <= 3
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ('out', 'options', 'message'),
    [
        ('x.bin', {}, 'must end in .safetensors'),
        ('no/such/x.safetensors', {}, 'does not exist'),
        ('there.safetensors', {}, '--force'),
        ('x.safetensors', {'to': 'scenic'}, 'an Omnivore video trunk'),
        ('x.safetensors', {'clip': 'a.pt'}, 'is for --to=torch-names'),
        ('x.safetensors', {'activation': 'gelu'}, 'are for CLIP'),
    ],
)
def test_what_cannot_be_done(out, options, message, run, source, tmp_path):
  (tmp_path / 'there.safetensors').write_text('precious')
  with pytest.raises(UserError, match=message):
    run(source('omnivore'), tmp_path / out, **options)
  assert (tmp_path / 'there.safetensors').read_text() == 'precious'


def test_force_replaces_but_not_the_source(run, source, tmp_path):
  out = tmp_path / 'out.safetensors'
  out.write_text('old')
  run(source('omnivore'), out, force=True, verbose=True)
  assert out.read_bytes()[:3] != b'old'
  with pytest.raises(UserError, match='is the source'):
    run(out, out, force=True)
