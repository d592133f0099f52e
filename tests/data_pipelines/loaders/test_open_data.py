"""The door of the package: config in, lists with probes out."""

import json

import pytest

from data_pipelines.errors import UserError
from tests.data_pipelines import trees
from tests.data_pipelines.trees import open_sets


def test_sets_of_an_official_split(root):
  sets = open_sets(root, seed=3, shots=2)
  assert sets.class_names == [
      'Apply Eye Makeup', 'Handstand Pushups', 'Yo Yo',
  ]  # fmt: skip
  assert list(sets.tests) == ['test'] and sets.val is None
  path, probe = sets.train.media(0), sets.train.probe(0)
  assert path == str(root / 'UCF-101' / sets.train.records[0].path)
  frames = 20 + int(path.split('_g')[1][:2])
  assert probe.num_frames == frames and sets.train.span(0) == (0, frames)
  about = sets.description
  assert (about['shots'], about['seed'], about['split']) == (2, 3, 1)
  assert (about['classes'], about['training_pool']['clips']) == (3, 9)
  assert about['lists']['train'] == {
      'from': '2 clips per class of trainlist01.txt, seed 3', 'clips': 6,
      'missing': 0, 'skipped': 0, 'sha256': sets.train.hash,
  }  # fmt: skip
  assert str(root) not in json.dumps(about)


def test_the_seed_chooses_shots_but_no_list(root):
  one, other = (open_sets(root, seed=s, shots=1) for s in (1, 2))
  assert one.train.hash != other.train.hash
  assert one.tests['test'].hash == other.tests['test'].hash
  whole = [open_sets(root, seed=s).train.hash for s in (1, 2)]
  assert whole[0] == whole[1]


def test_the_written_selection_reads_back_as_it_is(root, tmp_path):
  sets = open_sets(root, shots=2, seed=5)
  sets.write_lists(tmp_path)
  own = {f'{x}_list': str(tmp_path / f'{x}.txt') for x in ('train', 'test')}
  again = open_sets(root, shots=2, seed=99, **own)
  assert again.train.hash == sets.train.hash
  assert again.tests['test'].hash == sets.tests['test'].hash
  assert again.class_names == sets.class_names
  names = (tmp_path / 'classes.txt').read_text().splitlines()
  assert names == sets.class_names


def test_val_list(root, tmp_path):
  train = trees.write_vifi(tmp_path / 'train.txt', (4,))
  val = trees.write_vifi(tmp_path / 'val.txt', (3,))
  sets = open_sets(root, train_list=train, val_list=val)
  assert list(sets.evals()) == ['val', 'test']
  with pytest.raises(UserError, match='test clip must not help'):
    open_sets(root, train_list=train, val_list=val, test_list=val)


def test_evaluation_needs_no_sound_training_clip(root, tmp_path):
  copy = trees.make_ucf(tmp_path / 'ucf')
  (copy / 'UCF-101' / trees.clip_key('YoYo', 3)).write_bytes(b'')
  with pytest.raises(UserError, match='YoYo_g03'):
    open_sets(copy)
  sets = open_sets(copy, only=True)
  assert sets.train is None
  assert len(sets.class_names) == 3
