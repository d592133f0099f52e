"""A build that was killed goes on where it was, to the same bytes."""

import json
import signal
import subprocess
import sys

import pytest

from data_pipelines import build
from data_pipelines.errors import UserError
from data_pipelines.stores import tfds as archive
from tests.data_pipelines import trees

clip_builder = pytest.importorskip('data_pipelines.builders.clip_builder')

# Builds two clips per shard and stands still in the middle of the third one.
_CHILD = """
import sys, time
from data_pipelines import build
from data_pipelines.builders import clip_builder

examples = clip_builder.encoded.examples
calls = []

def slow(store, clips):
  calls.append(clips)
  for example in examples(store, clips):
    yield example
    if len(calls) == 3:
      print('half a shard', flush=True)
      time.sleep(600)

clip_builder.encoded.examples = slow
build.build('ucf101', sys.argv[1], sys.argv[2], clips_per_shard=2)
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  return trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')


@pytest.fixture
def killed(root, tmp_path):
  """The folder of a build that was killed after two of six shards."""
  out = tmp_path / 'out'
  with subprocess.Popen(
      [sys.executable, '-c', _CHILD, str(root), str(out)],
      stdout=subprocess.PIPE,
      text=True,
  ) as child:
    for line in child.stdout:
      if line.startswith('half a shard'):
        break
    child.send_signal(signal.SIGKILL)
  assert child.returncode == -signal.SIGKILL
  return out


def build_it(root, out, clips_per_shard=2):
  return build.build(
      'ucf101', root, out, clips_per_shard=clips_per_shard
  )


def contents(folder):
  return {
      p.name: p.read_bytes()
      for p in folder.iterdir()
      if p.name != 'clip_index.json'
  }


def shards(out):
  return sorted(out.glob('ucf101_clips/*/*array_record-*-of-00006'))


def test_finished_shards_are_kept(root, killed, tmp_path, monkeypatch, capsys):
  before = {p.name: p.stat() for p in shards(killed)}
  assert len(before) == 2
  assert list(killed.glob('*/*/*.partial'))
  with pytest.raises(UserError, match='holds no finished ucf101_clips'):
    archive.Archive(str(killed), 'ucf101_clips')

  written = []
  examples = clip_builder.encoded.examples

  def watched(store, clips):
    written.extend(clip.key for clip in clips)
    return examples(store, clips)

  monkeypatch.setattr(clip_builder.encoded, 'examples', watched)
  folder = build_it(str(root), str(killed))
  assert '2 of 6 shards are there already' in capsys.readouterr().out
  assert len(written) == 8
  after = {p.name: p.stat() for p in shards(killed)}
  assert len(after) == 6
  for name, stat in before.items():
    assert after[name].st_mtime_ns == stat.st_mtime_ns

  whole = build_it(str(root), str(tmp_path / 'whole'))
  assert contents(folder) == contents(whole)
  assert not list(killed.glob('*/*unfinished*'))


def test_the_last_step_may_be_interrupted_too(root, tmp_path, monkeypatch):
  def interrupted(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(clip_builder.pathlib.Path, 'rename', interrupted)
    with pytest.raises(KeyboardInterrupt):
      build_it(str(root), str(tmp_path / 'out'))
  folder = build_it(str(root), str(tmp_path / 'out'))
  whole = build_it(str(root), str(tmp_path / 'whole'))
  assert contents(folder) == contents(whole)
  assert len(archive.Archive(str(folder), 'ucf101_clips').keys) == 12


def test_what_was_begun_with_other_clips_is_thrown_away(
    root, killed, tmp_path, capsys
):
  lists = root / 'ucfTrainTestlist'
  text = (lists / 'testlist03.txt').read_text()
  try:
    (lists / 'testlist03.txt').unlink()
    build_it(str(root), str(killed))
  finally:
    (lists / 'testlist03.txt').write_text(text)
  told = capsys.readouterr().out
  assert 'there already' not in told
  assert 'not found and will not be stored: testlist03.txt\n' in told
  built = archive.Archive(str(killed), 'ucf101_clips')
  assert built.official('test3') == ([], 0)
  assert len(built.official('test2')[0]) == 3


def test_shards_are_in_the_order_of_the_keys(root, tmp_path):
  folder = build_it(str(root), str(tmp_path / 'out'))
  keys = archive.Archive(str(folder), 'ucf101_clips').stored_keys()
  assert keys == sorted(keys)
  info = json.loads((folder / 'dataset_info.json').read_text())
  assert info['splits'][0]['shardLengths'] == ['2'] * 6


def test_what_was_begun_with_other_shards_is_thrown_away(root, killed, capsys):
  folder = build_it(str(root), str(killed), 5)
  assert 'there already' not in capsys.readouterr().out
  assert len(list(folder.glob('*array_record*'))) == 3
  info = json.loads((folder / 'dataset_info.json').read_text())
  assert info['splits'][0]['shardLengths'] == ['5', '5', '2']


def test_tfds_can_run_the_builder_itself(root, tmp_path):
  import tensorflow_datasets as tfds

  from data_pipelines.builders.ucf101 import ucf101_builder

  builder = ucf101_builder.Builder(
      data_dir=tmp_path, file_format=tfds.core.FileFormat.ARRAY_RECORD
  )
  builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=root)
  )
  folder = build.build('ucf101', str(root), str(tmp_path / 'own'))
  assert {k: v for k, v in contents(builder.folder).items() if 'rec' in k} == {
      k: v for k, v in contents(folder).items() if 'rec' in k
  }
