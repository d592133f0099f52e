"""The drawn world and the demo's films."""

import json

import numpy as np
import pytest

from data_pipelines.demo import collection, films, scenes
from data_pipelines.errors import UserError
from data_pipelines.video import read as decode
from evclip_jax.config import schema

SMALL = films.Plan(scenes.DEMO_CLASSES[:2], train=1, test=1)


def test_a_scene_is_the_same_film_at_any_time():
  scene = scenes.draw_scene(3, 1, ('juggling', 'key'), 'bright')
  film = scenes.render(scene, range(0, 12, 4))
  again = scenes.render(scene, range(0, 12, 4))
  np.testing.assert_array_equal(film, again)
  assert film.shape == (3, 120, 160, 3)
  assert film.dtype == np.uint8
  # Alone, a frame differs by the sensor's noise only: 1 % of the range.
  alone = scenes.render(scene, [8])[0].astype(float)
  assert np.abs(alone - film[2]).mean() < 5


@pytest.mark.parametrize('motion', sorted(scenes.MOTIONS))
def test_every_action_moves(motion):
  scene = scenes.draw_scene(0, 0, (motion, 'heart'), 'bright')
  film = scenes.render(scene, range(0, 32, 8)).astype(float)
  moved = np.abs(np.diff(film, axis=0)).max(axis=-1) > 40
  assert moved.mean(axis=(1, 2)).max() > 0.01


@pytest.mark.parametrize('thing', sorted(scenes.OBJECTS))
def test_every_object_is_drawn_in_its_colour(thing):
  scene = scenes.Scene('lifting', thing, 'red', 'bright', 5)
  red = scenes.render(scene, [0])[0].astype(float)
  scene = scenes.Scene('lifting', thing, 'blue', 'bright', 5)
  blue = scenes.render(scene, [0])[0].astype(float)
  changed = np.abs(red - blue).max(axis=-1) > 100
  assert 0.01 < changed.mean() < 0.3


def test_dark_is_a_few_per_cent_of_the_light_and_head_is_not():
  light = {}
  for domain in scenes.DOMAINS:
    drawn = [
        scenes.draw_scene(0, n, ('cutting', 'heart'), domain) for n in range(8)
    ]
    pictures = np.stack([scenes.render(s, [0]) for s in drawn])
    # The median does not see the lamps.
    light[domain] = np.median(pictures)
  assert light['dark'] < 0.25 * light['bright']
  assert light['head'] > 0.5 * light['bright']


def test_a_head_camera_moves_and_others_do_not():
  motion = {}
  for domain in ('bright', 'head'):
    scene = scenes.draw_scene(1, 0, ('spinning', 'moon'), domain)
    film = scenes.render(scene, [0, 16]).astype(float)
    motion[domain] = (np.abs(film[1] - film[0]).max(axis=-1) > 20).mean()
  assert motion['head'] > 2 * motion['bright']


def test_class_sets_are_disjoint_and_share_their_words():
  sets = [
      set(scenes.DEMO_CLASSES),
      set(scenes.UNSEEN_CLASSES),
      set(scenes.pretraining_classes()),
  ]
  assert [len(s) for s in sets[:2]] == [10, 10]
  assert sum(map(len, sets)) == len(set.union(*sets))
  assert sum(map(len, sets)) == len(scenes.MOTIONS) * len(scenes.OBJECTS)
  for words in zip(*sets[2], strict=True):
    assert {w for s in sets[:2] for pair in s for w in pair} & set(words)
  motions, things = map(set, zip(*sets[2], strict=True))
  for motion, thing in sets[0] | sets[1]:
    assert motion in motions and thing in things
  assert scenes.class_name('swinging', 'star') == 'Swinging Star'


def test_portrait_shows_the_object():
  scene = scenes.Scene('swinging', 'ball', 'red', 'bright', 9)
  whole, cut = scenes.render(scene, [10]), scenes.portrait(scene, 10, 64)
  assert cut.shape == (1, 64, 64, 3)

  def red(x):
    x = x.astype(float)
    return ((x[..., 0] > 150) & (x[..., 1] < 90) & (x[..., 2] < 90)).sum()

  assert red(cut) > 0.9 * red(whole) > 100


def test_no_test_scene_is_trained_on():
  plan = films.Plan()
  drawn = list(plan.films().values())
  assert len({s.seed for s in drawn}) == len(drawn)
  lists = plan.lists()
  paths = [r.path for clips in lists.values() for r in clips.records]
  assert len(set(paths)) == len(paths) == len(drawn)
  # Enough to draw 8 shots from, with the three domains alike.
  assert set(lists['train'].counts().values()) == {12}
  for domain in scenes.DOMAINS:
    assert set(lists[f'test_{domain}'].counts()) == set(range(10))


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
  root = tmp_path_factory.mktemp('demo') / 'films'
  return films.write_demo(root, SMALL, workers=1)


def _stamps(root):
  return {p: p.stat().st_mtime_ns for p in root.rglob('*') if p.is_file()}


def test_films_are_readable_and_lossy_only_a_little(demo):
  path, scene = next(iter(SMALL.films().items()))
  indices = [0, 13, films.NUM_FRAMES - 1]
  read = decode.read_frames(str(demo / path), indices)
  drawn = scenes.render(scene, range(films.NUM_FRAMES))[indices]
  assert read.shape == drawn.shape
  assert np.abs(read.astype(float) - drawn).mean() < 8


def test_a_whole_folder_is_left_alone(demo):
  before = _stamps(demo)
  films.write_demo(demo, SMALL, workers=1)
  assert _stamps(demo) == before


def test_a_stopped_rendering_is_completed(demo):
  before = _stamps(demo)
  lost = demo / 'dark/swinging_star/test_00.mp4'
  content = lost.read_bytes()
  lost.with_name('test_00.mp4.partial').write_bytes(content[:100])
  lost.unlink()
  (demo / 'demo.json').rename(demo / 'demo.json.begun')
  films.write_demo(demo, SMALL, workers=1)
  assert lost.read_bytes() == content
  kept = {p: t for p, t in before.items() if p.suffix == '.mp4' and p != lost}
  after = _stamps(demo)
  assert {p: after[p] for p in kept} == kept
  assert not list(demo.rglob('*.partial')) + list(demo.rglob('*.begun'))
  assert json.loads((demo / 'demo.json').read_text())['version']


def test_another_plan_is_rendered_anew(tmp_path):
  first = films.Plan(scenes.DEMO_CLASSES[:1], train=1, test=0)
  films.write_demo(tmp_path / 'x', first, workers=1)
  old = {p.name: p.read_bytes() for p in (tmp_path / 'x').glob('dark/*/*')}
  second = films.Plan(scenes.DEMO_CLASSES[:1], seed=1, train=1, test=0)
  films.write_demo(tmp_path / 'x', second, workers=1)
  new = {p.name: p.read_bytes() for p in (tmp_path / 'x').glob('dark/*/*')}
  assert old.keys() == new.keys() and old != new


def test_a_folder_of_other_things_is_refused(tmp_path):
  (tmp_path / 'mine.mp4').write_bytes(b'')
  with pytest.raises(UserError, match='data.root'):
    films.write_demo(tmp_path, SMALL, workers=1)
  assert [p.name for p in tmp_path.iterdir()] == ['mine.mp4']


def test_the_demo_reads_as_a_data_set(demo, monkeypatch):
  monkeypatch.setattr(films, 'write_demo', lambda root, *_: demo)
  data = schema.base().data
  data.root = str(demo)
  found = collection.read(data, 1)
  assert found.class_names == ['Swinging Star', 'Bouncing Fish']
  assert list(found.tests) == list(scenes.DOMAINS)
  assert len(found.train.records) == 6
  assert {len(t.records) for t in found.tests.values()} == {2}


def test_the_demo_wants_a_root():
  with pytest.raises(UserError, match='data.root'):
    collection.read(schema.base().data, 1)
