"""Broken clips are found before the run and never dropped in silence."""

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders import broken_clips
from data_pipelines.stores.files import FileTree
from data_pipelines.video import probes
from tests.data_pipelines import coded_clips, trees

BAD = 'run/bad.mp4'


@pytest.fixture
def root(tmp_path):
  """Two classes of three clips, and one broken clip of the first class."""
  # No two files are the same.
  for more, name in enumerate(('run', 'walk')):
    (tmp_path / 'd' / name).mkdir(parents=True)
    for k in range(3):
      path = tmp_path / 'd' / name / f'{k}.mp4'
      coded_clips.write(path, num_frames=12 + 3 * more + k)
  whole = (tmp_path / 'd' / 'run' / '0.mp4').read_bytes()
  (tmp_path / 'd' / BAD).write_bytes(whole[: len(whole) // 2])
  (tmp_path / 'd' / 'test.txt').write_text('run/0.mp4\nwalk/0.mp4\n')
  return tmp_path / 'd'


def open_it(root, **values):
  usual = {'name': 'folder', 'test_list': 'test.txt'} | values
  return trees.open_sets(root, run=root.parent / 'run', **usual)


def test_a_broken_clip_is_an_error_that_names_it(root):
  match = f'(?s)1 of 7 clips cannot be decoded.*{BAD}.*data.on_broken=skip'
  with pytest.raises(UserError, match=match):
    open_it(root)
  assert not (root.parent / 'run').exists()


def test_skip_leaves_it_out_lists_and_counts_it(root, capsys):
  sets = open_it(root, on_broken='skip')
  assert [r.path for r in sets.train.records] == [
      'run/1.mp4', 'run/2.mp4', 'walk/1.mp4', 'walk/2.mp4',
  ]  # fmt: skip
  assert BAD in capsys.readouterr().out
  described = sets.description['lists']['train']
  assert (described['clips'], described['skipped']) == (4, 1)
  assert described['sha256'] == sets.train.hash
  sets.write_lists(root.parent / 'lists')
  skipped = (root.parent / 'lists' / 'skipped.txt').read_text()
  assert skipped.startswith(f'train\t{BAD}\t')
  # The hash is that of the clips that are left.
  (root / BAD).unlink()
  assert open_it(root).train.hash == sets.train.hash
  coded_clips.write(root / BAD, num_frames=20)
  assert open_it(root).train.hash != sets.train.hash


def test_a_class_short_of_shots_by_broken_clips_is_refused(root):
  # All three of the class 'run' are chosen.
  clips = [f'run/{k}.mp4,run' for k in (1, 2, 'bad')]
  clips += [f'walk/{k}.mp4,walk' for k in (1, 2, 0)]
  trees.write_lines(root / 'train.csv', 'path,label', *clips)
  (root / 'test.txt').write_text('run/0.mp4\n')
  values = {'train_list': 'train.csv', 'on_broken': 'skip', 'shots': 3}
  match = f"(?s)data.shots=3 training clips.*'run' with 2.*{BAD}.*_short=keep"
  with pytest.raises(UserError, match=match):
    open_it(root, **values)
  sets = open_it(root, few_shot_short='keep', **values)
  assert len(sets.train) == 5
  assert sets.description['lists']['train']['from'] == (
      '3 clips per class of train.csv, seed 1; 1 broken clip left out'
  )
  sets.write_lists(root.parent / 'lists')
  written = (root.parent / 'lists' / 'train.txt').read_text()
  assert '1 broken clip left out' in written
  # Broken clips that were not chosen do not count.
  (root / BAD).unlink()
  (root / 'train.csv').write_text('path,label\nrun/1.mp4,run\nwalk/1.mp4,walk')
  (root / 'test.txt').write_text('run/0.mp4\nrun/b.mp4\n')
  (root / 'run' / 'b.mp4').write_bytes(b'')
  sets = open_it(root, **values | {'shots': 1})
  assert sets.train.clips.origin == '1 clips per class of train.csv, seed 1'


def test_many_broken_clips_are_an_error_and_written_to_a_file(root):
  lines = ['path,label', 'walk/1.mp4,walk', 'run/1.mp4,run']
  sound = (root / 'walk' / '2.mp4').read_bytes()
  for k in range(5):
    (root / 'run' / f'b{k}.mp4').write_bytes(b'')
    (root / 'walk' / f'b{k}.mp4').write_bytes(sound)
    lines += [f'run/b{k}.mp4,run', f'walk/b{k}.mp4,walk']
  (root / 'train.csv').write_text('\n'.join(lines))
  message = r"'run' with 1, without the broken ones: run/b\d.mp4"
  with pytest.raises(UserError, match=message):
    open_it(root, train_list='train.csv', on_broken='skip', shots=6)
  (root.parent / 'run' / 'broken.txt').unlink()
  with pytest.raises(UserError, match='6 of 17 clips'):
    open_it(root)
  written = (root.parent / 'run' / 'broken.txt').read_text()
  assert len(written.splitlines()) == 6


def test_a_class_without_any_sound_clip_is_an_error_even_if_skipping(root):
  for k in (1, 2):
    (root / 'walk' / f'{k}.mp4').write_bytes(b'')
  with pytest.raises(UserError, match="'walk' has no training clip"):
    open_it(root, on_broken='skip')


def test_a_piece_beyond_the_end_of_its_film_is_broken(root):
  (root / BAD).unlink()
  (root / 'train.csv').write_text(
      'path,label,start,end\nrun/1.mp4,run,0,0.3\nwalk/1.mp4,walk,7,8\n'
  )
  with pytest.raises(UserError, match='walk/1.mp4 .*between 7.* and 8'):
    open_it(root, train_list='train.csv')


def test_of_very_many_pieces_some_are_looked_at(tmp_path, monkeypatch, capsys):
  found = probes.Probe(
      'film.mp4', '', 1, 300, fps=25.0, times=probes.pack(range(300)),
      time_base=(1, 25), looked=((0, 1),),
  )  # fmt: skip
  asked = []

  def probe_many(paths, *others):
    asked.extend(others[-1](0, found))
    return [found]

  monkeypatch.setattr(broken_clips, 'probe_many', probe_many)
  monkeypatch.setattr(broken_clips, '_MOST_PIECES', 4)
  pieces = tuple(ClipRecord('film.mp4', 0, k, k + 1) for k in range(10))
  lists = [ClipList('train', pieces)]
  broken_clips.probe_clips(FileTree(tmp_path), lists, str(tmp_path))
  assert asked == [(0, 25), (75, 100), (150, 175), (225, 250)]
  assert '4 of 10 video segments are checked' in capsys.readouterr().out
