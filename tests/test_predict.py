"""Predicting with a finished run of tiny networks."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from configs import folder as folder_config
from data_pipelines.errors import UserError
from evclip_jax import export, predict_videos, predictions
from evclip_jax.runs import run as runs
from evclip_jax.runs import trained_run
from evclip_jax.training import params, session
from tests import clips

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
  return clips.write_folder(tmp_path_factory.mktemp('clips'))


@pytest.fixture(scope='module')
def finished(data_root, tmp_path_factory):
  workdir = str(tmp_path_factory.mktemp('run') / 'run')
  config = folder_config.get_config()
  config.update_from_flattened_dict({
      'clip.name': 'tiny',
      'encoder.name': 'tiny',
      'data.root': str(data_root),
      'data.shots': 4,
      'batch_size': 4,
      'mesh.data': 1,
      'train.epochs': 1,
  })
  runs.run(config, workdir, 'train')
  return workdir


@pytest.fixture(scope='module')
def test_clips(finished, data_root):
  lines = (pathlib.Path(finished) / 'lists/test.txt').read_text().splitlines()
  return [
      os.path.join(data_root, line.split('\t')[0])
      for line in lines
      if not line.startswith('#')
  ]


@pytest.fixture(scope='module')
def seen(finished, test_clips):
  run = trained_run.load(finished)
  return run, dict(predict_videos.predict(run, test_clips))


def command(*arguments):
  flags = os.environ['XLA_FLAGS'].replace('device_count=8', 'device_count=1')
  environment = os.environ | {'XLA_FLAGS': flags}
  return subprocess.run(
      [sys.executable, '-m', 'evclip_jax.predict', *map(str, arguments)],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
  )


def test_predictions_are_those_of_the_evaluation(finished, seen, test_clips):
  scored = np.load(pathlib.Path(finished) / 'evaluation/test.npz')
  got = np.stack([seen[1][path].probabilities for path in test_clips])
  np.testing.assert_allclose(
      np.log(got), scored['log_probabilities'], rtol=1e-5, atol=1e-5
  )


def test_masks_and_frames_come_with_them(seen, test_clips):
  for path in test_clips:
    one = seen[1][path]
    assert one.frames.shape == (8, 224, 224, 3)
    assert one.maps['mask'].shape == (224, 224)
    # The mask generator stretches every mask to 0 .. 1.
    assert one.maps['mask'].min() == pytest.approx(0, abs=1e-6)
    assert one.maps['mask'].max() == pytest.approx(1, abs=1e-2)


def test_views_are_averaged(seen, test_clips):
  run, single = seen
  path = test_clips[0]
  with run.config.unlocked():
    run.config.eval.clips, run.config.eval.crops = 1, 3
  (_, averaged), = predict_videos.predict(run, [path])
  with run.config.unlocked():
    run.config.eval.crops = 1
  assert averaged.probabilities.sum() == pytest.approx(1)
  assert (averaged.probabilities != single[path].probabilities).any()
  # The middle one of three crops is the only one of an ordinary evaluation.
  np.testing.assert_array_equal(averaged.frames, single[path].frames)


def test_good_videos_are_predicted_beside_a_bad_one(
    finished, seen, test_clips, tmp_path
):
  bad = tmp_path / 'bad.mp4'
  bad.write_bytes(b'not a video')
  out = tmp_path / 'out'
  done = command(
      f'--workdir={finished}',
      test_clips[0],
      bad,
      test_clips[-1],
      f'--out={out}',
  )
  assert done.returncode == 2, done.stderr
  assert str(bad) in done.stderr
  assert 'Traceback' not in done.stderr
  lines = [json.loads(x) for x in done.stdout.splitlines() if x[:1] == '{']
  videos = [test_clips[0], str(bad), test_clips[-1]]
  assert [x['video'] for x in lines] == videos
  assert 'error' in lines[1]
  for line in (lines[0], lines[2]):
    values = [x['probability'] for x in line['top5']]
    assert values == sorted(values, reverse=True)
    best = line['top5'][0]
    expected = seen[1][line['video']].top(seen[0].session.class_names, 1)
    assert best['class'] == expected[0][0]
    assert best['probability'] == pytest.approx(expected[0][1], abs=1e-4)
  assert 'probability' in done.stdout.splitlines()[0]
  names = [os.path.basename(p) for p in (test_clips[0], test_clips[-1])]
  pictures = [p.name for p in out.iterdir() if p.suffix == '.png']
  assert len(pictures) == 2
  assert all(any(p.startswith(n) for n in names) for p in pictures)
  assert Image.open(out / pictures[0]).height > 300
  assert (out / 'predictions.jsonl').read_text().splitlines() == [
      x for x in done.stdout.splitlines() if x[:1] == '{'
  ]


def test_json_prints_nothing_else_and_other_classes_can_be_named(
    finished, test_clips
):
  folder = os.path.dirname(test_clips[0])
  done = command(f'--workdir={finished}', folder, '--json', '--classes=a,b')
  assert done.returncode == 0, done.stderr
  lines = [json.loads(line) for line in done.stdout.splitlines()]
  assert len(lines) == len(os.listdir(folder))
  assert {x['class'] for x in lines[0]['top5']} == {'a', 'b'}


def test_the_trained_weights_can_be_exported(finished, seen, tmp_path):
  run, _ = seen
  file = tmp_path / 'trained.safetensors'
  said = export.save_trained(finished, file)
  with run.config.unlocked():
    run.config.method.weights = str(file)
  model = session.build(run.config, ['a', 'b'])
  count = sum(x.size for x in jax.tree.leaves(model.params['method']))
  assert f'{count:,} trained weights of ev_clip' in said
  back = params.split(model.params, model.method.trainable)[0]
  assert set(back) == set(run.weights)
  for name, value in run.weights.items():
    np.testing.assert_array_equal(back[name], value)


def test_a_folder_that_is_no_run_exits_with_2(test_clips, tmp_path):
  done = command(f'--workdir={tmp_path}', test_clips[0])
  assert done.returncode == 2
  assert 'config.json does not exist' in done.stderr
  assert 'Traceback' not in done.stderr


def test_what_is_not_there_is_named():
  with pytest.raises(UserError, match='name at least one video'):
    predict_videos.find_videos([])
  with pytest.raises(UserError, match='gone.mp4 does not exist'):
    predict_videos.find_videos(['gone.mp4'])


def test_a_folder_stands_for_its_videos(data_root, tmp_path):
  with pytest.raises(UserError, match='has no videos'):
    predict_videos.find_videos([str(tmp_path)])
  found = predict_videos.find_videos([str(data_root)])
  assert len(found) > 4
  assert predict_videos.find_videos([str(data_root), found[0]]) == found


@pytest.mark.parametrize(
    ('names', 'message'),
    [(['one'], 'two or more'), (['one', 'two', 'One '], 'same name')],
)
def test_classes_must_be_different(names, message):
  with pytest.raises(UserError, match=message):
    predict_videos.check_classes(names)


def test_names_are_cleaned_as_those_of_a_data_set():
  names = predict_videos.check_classes(['brush_hair', 'YoYo'])
  assert names == ['brush hair', 'Yo Yo']
  assert predict_videos.check_classes([]) is None


def test_the_table_is_aligned():
  top5 = [
      {'class': 'a', 'probability': 0.9},
      {'class': 'bb', 'probability': 0.1},
  ]
  lines = predictions.table(
      [{'video': 'x.mp4', 'top5': top5}, {'video': 'y', 'error': 'broken'}]
  ).splitlines()
  assert lines[2].split() == ['x.mp4', 'a', '90.0', '%']
  assert lines[3].split() == ['bb', '10.0', '%']
  assert lines[4].split() == ['y', '(cannot', 'be', 'read)']
  assert len({len(line) for line in lines}) == 1
