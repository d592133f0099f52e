"""What a broken or hostile file can do: be named in a message, no more."""

import io
import json
import os
import pathlib
import re
import signal
import struct
import time

import av
import numpy as np
import pytest
from PIL import Image

from data_pipelines.video import examine, probe, probes, read
from tests.data_pipelines import coded_clips
from tests.data_pipelines.coded_clips import BY_NAME


@pytest.fixture
def sound(clips):
  """{format name: contents} of sound clips of 60 frames."""
  return {name: pathlib.Path(p).read_bytes() for name, p in clips.items()}


def check_refused(path, contents=None, match=''):
  """The path, and its contents as bytes, are refused by name; soon."""
  if contents is not None:
    path.write_bytes(contents)
  start = time.monotonic()
  with pytest.raises(read.VideoError) as caught:
    read.read_frames(path, [0])
  assert str(path) in str(caught.value)
  assert re.search(match, str(caught.value)), str(caught.value)
  assert len(str(caught.value).splitlines()) == 1
  if path.is_file():
    with pytest.raises(read.VideoError, match='<bytes of that one>'):
      read.read_frames(path.read_bytes(), [0], name='that one')
  assert time.monotonic() - start < 20


def flipped(contents, count, seed=0):
  """Turns over all bits of some bytes in the middle of a file."""
  data = bytearray(contents)
  rng = np.random.default_rng(seed)
  for k in rng.integers(len(data) // 5, len(data) * 4 // 5, count):
    data[k] ^= 0xFF
  return bytes(data)


def test_a_sound_file_is_described(sound, tmp_path):
  path = tmp_path / 'clip.mp4'
  path.write_bytes(sound['h264_mp4'])
  found = probe(path)
  assert found.error is None
  assert (found.num_frames, found.width, found.height) == (60, 64, 48)
  assert (found.fps, found.codec, found.decoder) == (25, 'h264', 'pyav')
  assert found.duration == pytest.approx(2.4)
  assert found.size_bytes == len(sound['h264_mp4'])
  assert found.name == str(path)
  np.testing.assert_allclose(found.seconds(), np.arange(60) / 25)
  text = json.dumps(found.to_dict())
  assert probes.Probe.from_dict(json.loads(text)) == found


def test_what_is_no_video_is_refused(sound, tmp_path):
  picture = io.BytesIO()
  Image.new('RGB', (64, 48)).save(picture, 'png')
  (tmp_path / 'secret.mp4').write_bytes(sound['h264_mp4'])
  playlist = b'#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.mp4\n'
  for name, contents, match in (
      ('missing.mp4', None, 'no such file'),
      ('empty.mp4', b'', 'empty'),
      ('text.mp4', b'not a video\n' * 300, 'not a video'),
      ('noise.avi', np.random.default_rng(0).bytes(20_000), 'not a video'),
      ('picture.mp4', picture.getvalue(), 'not a video'),
      # No playlist opens another file.
      ('list.m3u8', playlist, 'not a video'),
      ('list.mp4', b"ffconcat version 1.0\nfile 'secret.mp4'\n", ''),
  ):
    check_refused(tmp_path / name, contents, match)
  (tmp_path / 'folder.mp4').mkdir()
  check_refused(tmp_path / 'folder.mp4', match='folder')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='needs named pipes')
def test_a_named_pipe_does_not_block(tmp_path):
  os.mkfifo(tmp_path / 'pipe.mp4')
  check_refused(tmp_path / 'pipe.mp4', match='not an ordinary file')


def test_sound_only_and_frameless_files_are_refused(tmp_path):
  path = tmp_path / 'sound.mp4'
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('aac', rate=16_000)
    samples = np.zeros((1, 16_000), np.float32)
    frame = av.AudioFrame.from_ndarray(samples, 'fltp', 'mono')
    frame.sample_rate = 16_000
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  check_refused(path, match='no video stream')
  path = tmp_path / 'frameless.avi'
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('mpeg4', rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
    container.start_encoding()
  check_refused(path, match='0 frames')


@pytest.mark.parametrize(
    'name', ['h264_mp4', 'h264_mkv', 'mpeg4_b_avi', 'h264_avi', 'vp9_webm']
)
@pytest.mark.parametrize('part', [0.02, 0.3, 0.6, 0.9])
def test_cut_off_files_are_refused(sound, tmp_path, name, part):
  contents = sound[name]
  path = tmp_path / f'cut{BY_NAME[name].suffix}'
  check_refused(path, contents[: int(part * len(contents))])


def test_a_cut_in_front_of_the_contents_table_is_noticed(clips, tmp_path):
  # The table first ('faststart'): the file opens and most frames decode.
  path = tmp_path / 'clip.mp4'
  coded_clips.copy(clips['h264_mp4'], path, movflags='faststart')
  contents = path.read_bytes()
  assert probe(path).error is None
  check_refused(path, contents[: int(0.8 * len(contents))], 'cut off')


def test_damaged_h264_is_refused(sound, tmp_path):
  for seed in range(3):
    contents = flipped(sound['h264_mp4'], 40, seed)
    check_refused(tmp_path / f'{seed}.mp4', contents, 'damaged')
    contents = flipped(sound['mpeg4_b_avi'], 40, seed)
    check_refused(tmp_path / f'{seed}.avi', contents)
  holed = bytearray(sound['h264_mkv'])
  middle = len(holed) // 2
  holed[middle : middle + 600] = bytes(600)
  check_refused(tmp_path / 'holed.mkv', bytes(holed))


def test_an_avi_may_promise_a_few_frames_too_many(sound, tmp_path):
  def promise(count):
    data = bytearray(sound['mpeg4_b_avi'])
    header = data.index(b'vids')
    # AVISTREAMHEADER: dwLength is 32 bytes behind the stream's type.
    assert struct.unpack_from('<I', data, header + 32) == (60,)
    struct.pack_into('<I', data, header + 32, count)
    return bytes(data)

  path = tmp_path / 'clip.avi'
  path.write_bytes(promise(62))
  assert probe(path).num_frames == 60
  check_refused(path, promise(140), '140 frames declared, 60 found')


def test_enormous_frames_are_refused(tmp_path):
  path = coded_clips.write(
      tmp_path / 'wide.avi', BY_NAME['mjpeg_avi'], 2, width=16_400
  )
  check_refused(pathlib.Path(path), match='16400x48 pixels')


def test_frames_that_change_their_size_are_refused(sound, tmp_path):
  # H.264 may change its size at any key frame: two clips joined.
  parts = [tmp_path / f'{k}.h264' for k in range(2)]
  for path, width in zip(parts, (64, 128), strict=True):
    coded_clips.write(path, BY_NAME['h264_mp4'], 12, width=width)
  joined = b''.join(p.read_bytes() for p in parts)
  check_refused(tmp_path / 'joined.h264', joined, '64x48 to 128x48')


def test_the_sample_broken_files(shared):
  videos = shared / 'videos'
  check_refused(videos / 'broken' / 'truncated_h264.mp4', match='damaged')
  check_refused(videos / 'README.md', match='not a video')
  for name, count in (
      ('apply_eye_makeup.avi', 164),
      ('flipping_pancake.mkv', 310),
      ('broken/unordered_pts_4_frames.mov', 4),
  ):
    assert probe(videos / name).num_frames == count


def crash(source, decoder):
  """Stands in for `examine.examine` and does what the file's name says."""
  name = os.path.basename(source)
  if name == 'crash' or decoder == 'decord':
    os.kill(os.getpid(), signal.SIGSEGV)
  if name == 'hang':
    time.sleep(600)
  return {'num_frames': 1, 'width': os.getpid()}


def test_a_decoder_that_crashes_or_hangs_costs_a_message(tmp_path, monkeypatch):
  monkeypatch.setattr(examine, 'examine', crash)
  monkeypatch.setattr(probes, '_limit', lambda size: 1)
  for name in ('good', 'crash', 'hang', 'good 2'):
    (tmp_path / name).write_bytes(b'x')
  first = probe(tmp_path / 'good').width
  assert first != os.getpid()
  assert 'signal 11' in probe(tmp_path / 'crash').error
  start = time.monotonic()
  found = probe(tmp_path / 'hang')
  assert found.error == 'it took longer than 1 s'
  assert time.monotonic() - start < 20
  # What crashes decord may be sound to PyAV.
  assert probe(tmp_path / 'good', decoder='decord').error is None
  # Remembered.
  assert 'longer than 1 s' in probe(tmp_path / 'hang').error
  assert probe(tmp_path / 'good 2').error is None


def test_many_files_and_a_cache(sound, tmp_path, monkeypatch):
  paths = [tmp_path / f'{k}.mp4' for k in range(6)]
  for path in paths:
    path.write_bytes(sound['h264_mp4'])
  paths[4].write_bytes(b'broken')
  file, seen, asked = tmp_path / 'cache' / 'probes.json', [], []
  found = probes.probe_many(paths, 2, lambda *counts: seen.append(counts), file)
  assert [p.name for p in found] == [str(p) for p in paths]
  assert [p.error is None for p in found] == [True] * 4 + [False, True]
  assert seen[-1] == (6, 6) and len(seen) == 6

  # A second run, in a process that remembers nothing, asks about one file.
  real = probes.pool.run
  monkeypatch.setattr(probes, '_memory', probes.collections.OrderedDict())
  monkeypatch.setattr(
      probes.pool,
      'run',
      lambda *args, **kwargs: asked.append(args[1]) or real(*args, **kwargs),
  )
  assert probes.probe_many(paths, cache_file=file) == found
  assert asked == [str(paths[4])]
  # A file that changed is looked at again; so are all for another decoder.
  coded_clips.write(paths[0], num_frames=8)
  assert probes.probe_many(paths, cache_file=file)[0].num_frames == 8
  asked.clear()
  probes.probe_many(paths, cache_file=file, decoder='decord')
  assert len(asked) == 6


@pytest.mark.parametrize(
    'text', ['', '{', '[]', '{"version": 0}', '{"version": 1, "probes": [{}]}']
)
def test_a_damaged_cache_is_taken_for_empty(sound, tmp_path, text):
  file, path = tmp_path / 'probes.json', tmp_path / 'clip.mp4'
  file.write_text(text)
  path.write_bytes(sound['h264_mp4'])
  (found,) = probes.probe_many([path], cache_file=file)
  assert list(probes._load(file, 'pyav').values()) == [found]
  assert sorted(tmp_path.iterdir()) == [path, file]


def test_a_cache_that_cannot_be_written_is_done_without(
    sound, tmp_path, capsys
):
  path = tmp_path / 'clip.mp4'
  path.write_bytes(sound['h264_mp4'])
  (found,) = probes.probe_many([path], cache_file=path / 'probes.json')
  assert found.num_frames == 60
  assert 'cache_dir' in capsys.readouterr().err


def test_timestamps_are_packed_without_loss():
  times = np.cumsum(np.random.default_rng(0).integers(1, 10**12, 500))
  np.testing.assert_array_equal(probes.unpack(probes.pack(times)), times)
  assert len(probes.pack(np.arange(0, 512 * 10_000, 512))) < 300
