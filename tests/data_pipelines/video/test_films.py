"""Long films are looked at in a few places, and where lists take pieces."""

import pathlib

import av
import numpy as np
import pytest

from data_pipelines.video import examine, probe, probes, read
from tests.data_pipelines import coded_clips
from tests.data_pipelines.coded_clips import AVAILABLE, read_numbers

_FPS = 10
_MINUTES = 10
_GROUP = 50


@pytest.fixture(scope='module')
def film(tmp_path_factory):
  """Ten minutes; frame k spells k modulo 256."""
  path = tmp_path_factory.mktemp('film') / 'film.mp4'
  options = *coded_clips.X264, ('g', str(_GROUP))
  form = coded_clips.Format('film', '.mp4', 'libx264', options)
  return coded_clips.write(path, form, _MINUTES * 60 * _FPS, fps=_FPS)


def test_a_piece_of_a_long_film_decodes_a_few_dozen_frames(film, decoded):
  found = probe(film)
  first, stop = read.range_indices(found, 301.3, 303.3)
  assert (first, stop) == (3013, 3033)
  wanted = np.linspace(first, stop - 1, 8).astype(int)
  assert read_numbers(film, wanted, found) == [k % 256 for k in wanted]
  assert len(decoded) <= _GROUP + stop - first


def test_a_long_film_is_probed_in_a_few_places(film, decoded):
  found = examine.examine(film)
  assert found['num_frames'] == _MINUTES * 60 * _FPS
  # Five groups, twice at their edges, and once more without B-frames.
  assert len(decoded) < 10 * _GROUP
  assert (found['width'], found['height']) == (64, 48)
  assert found['duration'] == pytest.approx(600)


def test_a_few_places_tell_the_same_as_all(film, monkeypatch):
  quick = examine.examine(film)
  monkeypatch.setattr(examine, '_look_at_places', lambda *_: None)
  whole = examine.examine(film)
  assert 0 < len(quick['spare']) < len(whole['spare'])
  assert set(quick.pop('spare')) < set(whole.pop('spare'))
  assert len(quick.pop('looked')) == 5
  assert whole == quick


@pytest.mark.parametrize('form', AVAILABLE, ids=lambda f: f.name)
def test_no_format_is_told_otherwise(tmp_path, monkeypatch, form):
  path = coded_clips.write(tmp_path / f'clip{form.suffix}', form, 96)
  whole = examine.examine(path)
  monkeypatch.setattr(examine, 'FILM_FRAMES', 10)
  found = examine.examine(path)
  for name in ('num_frames', 'times', 'keyframes', 'display', 'error'):
    assert found.get(name) == whole.get(name)


def damage(film, path, place, count=1):
  """Writes a film without the contents of packets; gives the first's frame."""
  contents = bytearray(pathlib.Path(film).read_bytes())
  with av.open(film) as container:
    packets = [p for p in container.demux(video=0) if p.size]
  start, last = packets[place].pos, packets[place + count - 1]
  stop = last.pos + last.size
  contents[start + 8 : stop] = bytes(stop - start - 8)
  path.write_bytes(contents)
  return sorted(p.pts for p in packets).index(packets[place].pts)


@pytest.fixture(scope='module')
def damaged(film, tmp_path_factory):
  """(path, number of its damaged frame)."""
  path = tmp_path_factory.mktemp('film') / 'damaged.mp4'
  return path, damage(film, path, 2000)


def test_damage_that_the_probe_does_not_see_is_named_on_reading(damaged):
  path, number = damaged
  found = probe(path)
  assert found.error is None and not found.broken
  with pytest.raises(read.VideoError, match=r'damaged\.mp4: it is damaged'):
    read.read_frames(path, [number], found)
  later = number + 3 * _GROUP
  assert read_numbers(path, [later], found) == [later % 256]


def test_the_pieces_that_lists_name_are_looked_at(
    damaged, tmp_path, monkeypatch
):
  path, number = damaged
  pieces = [(number - 9, number + 9), (number + 60, number + 90), (0, 20)]

  def examined():
    (found,) = probes.probe_many(
        [path], cache_file=tmp_path / 'c.json', pieces=lambda *_: pieces
    )
    return found

  found = examined()
  assert found.error is None
  with pytest.raises(read.VideoError, match=r'damaged\.mp4: it is damaged'):
    read.check_frames(found, *pieces[0])
  read.check_frames(found, *pieces[1])
  # Nothing is looked at twice.
  monkeypatch.setattr(probes.pool, 'run', lambda *_, **__: pytest.fail())
  pieces = pieces[1:]
  assert examined() == found


def test_damage_in_a_place_looked_at_costs_its_pieces_only(film, tmp_path):
  path = tmp_path / 'damaged.mp4'
  # In the last group, which is always looked at.
  damage(film, path, -20)
  found = probe(path)
  assert found.error is None
  read.check_frames(found, 0, 5000)
  with pytest.raises(read.VideoError, match='damaged'):
    read.check_frames(found, 0, 6000)


def test_behind_lost_frames_that_go_by_count_nothing_is_read(
    tmp_path, monkeypatch
):
  form = coded_clips.BY_NAME['mpeg4_b_avi']
  whole = coded_clips.write(tmp_path / 'whole.avi', form, 200)
  damage(whole, tmp_path / 'damaged.avi', 100, 4)
  monkeypatch.setattr(examine, 'FILM_FRAMES', 150)
  found = examine.examine(str(tmp_path / 'damaged.avi'))
  assert 180 < found['num_frames'] < 200, found
  ((first, stop, why),) = found['broken']
  assert 95 < first < 115 and stop == found['num_frames'] and 'damaged' in why


def test_a_film_that_is_cut_off_is_named(film, tmp_path):
  path = tmp_path / 'cut.mp4'
  path.write_bytes(pathlib.Path(film).read_bytes()[:-2000])
  with pytest.raises(read.VideoError, match=r'cut\.mp4'):
    read.read_frames(path, [3000])
