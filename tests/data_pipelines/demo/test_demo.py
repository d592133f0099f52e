"""The drawn world and the demo's videos."""

import hashlib
import json

import numpy as np
import pytest

from data_pipelines.demo import scenes, videos
from data_pipelines.errors import UserError
from data_pipelines.video.read import read_frames
from evclip_jax.config import schema

SMALL = videos.Plan(scenes.DEMO_CLASSES[:2], train=1, test=1)


def test_a_scene_is_the_same_video_at_any_time():
  scene = scenes.draw_scene(3, 1, ('juggling', 'key'), 'bright')
  drawn = scenes.render(scene, range(0, 12, 4))
  np.testing.assert_array_equal(drawn, scenes.render(scene, range(0, 12, 4)))
  assert drawn.shape == (3, 120, 160, 3)
  assert drawn.dtype == np.uint8
  # Alone, a frame differs by the sensor's noise only: 1 % of the range.
  alone = scenes.render(scene, [8])[0].astype(float)
  assert np.abs(alone - drawn[2]).mean() < 5


def test_the_demos_scenes_are_those_of_every_earlier_version():
  plan = videos.Plan()
  drawn = plan.videos().items()
  text = json.dumps([(p, str(s).replace(", manner=''", '')) for p, s in drawn])
  assert hashlib.sha256(text.encode()).hexdigest()[:16] == '4a0db8841cd40e1a'
  hashes = {name: clips.hash[:16] for name, clips in plan.lists().items()}
  assert hashes == {
      'train': 'bf34e9009cd9ba7e',
      'test_bright': '0355863df0949856',
      'test_dark': 'f48104b508dddbf1',
      'test_head': '94acdb17ea5ab397',
  }
  light = [
      scenes.render(scene, [0]).mean()
      for path, scene in plan.videos().items()
      if path.endswith('test_00.mp4')
  ]
  # What the renderer draws, to a thousandth of a grey level: dark is a few per
  # cent of the light and head is not.
  assert [round(x, 3) for x in (light[0], light[15], light[29])] == [
      164.284, 37.265, 127.019,
  ]  # fmt: skip


@pytest.mark.parametrize(
    ('motion', 'thing'),
    list(zip(sorted(scenes.MOTIONS), sorted(scenes.OBJECTS), strict=False))
    + [('swinging', 'heart'), ('throwing', 'heart')],
)
def test_every_action_moves_an_object_of_any_colour(motion, thing):
  red, blue = (
      scenes.Scene(motion, thing, colour, 'bright', 5)
      for colour in ('red', 'blue')
  )
  drawn = scenes.render(red, range(0, 32, 8)).astype(float)
  moved = np.abs(np.diff(drawn, axis=0)).max(axis=-1) > 40
  assert moved.mean(axis=(1, 2)).max() > 0.01
  changed = np.abs(drawn[0] - scenes.render(blue, [0])).max(axis=-1) > 100
  assert 0.01 < changed.mean() < 0.3


def test_a_head_camera_moves_and_others_do_not():
  motion = []
  for domain in ('bright', 'head'):
    scene = scenes.draw_scene(1, 0, ('spinning', 'moon'), domain)
    one, other = scenes.render(scene, [0, 16]).astype(float)
    motion.append((np.abs(other - one).max(axis=-1) > 20).mean())
  assert motion[1] > 2 * motion[0]


def test_class_sets_are_disjoint_and_share_their_words():
  demo, unseen = set(scenes.DEMO_CLASSES), set(scenes.UNSEEN_CLASSES)
  known = set(scenes.pretraining_classes())
  assert [len(s) for s in (demo, unseen, known)] == [10, 10, 100]
  assert len(demo | unseen | known) == 120
  motions, things = map(set, zip(*known, strict=True))
  for motion, thing in demo | unseen:
    assert motion in motions and thing in things
  assert scenes.class_name('swinging', 'star') == 'Swinging Star'


def test_no_frame_tells_slow_from_quick_but_two_do():
  slow, quick = (
      scenes.Scene('juggling', 'key', 'red', 'bright', 7, manner)
      for manner in ('slowly', 'quickly')
  )
  slowly = scenes.render(slow, [30]).astype(float)
  # 1/20 and 3/2 of the usual speed; 5 is the sensor's noise.
  assert np.abs(slowly - scenes.render(quick, [1])).mean() < 5
  assert np.abs(slowly - scenes.render(quick, [30])).mean() > 5
  named = scenes.class_name(*scenes.MOTION_CLASSES[0])
  assert named == 'Slowly Swinging Star'


def test_portrait_shows_the_object():
  scene = scenes.Scene('swinging', 'ball', 'red', 'bright', 9)
  whole, cut = scenes.render(scene, [10]), scenes.portrait(scene, [10], 64)
  assert cut.shape == (1, 64, 64, 3)

  def red(x):
    return ((x[..., 0] > 150) & (x[..., 1] < 90) & (x[..., 2] < 90)).sum()

  assert red(cut) > 0.9 * red(whole) > 100


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
  root = tmp_path_factory.mktemp('demo') / 'videos'
  return videos.write_demo(root, SMALL, workers=1)


def _stamps(root):
  return {p: p.stat().st_mtime_ns for p in root.rglob('*') if p.is_file()}


def test_videos_are_readable_and_lossy_only_a_little(demo):
  path, scene = next(iter(SMALL.videos().items()))
  indices = [0, 13, videos.NUM_FRAMES - 1]
  read = read_frames(str(demo / path), indices)
  drawn = scenes.render(scene, range(videos.NUM_FRAMES))[indices]
  assert read.shape == drawn.shape
  assert np.abs(read.astype(float) - drawn).mean() < 8


def test_what_is_there_is_left_alone_and_what_is_missing_rendered(demo):
  before = _stamps(demo)
  videos.write_demo(demo, SMALL, workers=1)
  assert _stamps(demo) == before
  lost = demo / 'dark/swinging_star/test_00.mp4'
  content = lost.read_bytes()
  for path in (lost, demo / 'classes.txt'):
    path.unlink()
  videos.write_demo(demo, SMALL, workers=1)
  after = _stamps(demo)
  assert lost.read_bytes() == content and after.keys() == before.keys()
  films = {p for p in after if p.suffix == '.mp4'}
  assert {p for p in films if after[p] != before[p]} == {lost}


def test_another_plan_is_rendered_anew(tmp_path):
  found = []
  for seed in (0, 1):
    plan = videos.Plan(scenes.DEMO_CLASSES[:1], seed=seed, train=1, test=0)
    videos.write_demo(tmp_path / 'x', plan, workers=1)
    found.append({
        p.name: p.read_bytes() for p in (tmp_path / 'x').glob('dark/*/*')
    })
  assert found[0].keys() == found[1].keys() and found[0] != found[1]


def test_a_folder_of_other_things_is_refused(tmp_path):
  (tmp_path / 'mine.mp4').write_bytes(b'')
  with pytest.raises(UserError, match='data.root'):
    videos.write_demo(tmp_path, SMALL)
  assert [p.name for p in tmp_path.iterdir()] == ['mine.mp4']


def test_the_demo_reads_as_a_data_set(demo, monkeypatch):
  monkeypatch.setattr(videos, 'write_demo', lambda root, *_: demo)
  data = schema.base().data
  data.name = 'demo'
  with pytest.raises(UserError, match='data.root'):
    videos.read(data, 1)
  data.root = str(demo)
  found = videos.read(data, 1)
  assert found.class_names == ['Swinging Star', 'Bouncing Fish']
  assert list(found.tests) == list(scenes.DOMAINS)
  assert len(found.train.records) == 6
  assert {len(t.records) for t in found.tests.values()} == {2}
