"""The TFDS builder: the same batches as from the files it was built from."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines import build
from data_pipelines.errors import UserError
from data_pipelines.loaders import open_data
from data_pipelines.loaders.clips import EvalLoader, TrainLoader
from data_pipelines.stores import tfds
from data_pipelines.views import ev_clip
from tests.data_pipelines import trees

pytest.importorskip('array_record')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  return trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')


@pytest.fixture(scope='module')
def built(root):
  out = root.parent / 'tfds'
  build.build('ucf101', str(root), str(out))
  return out


def open_both(root, built, split=1, seed=1, **values):
  return [
      open_data.open_data(
          trees.data_config(**place, **values),
          seed,
          split,
          cache_dir=str(root.parent / 'c'),
      )
      for place in ({'root': str(root)}, {'tfds_dir': str(built)})
  ]


def check_same_batches(files, packed):
  spec = ev_clip.Spec(8, 32, 'random', 48, 64, 32)
  with (
      TrainLoader(files.train, 4, spec, 1, workers=2) as one,
      TrainLoader(packed.train, 4, spec, 1, workers=2) as other,
  ):
    for _ in range(4):
      a, b = next(one), next(other)
      for name in a:
        np.testing.assert_array_equal(a[name], b[name])
  tests = files.tests['test'], packed.tests['test']
  passes = [EvalLoader(t, 2, spec, crops=3) for t in tests]
  for a, b in zip(*passes, strict=True):
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize('split', [1, 2])
def test_official_lists_give_the_same_batches(root, built, split):
  files, packed = open_both(root, built, split, shots=2)
  assert packed.train.hash == files.train.hash
  assert packed.class_names == files.class_names
  assert packed.description == files.description
  check_same_batches(files, packed)


def test_other_lists_choose_among_the_same_clips(root, built, tmp_path):
  lists = {
      'train_list': trees.write_vifi(tmp_path / 'train.txt', (4, 2)),
      'test_list': trees.write_vifi(tmp_path / 'test.txt', (1,)),
  }
  files, packed = open_both(root, built, **lists)
  assert packed.train.hash == files.train.hash
  check_same_batches(files, packed)
  (tmp_path / 'bad.txt').write_text('v_YoYo_g09_c01.avi 2\n')
  with pytest.raises(UserError, match='1 of 1 clips of the train list'):
    open_both(root, built, train_list=str(tmp_path / 'bad.txt'))


def test_examples_hold_the_file_and_what_is_known_of_it(root, built):
  clips = tfds.Archive(str(built), 'ucf101_clips')
  key = trees.clip_key('YoYo', 2)
  file = root / 'UCF-101' / key
  assert clips.media(key) == file.read_bytes()
  probe = clips.probes([key])[key]
  assert (probe.num_frames, probe.width, probe.codec) == (38, 64, 'mpeg4')
  assert str(root) not in json.dumps(probe.to_dict())
  assert len(clips.keys) == 12


def test_building_twice_gives_the_same_bytes(root, built, tmp_path):
  again = build.build('ucf101', str(root), str(tmp_path / 'again'))
  first = tfds.Archive(str(built), 'ucf101_clips').folder
  names = sorted(p.name for p in first.iterdir())
  assert names == sorted(p.name for p in again.iterdir())
  for name in names:
    if 'array_record' in name or name.startswith('clip_index'):
      assert (again / name).read_bytes() == (first / name).read_bytes()


def test_a_finished_build_is_kept(root, built, capsys):
  build.build('ucf101', str(root), str(built))
  assert 'is there already' in capsys.readouterr().out


def test_the_index_is_made_anew_if_it_is_gone(built):
  index = next(built.glob('*/*/clip_index.json'))
  text = index.read_text()
  index.unlink()
  tfds.Archive(str(built), 'ucf101_clips')
  assert index.read_text() == text


def test_broken_clips_are_stored_and_decided_on_later(root, tmp_path, capsys):
  copy = tmp_path / 'ucf'
  shutil.copytree(root, copy)
  bad = trees.clip_key('YoYo', 3)
  (copy / 'UCF-101' / bad).write_bytes(b'no video')
  build.build('ucf101', str(copy), str(tmp_path / 'out'))
  assert f'1 clips cannot be decoded, such as {bad}' in capsys.readouterr().out
  where = {'tfds_dir': str(tmp_path / 'out')}
  with pytest.raises(UserError, match='data.on_broken=skip') as error:
    open_data.open_data(trees.data_config(**where), 1, 1)
  assert bad in str(error.value)
  sets = open_data.open_data(
      trees.data_config(on_broken='skip', **where), 1, 1
  )
  assert len(sets.train) == 8


def test_missing_clips_are_told_before_any_work(root, tmp_path, capsys):
  copy = tmp_path / 'ucf'
  shutil.copytree(root, copy)
  gone = trees.clip_key('YoYo', 3)
  (copy / 'UCF-101' / gone).unlink()
  out = tmp_path / 'out'
  with pytest.raises(UserError, match=f'1 clips .* such as {gone}'):
    build.build('ucf101', str(copy), str(out))
  assert (out / 'missing.txt').read_text() == gone + '\n'
  assert sorted(p.name for p in out.iterdir()) == ['missing.txt']
  build.build('ucf101', str(copy), str(out), on_missing='skip')
  where = {'tfds_dir': str(out)}
  with pytest.raises(UserError, match='8 of the 9 clips of the official train'):
    open_data.open_data(trees.data_config(**where), 1, 1)
  train = trees.write_vifi(tmp_path / 'train.txt', (4,))
  test = trees.write_vifi(tmp_path / 'test.txt', (1,))
  data = trees.data_config(train_list=train, test_list=test, **where)
  assert len(open_data.open_data(data, 1, 1).train) == 3


def test_command(root, tmp_path):
  def run(*args):
    return subprocess.run(
        [sys.executable, '-m', 'data_pipelines.build', *args],
        capture_output=True,
        text=True,
        timeout=120,
    )

  out = tmp_path / 'out'
  done = run('ucf101', f'--root={root}', f'--out={out}')
  assert done.returncode == 0, done.stderr
  assert f'--config.data.tfds_dir={out}' in done.stdout
  assert len(tfds.Archive(str(out), 'ucf101_clips').keys) == 12


@pytest.mark.parametrize(
    ('name', 'root', 'message'),
    [('ucf101', 'nowhere', 'data.root=.* does not exist')],
)
def test_wrong_arguments(tmp_path, name, root, message):
  with pytest.raises(UserError, match=message):
    build.build(name, str(tmp_path / root), str(tmp_path / 'out'))
  assert not (tmp_path / 'out').exists()


def test_a_folder_that_was_not_built_names_the_command(tmp_path):
  with pytest.raises(UserError, match='data_pipelines.build ucf101 --root=DIR'):
    tfds.Archive(str(tmp_path), 'ucf101_clips')
