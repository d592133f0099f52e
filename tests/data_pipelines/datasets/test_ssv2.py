"""Something-Something V2 on a tree of a few clips with real annotations."""

import json
import shutil

import numpy as np
import pytest

from data_pipelines import build, datasets
from data_pipelines.datasets import ssv2
from data_pipelines.errors import UserError
from data_pipelines.loaders import open_data
from data_pipelines.video import read as decode
from tests.data_pipelines import pictures, trees
from tests.data_pipelines import ssv2_tree as tree


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  return tree.make(tmp_path_factory.mktemp('data') / 'SSv2')


def read(root, **values):
  data = trees.data_config(name='ssv2', root=str(root), **values)
  return datasets.read(data, 1)


def pairs(clips):
  return [(r.path, r.label) for r in clips.records]


def test_older_names_and_converted_clips(tmp_path):
  tree.write_labels(tmp_path / 'annotations', 'something-something-v2-')
  (tmp_path / 'videos').mkdir()
  for number, _ in tree.TRAIN + tree.TEST:
    (tmp_path / 'videos' / f'{number}.mp4').write_bytes(b'clip')
  assert pairs(read(tmp_path).train)[0] == ('1.mp4', 0)


def test_folders_of_frames(tmp_path):
  tree.write_labels(tmp_path / 'labels')
  for number, _ in tree.TRAIN + tree.TEST:
    pictures.write(tmp_path / 'frames' / str(number), 9, 'img_{:05d}.jpg')
  data = read(tmp_path)
  assert pairs(data.train) == [(str(n), k) for n, k in tree.TRAIN]
  config = trees.data_config(name='ssv2', root=str(tmp_path))
  sets = open_data.open_data(config, 1, 1, cache_dir=str(tmp_path / 'c'))
  assert sets.train.span(2) == (0, 9)
  pytest.importorskip('array_record')
  build.build('ssv2', str(tmp_path), str(tmp_path / 'out'))
  config = trees.data_config(name='ssv2', tfds_dir=str(tmp_path / 'out'))
  packed = open_data.open_data(config, 1, 1, cache_dir=str(tmp_path / 'c'))
  assert packed.description == sets.description
  check_same_frames(sets.train, packed.train, [0, 8])


def check_same_frames(one, other, numbers):
  for index in range(len(one)):
    decoded = [
        decode.read_frames(media, numbers, probe)
        for media, probe in (s.read(index) for s in (one, other))
    ]
    np.testing.assert_array_equal(*decoded)


def test_vifi_lists_and_answers_of_the_test_list(root, tmp_path):
  train = tmp_path / 'train1_few_shot_1.txt'
  train.write_text('1.webm 0\n20.webm 1\n300.webm 2\n')
  answers = root / 'labels' / 'test-answers.csv'
  data = read(root, train_list=str(train), test_list=str(answers))
  assert pairs(data.train) == [
      ('1.webm', 0),
      ('20.webm', 1),
      ('300.webm', 2),
  ]
  assert pairs(data.tests['test']) == [(f'{n}.webm', k) for n, k in tree.TEST]
  again = read(root, test_list='labels/validation.json')
  assert pairs(again.tests['test']) == pairs(data.tests['test'])


def test_labels_cut_to_some_classes(root, tmp_path):
  shutil.copytree(root, tmp_path / 'data')
  folder = tmp_path / 'data' / 'labels'
  tree.write_labels(folder, train=tree.TRAIN[1:3], test=tree.TEST)
  labels = json.loads((folder / 'labels.json').read_text())
  some = {name: k for name, k in labels.items() if k != '0'}
  (folder / 'labels.json').write_text(json.dumps(some))
  data = read(tmp_path / 'data')
  assert data.class_names == [ssv2.template(t) for t in tree.TEMPLATES[1:]]
  (folder / 'labels.json').write_text(json.dumps(dict.fromkeys(some, '1')))
  with pytest.raises(UserError, match='each of them once'):
    read(tmp_path / 'data')


def test_a_val_list_needs_names_of_its_own(root, tmp_path):
  lists = {}
  for split, number in (('train', 1), ('val', 20), ('test', 50)):
    lists[f'{split}_list'] = str(tmp_path / f'{split}.txt')
    (tmp_path / f'{split}.txt').write_text(f'{split}0/{number}\n')
  published = 'clip_fsar/ssv2_small'
  values = lists | {'class_scope': 'per_list', 'class_names': published}
  with pytest.raises(UserError, match=r'"val": .names.*clip_fsar/.*FILE.json'):
    read(root, **values)
  (tmp_path / 'val.json').write_text('{"val": ["Holding [something]"]}')
  values['class_names'] = f'{published},{tmp_path / "val.json"}'
  data = read(root, **values)
  assert data.own_names['val'] == ['Holding [something]']
  assert (len(data.class_names), len(data.own_names['test'])) == (64, 24)


def test_what_is_wrong_is_named(root, tmp_path):
  with pytest.raises(UserError, match='20bn-something-something-v2'):
    read(tmp_path)
  bad = tmp_path / 'train.json'
  bad.write_text(json.dumps([tree.entry(1, 0), {'id': '20'}]))
  with pytest.raises(UserError, match=r'train\.json .*entry 2.*template'):
    read(root, train_list=str(bad))
  bad.write_text('[{')
  with pytest.raises(UserError, match='cannot be read as JSON'):
    read(root, train_list=str(bad))
  bad.write_text(json.dumps([tree.entry(1, 0), tree.entry(77, 1)]))
  with pytest.raises(UserError, match=r'1 of 2 clips .*77\.webm'):
    read(root, train_list=str(bad))


def test_answers_that_are_no_text(root, tmp_path):
  answers = tmp_path / 'answers.csv'
  text = (root / 'labels' / 'test-answers.csv').read_text()
  answers.write_text(text + '  ;\n  \n')
  assert len(read(root, test_list=str(answers)).tests['test'].records) == 2
  answers.write_bytes(text.encode() + b'4;caf\xe9\n')
  with pytest.raises(UserError, match="answers.csv, line 3: the class 'café'"):
    read(root, test_list=str(answers))
