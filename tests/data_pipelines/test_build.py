"""TFDS builders: a built folder gives the lists and frames of the files."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines import build
from data_pipelines.errors import UserError
from data_pipelines.loaders import open_data
from data_pipelines.loaders.batches import Batches
from data_pipelines.loaders.eval_set import EvalSet
from data_pipelines.loaders.loader import Loader
from data_pipelines.stores.tfds import TfdsStore
from data_pipelines.views import ev_clip
from tests.data_pipelines import official_trees, trees

array_record_module = pytest.importorskip(
    'array_record.python.array_record_module'
)

# Stands still after some clips.
_KILLED = """
import sys, time
from data_pipelines import build
contents, calls = build._contents, []

def slow(*args):
  calls.append(args)
  if len(calls) == 5:
    print('in the middle', flush=True)
    time.sleep(600)
  return contents(*args)

build._contents = slow
build.build('ucf101', sys.argv[1], sys.argv[2], splits=[1])
"""


@pytest.fixture(scope='module')
def built(root, tmp_path_factory):
  out = tmp_path_factory.mktemp('tfds')
  build.build('ucf101', str(root), str(out), splits=[1, 2])
  return out


def open_both(root, built, split=1, **values):
  files = trees.open_sets(root, 1, split, **values)
  data = trees.data_config(tfds_dir=str(built), **values)
  return files, open_data.open_data(data, 1, split)


def check_same_batches(files, packed):
  loader = Loader(ev_clip.Spec(8, 32, 'random', 48, 64, 32), 1, workers=2)
  with (
      Batches(loader.train(files.train, 4)) as one,
      Batches(loader.train(packed.train, 4)) as other,
  ):
    for _ in range(4):
      a, b = next(one), next(other)
      for name in a:
        np.testing.assert_array_equal(a[name], b[name])
  tests = files.tests['test'], packed.tests['test']
  passes = [EvalSet(loader, t, 2, crops=3).batches() for t in tests]
  for a, b in zip(*passes, strict=True):
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize('split', [1, 2])
def test_official_lists_give_the_same_batches(root, built, split):
  files, packed = open_both(root, built, split, shots=2)
  assert packed.train.clips == files.train.clips
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


def test_clips_of_no_list_are_stored_too(tmp_path):
  root = official_trees.make_hmdb(tmp_path / 'hmdb', real=True)
  # A name need not be UTF-8.
  odd = f'sword/{os.fsdecode(b"x_" + bytes([233]))}.avi'
  listed = root / 'videos' / official_trees.hmdb_key('sword', 1)
  shutil.copy(listed, root / 'videos' / odd)
  build.build('hmdb51', str(root), str(tmp_path / 'out'), splits=[1])
  stored = TfdsStore(str(tmp_path / 'out'), 'hmdb51_clips', 1)
  unlisted = stored.lists['unlisted']
  assert [r.path for r in unlisted.records] == [
      *(official_trees.hmdb_key(c, 2) for c in official_trees.HMDB_CLIPS),
      odd,
  ]
  assert stored.media(odd) == listed.read_bytes()
  key = unlisted.records[2].path
  assert stored.media(key) == (root / 'videos' / key).read_bytes()


def test_the_page_reads_a_built_folder(root, built, tmp_path):
  page = pathlib.Path(__file__).parents[2] / 'docs' / 'tfds.md'
  code = page.read_text().split('```python\n')[1].split('```')[0]
  done = subprocess.run(
      # Without the current folder on the path, so without this project.
      [sys.executable, '-P', '-c', code.replace('DIR/', f'{built}/')],
      capture_output=True,
      cwd=tmp_path,
      check=True,
      text=True,
      timeout=120,
  )
  key = trees.clip_key('ApplyEyeMakeup', 2)
  assert done.stdout == f"9 {key.encode()} ApplyEyeMakeup\n"
  video = (tmp_path / 'clip.avi').read_bytes()
  assert video == (root / 'UCF-101' / key).read_bytes()


def test_what_is_known_of_clips_holds_on_every_machine(root, built):
  clips = TfdsStore(str(built), 'ucf101_clips', 1)
  key = trees.clip_key('YoYo', 2)
  probe = clips.probes([key])[key]
  assert (probe.num_frames, probe.width, probe.codec) == (38, 64, 'mpeg4')
  assert str(root) not in (clips.folder / 'metadata.json').read_text()
  assert len(clips.keys) == 12


def test_a_killed_build_begins_anew(root, tmp_path):
  out = str(tmp_path / 'out')
  with subprocess.Popen(
      [sys.executable, '-c', _KILLED, str(root), out],
      stdout=subprocess.PIPE,
      text=True,
  ) as child:
    assert any(line.startswith('in the middle') for line in child.stdout)
    child.send_signal(signal.SIGKILL)
  with pytest.raises(UserError, match='holds no finished ucf101_clips/split1'):
    TfdsStore(out, 'ucf101_clips', 1)
  build.build('ucf101', str(root), out, splits=[1])
  assert len(TfdsStore(out, 'ucf101_clips', 1).keys) == 12


COPY, BAD, GONE = (
    trees.clip_key(name, group)
    for name, group in (('YoYo', 1), ('ApplyEyeMakeup', 3), ('YoYo', 3))
)


@pytest.fixture(scope='module')
def damaged(root, tmp_path_factory):
  """What is said of a tree with a copy, a broken clip and one less; a build."""
  folder = tmp_path_factory.mktemp('damaged')
  copy, out, told = folder / 'ucf', folder / 'out', io.StringIO()
  shutil.copytree(root, copy)
  videos = copy / 'UCF-101'
  other = videos / trees.clip_key('YoYo', 2)
  (videos / COPY).write_bytes(other.read_bytes())
  (videos / BAD).write_bytes(b'no video')
  (videos / GONE).unlink()
  with pytest.raises(UserError) as error:
    build.build('ucf101', str(copy), str(out), splits=[1])
  # Before any work.
  assert [path.name for path in out.iterdir()] == ['missing-train.txt']
  assert (out / 'missing-train.txt').read_text() == GONE + '\n'
  with contextlib.redirect_stdout(told):
    build.build('ucf101', str(copy), str(out), 'skip', splits=[1])
  return out, str(error.value) + told.getvalue()


def open_damaged(damaged, **values):
  data = trees.data_config(tfds_dir=str(damaged[0]), **values)
  return open_data.open_data(data, 1, 1)


def test_what_is_missing_or_broken_is_decided_on_later(damaged):
  assert re.search(f'1 of 9 clips .*: {GONE}', damaged[1])
  assert f'1 clips cannot be decoded, such as {BAD}' in damaged[1]
  with pytest.raises(UserError, match=f'1 of 9 clips of the train.*{GONE}'):
    open_damaged(damaged)
  with pytest.raises(UserError, match='data.on_broken=skip') as error:
    open_damaged(damaged, on_missing='skip')
  assert BAD in str(error.value)
  sets = open_damaged(damaged, on_missing='skip', on_broken='skip')
  assert len(sets.train) == 7 and sets.train.clips.missing == (GONE,)


def test_copies_in_two_lists_are_noticed(damaged, tmp_path, capsys):
  skip = {'on_missing': 'skip', 'on_broken': 'skip'}
  open_damaged(damaged, **skip)
  text = '1 of 3 clips of the test list (testlist01.txt) are the same files'
  # Of official lists it is said, others are refused.
  assert text in capsys.readouterr().out
  test = trees.write_vifi(tmp_path / 'test.txt', (1,))
  with pytest.raises(UserError, match='same files'):
    open_damaged(damaged, test_list=test, **skip)


def test_command(root, tmp_path, capsys):
  args = 'ucf101', f'--root={root}', f'--out={tmp_path}', '--splits=3'
  done = subprocess.run(
      [sys.executable, '-m', 'data_pipelines.build', *args],
      capture_output=True,
      text=True,
      timeout=120,
  )
  assert done.returncode == 0, done.stderr
  assert f'--config.data.tfds_dir={tmp_path}' in done.stdout
  info = next(tmp_path.glob('ucf101_clips/split3/*/dataset_info.json'))
  assert json.loads(info.read_text())['configName'] == 'split3'
  build.build('ucf101', str(root), str(tmp_path), splits=[3])
  assert 'exists already' in capsys.readouterr().out
  with pytest.raises(UserError, match='wanted one data set of arid, egtea,'):
    build.build('ucf102', str(root), str(tmp_path))


@pytest.mark.parametrize(
    ('root', 'values', 'message'),
    [
        ('nowhere', {}, 'data.root=.* does not exist'),
        ('', {'splits': [4]}, 'split=4: UCF-101 has the splits 1, 2 and 3'),
        ('', {'rule': 'x'}, '--path_rule='),
        ('UCF-101/YoYo/..', {}, 'lists of UCF-101 were not found near'),
    ],
)
def test_wrong_arguments(tmp_path, root, values, message):
  base = trees.make_ucf(tmp_path / 'ucf', real=False, lists='elsewhere')
  if 'splits' in values:
    (base / 'elsewhere').rename(base / 'ucfTrainTestlist')
  with pytest.raises(UserError, match=message):
    build.build('ucf101', str(base / root), str(tmp_path / 'out'), **values)
  assert not (tmp_path / 'out').exists()


def test_a_place_that_cannot_be_written_is_said_before_any_work(
    root, damaged, tmp_path
):
  (tmp_path / 'file').touch()
  args = 'ucf101', str(damaged[0].parent / 'ucf'), str(tmp_path / 'file')
  with pytest.raises(UserError, match='cannot write to --out=.*File exists'):
    build.build(*args, splits=[1])


def test_a_full_disk_is_said(root, tmp_path, monkeypatch):
  def full(*_):
    raise RuntimeError('write() failed: No space left on device')

  # As ArrayRecord says it.
  monkeypatch.setattr(array_record_module.ArrayRecordWriter, 'close', full)
  with pytest.raises(UserError, match='cannot write .*No space left'):
    build.build('ucf101', str(root), str(tmp_path / 'out'), splits=[1])


def test_a_split_that_was_not_built_names_the_command(built):
  with pytest.raises(
      UserError,
      match=r'split3 \(but split1, split2\)\. .*build ucf101 .* --splits=3',
  ):
    TfdsStore(str(built), 'ucf101_clips', 3)
