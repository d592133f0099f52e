"""Cutting copies: the small file holds the very frames of the long one."""

import pathlib

import av
import numpy as np
import pytest

from data_pipelines.builders import cut
from data_pipelines.video import probe, read
from tests.data_pipelines import coded_clips, pictures

FORMATS = [f for f in coded_clips.FORMATS if coded_clips.available(f)]
_FRAMES = 90


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
  folder = tmp_path_factory.mktemp('clips')
  return {
      f.name: coded_clips.write(
          folder / f'{f.name}{f.suffix}', f, num_frames=_FRAMES
      )
      for f in FORMATS
  }


def check_piece(path, found, first, stop):
  made = cut.cut(path, found, first, stop)
  inside = probe.probe(made.contents, 'piece')
  assert inside.error is None
  assert made.stop - made.first == stop - first
  assert made.stop <= inside.num_frames
  np.testing.assert_array_equal(
      read.read_frames(path, range(first, stop), found),
      read.read_frames(made.contents, range(made.first, made.stop), inside),
  )
  assert cut.cut(path, found, first, stop) == made
  return made, inside


@pytest.mark.parametrize('form', FORMATS, ids=lambda f: f.name)
def test_pieces_of_every_format_hold_the_same_frames(clips, form):
  path = clips[form.name]
  found = probe.probe(path)
  for first, stop in ((50, 70), (48, 49), (0, 10), (71, 90)):
    made, inside = check_piece(path, found, first, stop)
  if found.keyframes:
    # The last piece: little more than the group it begins in.
    assert inside.num_frames <= 90 - 48
    assert len(made.contents) < 0.7 * pathlib.Path(path).stat().st_size


def test_a_turned_film_stays_upright(tmp_path):
  path = coded_clips.write(
      tmp_path / 'turned.mp4', num_frames=60, rotation=90
  )
  found = probe.probe(path)
  _, inside = check_piece(path, found, 30, 40)
  assert inside.rotation == 90


def test_uneven_times_and_hidden_frames(tmp_path):
  times = [k + (k > 20) * 7 + (k > 55) * 3 for k in range(80)]
  path = coded_clips.write(
      tmp_path / 'gaps.mp4', num_frames=80, times=times
  )
  check_piece(path, probe.probe(path), 18, 60)
  hidden = str(tmp_path / 'hidden.mp4')
  with (
      av.open(path) as source,
      av.open(
          hidden, 'w', options={'avoid_negative_ts': 'disabled'}
      ) as target,
  ):
    stream = source.streams.video[0]
    copy = target.add_stream_from_template(stream)
    for packet in source.demux(stream):
      if packet.size:
        packet.pts -= 8 * 512
        packet.dts -= 8 * 512
        packet.stream = copy
        target.mux(packet)
  found = probe.probe(hidden)
  assert found.num_frames == 72
  for first, stop in ((0, 5), (3, 30), (40, 72)):
    check_piece(hidden, found, first, stop)


@pytest.mark.parametrize(
    ('pattern', 'first'), [('frame_{:010d}.jpg', 1), ('{:03d}.png', 0)]
)
def test_pictures_are_copied_as_they_are(tmp_path, pattern, first):
  path = pictures.write(tmp_path / 'clip', 20, pattern, first)
  found = probe.probe(path)
  made, inside = check_piece(path, found, 5, 12)
  assert (made.first, made.stop, inside.num_frames) == (0, 7, 7)
  file = tmp_path / 'clip' / pattern.format(first + 6)
  assert file.read_bytes() in made.contents
  numbers = read.read_frames(made.contents, [6, 0], inside)
  assert coded_clips.read_indices(numbers) == [11, 5]


def test_a_picture_that_is_gone_is_named(tmp_path):
  path = pictures.write(tmp_path / 'clip', 8)
  found = probe.probe(path)
  (tmp_path / 'clip' / 'frame_0000000004.jpg').unlink()
  with pytest.raises(
      cut.Unreadable, match='frame_0000000004.jpg cannot be'
  ):
    cut.cut(path, found, 0, 8)
