"""`data_pipelines.dataset` in loops of other people, and what it refuses."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

import data_pipelines
from data_pipelines.errors import UserError
from tests.data_pipelines import trees

SIZES = {'resize_height': 48, 'resize_width': 64, 'crop_pixels': 32}


def open_it(root, **values):
  values = {'name': 'ucf101', 'batch_size': 4, 'num_frames': 4} | SIZES | values
  cache = str(root.parent / 'cache')
  return data_pipelines.dataset(str(root), cache_dir=cache, **values)


def test_a_training_loop_of_ones_own(root):
  batches, weights = open_it(root), np.zeros((3, 3))
  for batch in batches.take(5 * batches.steps).as_numpy_iterator():
    colours = batch['video'].mean((1, 2, 3)) / 255  # [B, 3]
    scores = np.exp(colours @ weights)
    wrong = scores / scores.sum(1, keepdims=True) - np.eye(3)[batch['label']]
    weights -= 0.1 * colours.T @ wrong
  assert np.isfinite(weights).all() and weights.any()


def test_it_can_start_anywhere_and_be_shared(root):
  def first(count, **values):
    return list(itertools.islice(open_it(root, **values), count))

  whole = first(5)
  (later,) = first(1, start_step=4)
  halves = [first(5, process_index=p, process_count=2)[4] for p in (0, 1)]
  for name, value in whole[4].items():
    np.testing.assert_array_equal(later[name], value)
    np.testing.assert_array_equal(
        np.concatenate([h[name] for h in halves]), value
    )
  names = ['Apply Eye Makeup', 'Handstand Pushups', 'Yo Yo']
  assert open_it(root).class_names == names
  assert whole[0]['video'].shape == (4, 4, 32, 32, 3)
  assert {k: v.dtype.name for k, v in whole[0].items()} == {
      'video': 'uint8', 'label': 'int32', 'mask': 'float32', 'index': 'int32',
  }  # fmt: skip


def test_scoring_ends_after_every_view(root):
  batches = open_it(root, training=False, crops=3)
  rows = list(batches.as_numpy_iterator())
  assert len(rows) == batches.steps == 3
  mask = np.concatenate([b['mask'] for b in rows]) > 0
  assert mask.sum() == 9 and not rows[-1]['video'][1:].any()
  seen = [np.concatenate([b[k] for b in rows])[mask] for k in ('index', 'view')]
  assert list(zip(*seen, strict=True)) == [
      (clip, view) for clip in range(3) for view in range(3)
  ]


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'frames': 8}, 'frames=8: there is no such setting; use some of'),
        ({'num_frames': 0}, 'num_frames=0: use 1 or more'),
        ({'num_frames': '8'}, "num_frames='8': use a whole number"),
        ({'crop_pixels': 99}, 'crop_pixels=99 does not fit into frames of 48'),
        ({'batch_size': 0}, 'batch_size=0: use 1 or more'),
        ({'batch_size': 1.5}, 'batch_size=1.5: use a whole number'),
        ({'crops': 2}, 'crops=2: use one of 1, 3'),
        ({'process_index': 2, 'process_count': 2},
         'process_index=2: use one of 0, 1'),
        ({'preprocess': 'x'}, "preprocess='x': use one of ev_clip"),
        ({'start_step': -1}, 'start_step=-1: use 0 or more'),
        ({'process_count': 0}, 'process_count=0: use 1 or more'),
        ({'process_index': 1}, 'process_index=1: use one of 0'),
        ({'name': 'x'}, "data.name='x': use one of"),
        (
            {'training': False, 'list_name': 'val'},
            "list_name='val': the lists to score are test",
        ),
    ],
)
def test_what_cannot_be_is_said(root, values, message):
  with pytest.raises(UserError, match=message):
    open_it(root, **values)


def test_an_error_names_the_clip(root):
  batches, clip = open_it(root), root / 'UCF-101' / trees.clip_key('YoYo', 3)
  clip.rename(root / 'gone')
  with pytest.raises(Exception, match=r'v_YoYo_g03_c01.avi: there is no such'):
    list(batches.take(3))
  (root / 'gone').rename(clip)


def test_a_program_that_closes_nothing_ends(root):
  code = (
      'import data_pipelines, sys\n'
      'batches = data_pipelines.dataset(\n'
      '    sys.argv[1], "ucf101", batch_size=4, cache_dir=sys.argv[2])\n'
      'open_to_the_end = iter(batches)\n'
      'batch = next(open_to_the_end)\n'
      'from data_pipelines.loaders.batches import Batches, Row, Rows\n'
      'from data_pipelines.views import ev_clip\n'
      'def row(n):\n'
      '  sum(range(20_000))\n'
      '  return Row(index=n)\n'
      'stream = Batches(Rows(row, 4, ev_clip.Spec(1, crop_pixels=8)))\n'
      'print(batch["video"].shape, next(stream)["index"])\n'
  )
  command = [sys.executable, '-c', code, root, root.parent / 'cache']
  done = subprocess.run(command, capture_output=True, text=True, timeout=100)
  assert done.stdout == '(4, 8, 224, 224, 3) [0 1 2 3]\n', done.stderr
  assert (done.returncode, done.stderr) == (0, '')
