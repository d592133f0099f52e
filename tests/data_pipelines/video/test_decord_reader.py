"""data.decoder='decord' reads with decord only where that is exact."""

import pathlib

import pytest

from data_pipelines.video import decord_reader, probe
from tests.data_pipelines import coded_clips

pytestmark = pytest.mark.skipif(
    not decord_reader.available(), reason='needs decord'
)
EXACT = {'h264_mp4', 'h264_long_gop', 'h264_mkv', 'h264_mov'}
# HEVC's default is open groups of images, where decord is wrong.
WRONG = {'hevc_mp4', 'mpeg4_b_mp4'}


def test_it_is_chosen_only_where_it_is_exact(clips):
  chosen = set()
  for name, path in clips.items():
    found = probe(path, decoder='decord')
    chosen |= {name} if found.decoder == 'decord' else set()
    wanted = [40, 2, 59]
    assert coded_clips.read_numbers(path, wanted, found) == wanted
    assert probe(path).decoder == 'pyav'
  assert chosen >= EXACT
  assert not chosen & WRONG
  assert not any(n.endswith('avi') or n.startswith('mpeg4') for n in chosen)


@pytest.mark.parametrize('name', sorted(WRONG))
def test_what_is_refused_is_wrong(clips, name):
  frames = [decord_reader.read(clips[name], [n])[0] for n in range(60)]
  assert coded_clips.read_indices(frames) != list(range(60))


def test_where_it_is_missing_the_frames_are_the_same(clips, monkeypatch):
  found = probe(clips['h264_mp4'], decoder='decord')
  monkeypatch.setattr(decord_reader, 'available', lambda: False)
  numbers = coded_clips.read_numbers(clips['h264_mp4'], [40, 2, 59], found)
  assert numbers == [40, 2, 59]


def test_a_turned_video_is_not_for_it(tmp_path):
  path = coded_clips.write(tmp_path / 'a.mp4', num_frames=12, rotation=90)
  assert probe(path, decoder='decord').decoder == 'pyav'


def test_contents_are_not_for_it_if_only_the_path_was_tested(
    clips, monkeypatch
):
  found, calls = probe(clips['h264_mp4'], decoder='decord'), []
  contents = pathlib.Path(clips['h264_mp4']).read_bytes()
  real = decord_reader.read
  monkeypatch.setattr(
      decord_reader, 'read', lambda *x: calls.append(x) or real(*x)
  )
  for known in (found, probe(contents, decoder='decord')):
    assert coded_clips.read_numbers(contents, [40, 2], known) == [40, 2]
  assert len(calls) == 1


def test_where_it_fails_the_frames_are_the_same(clips, monkeypatch):
  import decord

  def fail(*_):
    raise decord.DECORDError('no such packet')

  found = probe(clips['h264_mp4'], decoder='decord')
  monkeypatch.setattr(decord_reader, 'read', fail)
  numbers = coded_clips.read_numbers(clips['h264_mp4'], [40, 2, 59], found)
  assert numbers == [40, 2, 59]
