"""Exactly the frames asked for: clips whose frames spell their own number."""

import concurrent.futures
import dataclasses
import pathlib

import numpy as np
import pytest

from data_pipelines.video import container, probe, probes, read
from data_pipelines.video.examine import _Frames, _spare_frames
from data_pipelines.video.packets import read as read_packets
from tests.data_pipelines import coded_clips
from tests.data_pipelines.coded_clips import AVAILABLE, BY_NAME, read_numbers

NUM_FRAMES = 60


@pytest.mark.parametrize('form', AVAILABLE, ids=lambda f: f.name)
def test_every_format_gives_the_frames_asked_for(clips, form):
  path = clips[form.name]
  contents = pathlib.Path(path).read_bytes()
  found, rng = probe(path), np.random.default_rng(1)
  assert found.num_frames == NUM_FRAMES
  for indices in (
      list(range(NUM_FRAMES)),
      rng.permutation(NUM_FRAMES).tolist(),
      [59],
      [58, 3, 3, 59, 0],
      *rng.integers(0, NUM_FRAMES, (6, 4)).tolist(),
      *[[n] for n in range(8, 30)],
  ):
    assert read_numbers(path, indices) == indices
    assert read_numbers(contents, indices) == indices
  # Short cuts change no pixel.
  frames = read.read_frames(path, [0, 13, 37, 59], found)
  assert frames.dtype == np.uint8 and frames.shape == (4, 48, 64, 3)
  for slow in ({'spare': ''}, {'keyframes': (), 'spare': ''}):
    other = dataclasses.replace(found, **slow)
    np.testing.assert_array_equal(
        frames, read.read_frames(path, [0, 13, 37, 59], other)
    )


@pytest.mark.parametrize(
    'name',
    ['h264_mp4', 'h264_pyramid', 'hevc_mp4', 'xvid_tag_b_avi', 'mpeg4_b_mp4'],
)
def test_b_frames_that_nobody_asked_for_are_not_decoded(clips, name, decoded):
  if name not in clips:
    pytest.skip(f'this FFmpeg cannot write {name}')
  found = probe(clips[name])
  wanted = [1, 23, 24, 58]
  assert read_numbers(clips[name], wanted, found) == wanted
  assert len(decoded) < 0.75 * NUM_FRAMES
  # Where the probe did not find it exact, all are.
  decoded.clear()
  plain = dataclasses.replace(found, keyframes=(), spare='')
  assert read_numbers(clips[name], wanted, plain) == wanted
  assert len(decoded) >= 58


def test_a_wrong_note_of_b_frames_is_not_believed(clips):
  path = clips['xvid_tag_b_avi']
  found = probe(path)
  truth = found.spare_frames()
  # The decoder leaves out more than this note says, and ends too early.
  wrong = dataclasses.replace(found, spare=probes.pack(np.array(truth[::2])))
  assert read_numbers(path, [59], wrong) == [59]
  shifted = np.isin(np.arange(NUM_FRAMES), np.add(truth, 1)).tolist()
  frames = _Frames(luma=[0] * NUM_FRAMES, bidirectional=shifted)
  assert truth
  assert not _spare_frames(path, read_packets(path), None, frames)


def test_a_phone_clip_comes_out_upright(shared):
  path = shared / 'videos' / 'broken' / 'rotated_90_3_frames.mov'
  frames = read.read_frames(path, [0, 1, 2])
  assert frames.shape == (3, 568, 320, 3)
  # A keyboard seen from its user: gaps between rows of keys lie across.
  gray = frames[0].mean(-1)
  assert gray.mean(1).std() > 1.5 * gray.mean(0).std()


def test_real_avi_with_b_frames_is_in_presentation_order(shared):
  path = shared / 'videos' / 'apply_eye_makeup.avi'
  frames = read.read_frames(path, range(60)).astype(np.float32)
  step = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
  skip = np.abs(frames[2:] - frames[:-2]).mean((1, 2, 3))
  # Neighbours differ less than next-but-one frames. In the order of FFmpeg's
  # guessed timestamps they do not.
  assert step.mean() < 0.75 * skip.mean()


def test_frames_hidden_by_an_edit_list_are_not_counted(clips, tmp_path):
  # What `ffmpeg -ss 0.8 -c copy` writes: 20 frames only lead up to the start.
  path = str(tmp_path / 'cut.mp4')
  coded_clips.copy(
      clips['h264_long_gop'], path, shift=-20 * 512,
      avoid_negative_ts='disabled',
  )  # fmt: skip
  found = probe(path)
  assert (found.num_frames, found.error) == (40, None)
  assert read_numbers(path, [0, 39, 7]) == [20, 59, 27]


def test_out_of_range_names_file_index_and_count(clips):
  for index in (60, -1):
    with pytest.raises(read.VideoError, match=rf'frame {index} .*h264_mp4'):
      read.read_frames(clips['h264_mp4'], [0, index])
  contents = pathlib.Path(clips['h264_mp4']).read_bytes()
  with pytest.raises(read.VideoError, match='<bytes of clip 7>.* 60 frames'):
    read.read_frames(contents, [99], name='clip 7')


def test_odd_indices(clips):
  path = clips['h264_mp4']
  assert read.read_frames(path, []).shape == (0, 48, 64, 3)
  assert read_numbers(path, np.array([4, 2], np.int32)) == [4, 2]
  for wrong in ([0.5], [[1]], [True]):
    with pytest.raises(ValueError, match='list of integers'):
      read.read_frames(path, wrong)


def test_a_file_that_changed_is_probed_again(clips, tmp_path):
  path = tmp_path / 'clip.mp4'
  path.write_bytes(pathlib.Path(clips['h264_mp4']).read_bytes())
  old = probe(path)
  coded_clips.write(path, num_frames=20)
  assert read_numbers(path, [19], old) == [19]
  with pytest.raises(read.VideoError, match='20 frames'):
    read.read_frames(path, [59], old)


def test_threads_may_read_at_once(clips):
  names = ['h264_mp4', 'mpeg4_b_avi', 'hevc_mp4', 'vp9_webm'] * 6

  def one(k):
    indices = np.random.default_rng(k).integers(0, NUM_FRAMES, 5).tolist()
    return read_numbers(clips[names[k]], indices) == indices

  with concurrent.futures.ThreadPoolExecutor(6) as pool:
    assert all(pool.map(one, range(len(names))))


@pytest.mark.parametrize('name', ['h264_mp4', 'hevc_mp4', 'mpeg4_b_mkv'])
def test_long_videos_are_entered_at_a_key_frame(tmp_path, decoded, name):
  form = BY_NAME[name]
  path = coded_clips.write(tmp_path / f'long{form.suffix}', form, 240)
  found = probe(path)
  assert len(found.keyframes) > 5
  singles = [[n] for n in range(180, 205)]
  for indices in ([200, 231], [5, 120, 235], [239], *singles):
    decoded.clear()
    assert read_numbers(path, indices, found) == indices
    assert len(decoded) < 120


def test_a_wrong_entry_point_does_not_give_a_wrong_frame(tmp_path):
  path = coded_clips.write(tmp_path / 'long.mp4', BY_NAME['h264_long_gop'], 240)
  found = probe(path)
  # Frame 100 is no key frame; jumping there must not be believed.
  lying = dataclasses.replace(found, keyframes=(0, 100))
  assert read_numbers(path, [130, 110], lying) == [130, 110]


def test_time_ranges_use_the_timestamps(clips, tmp_path):
  # Frame k is shown at k * k / 25 seconds.
  path = coded_clips.write(
      tmp_path / 'slower.mkv', BY_NAME['h264_mkv'], 16,
      times=[k * k for k in range(16)],
  )  # fmt: skip
  found = probe(path)
  # The header says 25.
  assert found.fps == pytest.approx(15 / 9)
  assert read.range_indices(found) == (0, 16)
  assert read.range_indices(found, 1.0, 4.0) == (5, 10)
  assert read.range_indices(found, end=0.16) == (0, 2)
  assert read.range_indices(found, start=8.9) == (15, 16)
  for start, end in ((20, None), (1.1, 1.2), (4, 1)):
    with pytest.raises(read.VideoError, match=r'slower\.mkv.*between'):
      read.range_indices(found, start, end)
  # An AVI has none: those of the frame rate.
  found = probe(clips['mpeg4_b_avi'])
  assert read.range_indices(found, 0.4, 0.8) == (10, 20)
  assert found.duration == pytest.approx(2.4)
  # A stream that starts late counts from its first frame.
  path = coded_clips.write(
      tmp_path / 'late.mp4', num_frames=20, times=list(range(50, 70))
  )
  assert read.range_indices(probe(path), 0.2, 0.4) == (5, 10)
  assert read_numbers(path, range(20)) == list(range(20))


def test_names_with_signs_and_foreign_letters(clips, tmp_path):
  path = tmp_path / 'ünï %02d: a, b [c] #1.mp4'
  path.write_bytes(pathlib.Path(clips['h264_mp4']).read_bytes())
  assert read_numbers(path, [7]) == read_numbers(str(path), [7]) == [7]


@pytest.mark.parametrize(
    ('times', 'container_name', 'codec', 'expected'),
    [
        ([0, 2, 1, 3], 'matroska,webm', 'h264', [0, 1, 2, 3]),
        ([-2, -1, 0, 1], 'mov,mp4', 'h264', [0, 1]),
        # The clock of a transport stream wraps; only edit lists hide frames.
        ([-2, -1, 0, 1], 'mpegts', 'h264', [-2, -1, 0, 1]),
        ([0, 2, 1, 3], 'matroska,webm', 'mpeg4', None),
        ([1, 2, 4, 3], 'avi', 'h264', None),
        ([0, None, 2], 'mov,mp4', 'h264', None),
        ([0, 1, 1], 'mov,mp4', 'h264', None),
    ],
)
def test_frames_are_counted_by_time_only_where_that_is_right(
    times, container_name, codec, expected
):
  values = container.timeline(times, container_name, codec)
  assert (None if values is None else values.tolist()) == expected
