"""Files as cameras, phones and old programs write them."""

import io
import pathlib
import struct

import av
import numpy as np
import pytest
from PIL import Image

from data_pipelines.video import SUFFIXES, container, probe, read_frames
from tests.data_pipelines import coded_clips
from tests.data_pipelines.coded_clips import BY_NAME as FORMS
from tests.data_pipelines.coded_clips import X264, Format

MPEG2 = Format('mpeg2', '.mpg', 'mpeg2video', (('g', '12'),), 2)
# Stored frames [H, W, 3] as a player shows them, by (a, b, c, d) of the matrix.
SHOWN = {
    (1, 0, 0, 1): lambda x: x,
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (-1, 0, 0, -1): lambda x: x[::-1, ::-1],
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (0, -1, 1, 0): lambda x: np.rot90(x, 1),
    (0, 1, 1, 0): lambda x: x.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda x: x[::-1, ::-1].transpose(1, 0, 2),
}


def numbers(path):
  """What all frames of a file spell, also when a few of them are read."""
  found = probe(path)
  assert found.error is None
  out = coded_clips.read_indices(read_frames(path, range(found.num_frames)))
  some = [0, found.num_frames // 2, found.num_frames - 1]
  again = coded_clips.read_indices(read_frames(path, some))
  assert again == [out[k] for k in some]
  return out


@pytest.mark.parametrize('matrix', SHOWN)
def test_every_display_matrix_is_shown_as_a_player_does(tmp_path, matrix):
  path = coded_clips.write(tmp_path / 'clip.mp4', num_frames=6)
  stored = read_frames(path, [2, 5])
  contents = bytearray(pathlib.Path(path).read_bytes())
  # Behind the track header's type: version, times, ids, duration, layers.
  place = contents.index(b'tkhd') + 44
  a, b, c, d = (x << 16 for x in matrix)
  values = a, b, 0, c, d, 0, 0, 0, 1 << 30
  struct.pack_into('>9i', contents, place, *values)
  turned = tmp_path / 'turned.mp4'
  turned.write_bytes(contents)
  wanted = np.stack([SHOWN[matrix](x) for x in stored])
  np.testing.assert_array_equal(read_frames(turned, [2, 5]), wanted)
  found = probe(turned)
  assert (found.height, found.width) == wanted.shape[1:3]


@pytest.mark.parametrize('before', [0, 100_000, 216_000])
def test_a_clock_that_wraps_hides_no_frame(tmp_path, before):
  # 60 frames of 3,600 ticks; `before` the first of them the clock wraps.
  plain = coded_clips.write(tmp_path / 'a.ts', FORMS['h264_mp4'], 60)
  first = int(probe(plain).timestamps()[0])
  shift = 2**33 - before - first
  path = coded_clips.copy(
      plain, tmp_path / 'b.ts', 0, shift, mpegts_copyts='1',
      avoid_negative_ts='disabled',
  )  # fmt: skip
  assert numbers(path) == list(range(60))
  np.testing.assert_allclose(probe(path).seconds(), np.arange(60) / 25)


@pytest.mark.parametrize('skip', [5, 9])
@pytest.mark.parametrize(
    ('form', 'suffix'),
    [
        (FORMS['h264_mp4'], '.ts'), (FORMS['h264_mp4'], '.mp4'),
        (FORMS['hevc_mp4'], '.ts'), (FORMS['h264_avi'], '.avi'),
        (FORMS['mpeg4_b_mkv'], '.mkv'), (FORMS['vp9_webm'], '.webm'),
        (MPEG2, '.ts'), (MPEG2, '.mpg'),
    ],
    ids=lambda x: getattr(x, 'name', x),
)
def test_a_recording_joined_late_begins_at_its_key_frame(
    tmp_path, form, suffix, skip
):
  if not coded_clips.available(form):
    pytest.skip(f'this FFmpeg cannot write {form.codec}')
  whole = coded_clips.write(tmp_path / f'a{suffix}', form, 60)
  path = coded_clips.copy(whole, tmp_path / f'b{suffix}', skip)
  assert numbers(path) == list(range(12, 60))


def test_a_transport_stream_may_be_cut_anywhere(tmp_path):
  whole = pathlib.Path(
      coded_clips.write(tmp_path / 'a.ts', FORMS['h264_mp4'], 60)
  ).read_bytes()
  for number in (1, 20, 40):
    path = tmp_path / f'{number}.ts'
    path.write_bytes(whole[number * 188 :])
    found = numbers(path)
    assert found[0] % 12 == 0 and found == list(range(found[0], 60))


def test_without_a_mark_of_key_frames_all_is_decoded(tmp_path):
  whole = coded_clips.write(tmp_path / 'a.mp4', FORMS['hevc_mp4'], 30)
  path = coded_clips.copy(whole, tmp_path / 'b.mkv', keys=False)
  assert numbers(path) == list(range(30))


@pytest.mark.parametrize('bottom_up', [False, True])
def test_uncompressed_avi_may_be_stored_bottom_up(tmp_path, bottom_up):
  path = tmp_path / 'raw.avi'
  options = {'flipped_raw_rgb': str(int(bottom_up))}
  with av.open(str(path), 'w', options=options) as file:
    stream = file.add_stream('rawvideo', rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, 'bgr24'
    for k in range(12):
      image = coded_clips.frame(k)
      image = np.flipud(image).copy() if bottom_up else image
      file.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
  # The sign of the height in the BITMAPINFOHEADER says it.
  contents = path.read_bytes()
  height = struct.unpack_from('<i', contents, contents.index(b'strf') + 16)
  assert height == (48 if bottom_up else -48,)
  assert numbers(path) == list(range(12))
  np.testing.assert_array_equal(read_frames(path, [7])[0], coded_clips.frame(7))


H264 = Format('h264', '', 'libx264', (*X264, ('g', '12')))
CONTAINERS = {
    '.mts': ('mpegts', H264),
    '.m2ts': ('mpegts', H264),
    '.m2t': ('mpegts', MPEG2),
    '.3g2': ('3g2', FORMS['mpeg4_avi']),
    '.f4v': ('f4v', H264),
    '.qt': ('mov', H264),
    '.vob': ('vob', MPEG2),
    '.mpe': ('mpeg', MPEG2),
    '.m2v': ('mpeg2video', MPEG2),
    '.asf': ('asf', Format('wmv', '', 'wmv2')),
    '.divx': ('avi', FORMS['mpeg4_avi']),
    '.flv': ('flv', Format('flv', '', 'flv')),
    '.rm': ('rm', Format('rv', '', 'rv20')),
    '.mxf': ('mxf', MPEG2),
    '.h265': ('hevc', FORMS['hevc_mp4']),
    '.y4m': ('yuv4mpegpipe', Format('raw', '', 'rawvideo')),
}


@pytest.mark.parametrize('suffix', CONTAINERS)
def test_containers_of_many_names(tmp_path, suffix):
  container, form = CONTAINERS[suffix]
  path = tmp_path / f'clip{suffix}'
  coded_clips.write(path, form, 24, container=container)
  assert suffix in SUFFIXES
  assert numbers(path) == list(range(24))


def test_a_gif_is_a_video(tmp_path):
  images = [Image.fromarray(coded_clips.frame(k)) for k in range(20)]
  path = tmp_path / 'clip.gif'
  images[0].save(path, save_all=True, append_images=images[1:], duration=40)
  assert '.gif' in SUFFIXES
  assert numbers(path) == list(range(20))


@pytest.mark.parametrize(
    ('mark', 'stored'), [(1, np.array), (5, SHOWN[0, 1, 1, 0]), (6, np.rot90)]
)
def test_cameras_describe_themselves_in_every_jpeg(tmp_path, mark, stored):
  about = Image.Exif()
  about[271], about[274] = 'Maker', mark
  path = tmp_path / 'clip.avi'
  with av.open(str(path), 'w') as file:
    stream = file.add_stream('mjpeg', rate=25)
    height, width, _ = stored(coded_clips.frame(0)).shape
    stream.width, stream.height, stream.pix_fmt = width, height, 'yuvj420p'
    for k in range(6):
      jpeg = io.BytesIO()
      image = Image.fromarray(stored(coded_clips.frame(k)))
      image.save(jpeg, 'jpeg', exif=about)
      packet = av.Packet(jpeg.getvalue())
      packet.stream, packet.pts, packet.dts = stream, k, k
      file.mux(packet)
  assert numbers(path) == list(range(6))


def in_colours(path, codec, matrix):
  """Writes 12 frames with FFmpeg's number of a matrix between RGB and YUV."""
  with av.open(str(path), 'w') as file:
    stream = file.add_stream(codec, rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
    stream.codec_context.colorspace = matrix
    for k in range(12):
      image = av.VideoFrame.from_ndarray(coded_clips.frame(k), 'rgb24')
      file.mux(stream.encode(image.reformat(format='yuv420p')))
    file.mux(stream.encode(None))
  return path


def test_a_reserved_number_of_colours_means_none(tmp_path):
  odd, plain = (
      in_colours(tmp_path / f'{matrix}.webm', 'libvpx-vp9', matrix)
      for matrix in (3, 2)
  )
  assert numbers(odd) == list(range(12))
  np.testing.assert_array_equal(read_frames(odd, [7]), read_frames(plain, [7]))


def test_colours_that_cannot_be_converted_are_found_at_once(tmp_path):
  ycgco = in_colours(tmp_path / 'a.mp4', 'libx264', 8)
  assert 'colours cannot be converted' in probe(ycgco).error


@pytest.mark.parametrize('form', ['h264_mp4', 'h264_mkv', 'mpeg4_avi'])
def test_titles_may_be_in_any_encoding(tmp_path, form):
  form = FORMS[form]
  path = tmp_path / f'clip{form.suffix}'
  plain = coded_clips.write(tmp_path / f'plain{form.suffix}', form, 12)
  with av.open(plain) as old, av.open(str(path), 'w') as new:
    new.metadata['title'] = 'Cafe'
    stream = new.add_stream_from_template(old.streams.video[0])
    for packet in old.demux(video=0):
      packet.stream = stream
      if packet.size:
        new.mux(packet)
  contents = path.read_bytes()
  assert b'Cafe' in contents
  path.write_bytes(contents.replace(b'Cafe', b'Caf\xe9'))
  assert numbers(path) == list(range(12))


def test_a_stream_that_begins_late_ends_nothing_early():
  class File:
    def demux(self, *streams):
      yield from streams
      # As PyAV does when it flushes more streams than there were at first.
      raise IndexError

  assert list(container.demux(File(), 1, 2)) == [1, 2]
