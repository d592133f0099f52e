"""Predicting with a finished run of tiny networks, by command and in Python."""

import csv
import json
import os
import pathlib
import re
import shutil
import weakref

import numpy as np
import pytest
from PIL import Image

import evclip_jax
from data_pipelines.errors import UserError
from data_pipelines.video import read
from evclip_jax.reporting import pictures
from evclip_jax.runs import prediction
from evclip_jax.runs import run as runs
from tests import clips
from tests.runs import tiny_run
from tests.runs.tiny_run import ROOT, called

CHANGES = {'data.num_frames': 4, 'data.shots': 4, 'train.epochs': 1}


@pytest.fixture(scope='module')
def finished(data_root, tmp_path_factory):
  workdir = str(tmp_path_factory.mktemp('run') / 'run')
  changes = CHANGES | {'train.select': 'best_on_test'}
  runs.run(tiny_run.config('ev_clip', data_root, changes), workdir)
  return workdir


@pytest.fixture(scope='module')
def test_clips(finished, data_root):
  lines = (pathlib.Path(finished) / 'lists/test.txt').read_text().splitlines()
  keys = [line.split('\t')[0] for line in lines if not line.startswith('#')]
  return [str(data_root / key) for key in keys]


@pytest.fixture(scope='module')
def model(finished):
  return evclip_jax.load(finished)


@pytest.fixture(scope='module')
def seen(model, test_clips):
  return dict(zip(test_clips, model.see(test_clips), strict=True))


def test_predictions_are_those_of_the_evaluation(finished, seen, test_clips):
  scored = np.load(pathlib.Path(finished) / 'evaluation/test.npz')
  got = np.stack([seen[path].probabilities for path in test_clips])
  np.testing.assert_allclose(
      np.log(got), scored['log_probabilities'], rtol=1e-5, atol=1e-5
  )
  features = np.stack([seen[path].features for path in test_clips])
  np.testing.assert_allclose(features, scored['features'], rtol=1e-4, atol=1e-5)


def test_zero_shot_beside_a_method_is_a_run_of_it(
    finished, data_root, model, tmp_path
):
  config = tiny_run.config('zero_shot', data_root, CHANGES)
  card = runs.run(config, str(tmp_path / 'plain'), 'evaluate')
  assert card['zero_shot'] == {}
  assert model.card['zero_shot']['test'] == pytest.approx(card['final']['test'])
  with (
      np.load(pathlib.Path(finished) / 'evaluation/test.npz') as beside,
      np.load(tmp_path / 'plain/evaluation/test.npz') as alone,
  ):
    np.testing.assert_allclose(
        beside['zero_shot_log_probabilities'],
        alone['log_probabilities'],
        atol=1e-4,
    )
    assert (beside['log_probabilities'] != alone['log_probabilities']).any()


def test_masks_and_frames_come_with_them(model, test_clips):
  for one in model.looks(test_clips[:2]):
    assert one.frames.shape == (4, 224, 224, 3)
    assert one.maps['mask'].shape == (224, 224)
    # The mask generator stretches every mask to 0 .. 1.
    assert one.maps['mask'].min() == pytest.approx(0, abs=1e-6)
    assert one.maps['mask'].max() == pytest.approx(1, abs=1e-2)
    assert pictures.draw(one).height > 300


def test_frames_give_what_their_file_gives(model, test_clips):
  files = test_clips[:2]
  frames = [read.read_frames(path, np.arange(20)) for path in files]
  of_files = model.predict(files)
  assert model.predict(frames) == model.predict(np.array(files)) == of_files
  assert model.predict(np.stack(frames)) == of_files
  assert model.predict(frames[0]) == model.predict(files[0]) == of_files[:1]
  assert [name for name, _ in sorted(of_files[0])] == sorted(model.classes)
  assert sum(p for _, p in of_files[0]) == pytest.approx(1)
  np.testing.assert_array_equal(model.features(frames), model.features(files))
  assert model.card['final']['test']['clips'] == len(test_clips)
  assert model.selected_by == model.card['selection']['rule'] == 'best_on_test'


def test_of_many_videos_no_frames_are_kept(model, test_clips, monkeypatch):
  see, kept = model.see, []

  def seen(*args, **how):
    for one in see(*args, **how):
      kept.append(weakref.ref(one))
      yield one
      del one
      # This one's successor is not there yet.
      assert not any(ref() for ref in kept[:-1])

  monkeypatch.setattr(model, 'see', seen)
  paths = map(pathlib.Path, test_clips)
  assert len(model.predict(paths)) == len(kept) == len(test_clips)


def test_the_page_about_python_runs(
    finished, data_root, test_clips, tmp_path, monkeypatch, capsys
):
  (tmp_path / 'runs').mkdir()
  (tmp_path / 'runs/folder-ev_clip-s1').symlink_to(finished)
  (tmp_path / 'clips').symlink_to(data_root)
  for name, clip in zip('ab', test_clips, strict=False):
    (tmp_path / f'{name}.mp4').symlink_to(clip)
  monkeypatch.chdir(tmp_path)
  text = (ROOT / 'docs/python.md').read_text()
  blocks = re.findall(r'```python\n(.*?)```', text, re.S)
  # tests/runs/test_episodic_run.py runs the one about examples.
  blocks = [b for b in blocks if 'clip_fsar' not in b]
  names = {}
  for block in blocks:
    exec(block, names)
  assert names['similarity'].shape == (2, 2)
  assert 'are float64' in capsys.readouterr().out
  assert (tmp_path / 'look_1.png').exists()


def test_views_are_averaged(model, seen, test_clips):
  path = test_clips[0]
  config = model.config
  with config.unlocked():
    config.eval.crops = 3
  (averaged,) = model.see([path])
  with config.unlocked():
    config.eval.crops = 1
  assert averaged.probabilities.sum() == pytest.approx(1)
  assert (averaged.probabilities != seen[path].probabilities).any()
  # The middle one of three crops is the only one of an ordinary evaluation.
  np.testing.assert_array_equal(averaged.frames, seen[path].frames)


def test_good_videos_are_predicted_beside_bad_ones(
    finished, model, seen, test_clips, tmp_path
):
  bad = tmp_path / 'bad.mp4'
  bad.write_bytes(b'not a video')
  # A name that is no UTF-8, in a folder with a name for formulas.
  odd = os.fsencode(tmp_path) + b'/=1+1$x'
  os.mkdir(odd)
  odd += b'/\xff$\n.mp4'
  pathlib.Path(os.fsdecode(odd)).write_bytes(
      pathlib.Path(test_clips[0]).read_bytes()
  )
  out = tmp_path / 'out'
  videos = [test_clips[0], bad, test_clips[-1], os.fsdecode(odd)]
  asked = f'--out={out}', '--timeline', '--overlay'
  done = called('predict', f'--workdir={finished}', *videos, *asked)
  assert done.returncode == 2, done.stderr
  assert str(bad) in done.stderr
  assert 'Traceback' not in done.stderr
  text = (out / 'predictions.jsonl').read_text()
  lines = [json.loads(line) for line in text.splitlines()]
  assert [x['video'] for x in lines[:3]] == list(map(str, videos[:3]))
  assert lines[3]['video'].endswith('\\udcff$\\n.mp4')
  assert 'error' in lines[1]
  assert lines[0]['top5'] == lines[3]['top5']
  for line in (lines[0], lines[2]):
    top = seen[line['video']].top(model.classes)
    assert [x['class'] for x in line['top5']] == [name for name, _ in top]
    values = [x['probability'] for x in line['top5']]
    np.testing.assert_allclose(values, [p for _, p in top], atol=1e-4)
  assert 'probability' in done.stdout.splitlines()[0]
  with (out / 'predictions.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert [r['class'] for r in rows][1] == ''
  assert rows[0]['answer'] == rows[0]['class']
  assert rows[0]['looked at'] == '4 of 20 frames'
  assert rows[2]['class 2'] == lines[2]['top5'][1]['class']
  drawn = sorted(p.name for p in out.iterdir() if p.suffix == '.png')
  assert len(drawn) == 3
  assert all(Image.open(out / name).height > 300 for name in drawn)
  page = (out / 'index.html').read_text()
  assert len(re.findall('<img', page)) == 3
  assert len(re.findall('<video', page)) == len(list(out.glob('*.mp4'))) == 3
  assert len(list(out.glob('*.timeline.csv'))) == 3
  assert 'no picture' not in page + done.stdout


def test_a_long_video_is_looked_at_in_windows(model, tmp_path):
  clips.write_clip(tmp_path / 'long.mp4', 7, frames=70)
  path = str(tmp_path / 'long.mp4')
  (seen,) = model.see([path], along=True)
  # Of EV-CLIP's 32 frames, as many as cover it.
  assert seen.film.spans == [(0, 32), (19, 51), (38, 70)]
  assert seen.film.seconds(1) == (19 / 25, 51 / 25)
  np.testing.assert_allclose(seen.windows.mean(0), seen.probabilities)
  frames = read.read_frames(path, np.arange(70))
  alone = [model.predict(frames[a:b])[0] for a, b in seen.film.spans]
  for shares, scores in zip(seen.windows, alone, strict=True):
    expected = [dict(scores)[name] for name in model.classes]
    np.testing.assert_allclose(shares, expected, atol=1e-6)
  assert model.predict(frames) == model.predict(path)
  assert model.predict(path, clips=1) != model.predict(path)


def test_a_doubtful_answer_is_none_and_the_folder_says_so(
    model, test_clips, tmp_path
):
  told = []
  (row,) = prediction.predict(
      model, test_clips[:1], tmp_path, tell=told.append, least=1.0,
      overlays=('.gif',),
  )  # fmt: skip
  assert told == [row]
  assert row['answer'] is None
  assert row['top5'][0]['probability'] < 1
  assert 'none of these' in (tmp_path / 'predictions.csv').read_text()
  (file,) = tmp_path.glob('*.gif')
  with Image.open(file) as image:
    # 20 frames at 25 a second, ten of them a second.
    assert image.n_frames == 10
    assert image.height == 200 + 120


def test_what_is_asked_wrongly_exits_with_2(finished, tmp_path):
  (tmp_path / 'a.mp4').write_text('')
  leave = shutil.ignore_patterns('checkpoints')
  early = shutil.copytree(finished, tmp_path / 'early', ignore=leave)
  given = f'--workdir={tmp_path}', f'{tmp_path}/a.mp4'
  flags = '--timeline', '--overlay', '--gif'
  told = {given: 'config.json does not exist'} | {
      (*given, x): f'{x} writes files: say where with --out' for x in flags
  }
  told[*given, '--support=gone'] = '--support=gone is not a folder'
  told[f'--workdir={early}', given[1]] = f'{early} has no checkpoint yet'
  found = tiny_run.failures('predict', *told)
  for said, message in zip(found, told.values(), strict=True):
    assert message in said


def test_json_prints_nothing_else_and_other_classes_can_be_named(
    finished, test_clips
):
  folder = os.path.dirname(test_clips[0])
  asked = folder, '--json', '--classes=a,b'
  done = called('predict', f'--workdir={finished}', *asked)
  assert done.returncode == 0, done.stderr
  lines = [json.loads(line) for line in done.stdout.splitlines()]
  assert len(lines) == len(os.listdir(folder))
  assert {x['class'] for x in lines[0]['top5']} == {'a', 'b'}


def test_a_picture_that_fails_costs_nothing_else(
    model, test_clips, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(pictures, 'draw', None)
  assert len(prediction.predict(model, test_clips[:2], tmp_path)) == 2
  assert capsys.readouterr().out.count('no picture') == 2
  assert sorted(p.name for p in tmp_path.iterdir()) == [
      'index.html', 'predictions.csv', 'predictions.jsonl',
  ]


def test_a_folder_stands_for_its_videos(data_root, tmp_path):
  for arguments, message in (
      ([], 'name at least one video'),
      (['gone.mp4'], 'gone.mp4 does not exist'),
      ([str(tmp_path)], 'has no videos'),
  ):
    with pytest.raises(UserError, match=message):
      prediction.find_videos(arguments)
  found = prediction.find_videos([str(data_root)])
  assert len(found) > 4
  assert prediction.find_videos([str(data_root), found[0]]) == found


@pytest.mark.parametrize(
    ('asked', 'message'),
    [
        ({'classes': ['one']}, 'two or more'),
        ({'classes': [1, 2]}, r'classes \[1, 2\]: wanted names'),
        ({'classes': []}, r'classes \[\]: nothing to choose'),
        ({'classes': 'waving'}, r"classes \['waving'\]: nothing to choose"),
        ({'classes': ['one', 'two', 'One ']}, 'same name'),
        ({'support': {'a': [], 'b': []}}, 'does not compare with examples'),
    ],
)
def test_classes_that_do_not_fit_are_told(model, asked, message):
  with pytest.raises(UserError, match=message):
    model.names(**asked)
  # As those of a data set.
  names = np.array(['brush_hair', 'YoYo'])
  assert model.names(names) == ['brush hair', 'Yo Yo']
  assert model.names() == model.classes


def test_of_many_videos_only_the_best_class_is_shown():
  top5 = [
      {'class': 'a', 'probability': 0.9}, {'class': 'bb', 'probability': 0.1}
  ]
  looked_at = {'windows': 2, 'frames': 16, 'of_frames': 1234}
  row = {'top5': top5, 'answer': 'a', 'looked_at': looked_at}
  rows = [row | {'video': 'x.mp4'}, {'video': 'y', 'error': 'broken'}]
  lines = prediction.as_text(rows).splitlines()
  assert lines[2].endswith('90.0 %  16 of 1,234 frames, 2 windows')
  assert lines[3].split() == ['bb', '10.0', '%']
  assert lines[4].split() == ['y', '(cannot', 'be', 'read)']
  assert len(prediction.as_text(rows * 20).splitlines()) == 42
  none = prediction.as_text([rows[0] | {'answer': None}]).splitlines()
  assert 'x.mp4  none of these' in none[2]
  lines = prediction.as_text(rows * 2000).splitlines()
  assert [x.split() for x in lines[2:]] == [
      ['a', '2,000'], ['(cannot', 'be', 'read)', '2,000'], ['4,000', 'videos']
  ]


def test_importing_is_cheap():
  for module in ('predict', 'export'):
    code = (
        f'import sys, evclip_jax, evclip_jax.{module}\n'
        "assert not {'jax', 'tensorflow', 'matplotlib'} & set(sys.modules)"
    )
    tiny_run.python(code, ROOT)
