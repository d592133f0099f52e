"""Every data set from its official tree to the figures of a run.

Each tree is small but real: clips that can be decoded, lists in the official
grammar. A run reads it as it is; a TFDS folder of it gives the same batches.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from data_pipelines import build
from data_pipelines.loaders import open_data, pipeline
from evclip_jax.config import schema
from evclip_jax.runs import run as runs
from tests.data_pipelines import (
  epic_tree,
  kinetics_tree,
  official_trees,
  ssv2_tree,
  trees,
)
from tests.runs.tiny_run import TINY

# The same shapes and the same optimizer for all, so that what is compiled for
# one data set serves the others.
_SMALL = TINY | {
    'method.settings.prompt': 'context',
    'batch_size': 2,
    'data.shots': 1,
    'data.window_frames': 4,
    'optimizer.learning_rate': 1e-3,
    'optimizer.weight_decay': 0.05,
    'optimizer.warmup_epochs': 1,
    'optimizer.warmup_learning_rate': 1e-4,
    'train.epochs': 1,
    'train.eval_every_epochs': 1,
    'train.checkpoint_every_epochs': 1,
}


@dataclasses.dataclass(frozen=True)
class Case:
  """A data set in the form that a person has it.

  Attributes:
    config: the file in configs/.
    builder: what `data_pipelines.build` is asked for; '' = it stores no such
      clips.
    make: writes the tree below a folder and returns data.root.
    tests: clips of the official test list.
    lists: where the official training list comes from, in the run card.
  """

  config: str
  builder: str
  make: Callable[[pathlib.Path], pathlib.Path]
  tests: int
  lists: str


def _epic(write_video):
  """All videos as pictures, or all as films."""

  def make(root):
    train = epic_tree.TRAIN + (
        ('P01_01', 0.0, 0.2, 'put', 1, 'plate', 1),
        ('P02_101', 0.0, 0.4, 'turn-on', 2, 'tap', 0),
    )
    epic_tree.write_lists(
        root / 'epic-kitchens-100-annotations', train, epic_tree.TEST
    )
    for video in ('P01_01', 'P01_02', 'P02_101'):
      write_video(root, video)
    return root

  return make


def _ssv2(root):
  return ssv2_tree.make(root, ssv2_tree.TRAIN + ((21, 1), (301, 2)))


def _kinetics(root):
  more = (('eeeeeeeeeee', 5, 1), ('fffffffffff', 15, 2))
  rows = (kinetics_tree.TRAIN + more, kinetics_tree.TEST)
  kinetics_tree.write_clips(root, rows=rows, real=True)
  kinetics_tree.write_lists(root / 'annotations', rows=rows)
  return root


def _official(make):
  return lambda root: make(root, real=True)


CASES = {
    'ucf101': Case('ucf', 'ucf101', _official(trees.make_ucf), 3,
                   'trainlist01.txt'),
    'hmdb51': Case('hmdb', 'hmdb51', _official(official_trees.make_hmdb), 3,
                   '*_test_split1.txt (train)'),
    'arid': Case('arid', 'arid', _official(official_trees.make_arid), 3,
                 'split0_train.txt'),
    'egtea': Case('egtea', 'egtea', _official(official_trees.make_egtea), 3,
                  'train_split1.txt'),
    'epic_frames': Case('ek100', 'epic_kitchens100',
                        _epic(epic_tree.write_frames), 2, 'EPIC_100_train.csv'),
    'epic_films': Case('ek100', '', _epic(epic_tree.write_film), 2,
                       'EPIC_100_train.csv'),
    'ssv2': Case('ssv2', 'ssv2', _ssv2, 2, 'train.json'),
    'kinetics': Case('kinetics', 'kinetics', _kinetics, 2, 'train.csv'),
}  # fmt: skip


def settings(case, cache, **values):
  config = importlib.import_module(f'configs.{case.config}').get_config()
  config.update_from_flattened_dict(_SMALL | {'cache_dir': str(cache)} | values)
  schema.check(config)
  return config


def batches(data):
  """The first batch of training, and all that are scored."""
  with data.train(0) as training:
    found = [next(iter(training))]
  return found + [x for scored in data.evals.values() for x in scored.batches()]


@pytest.mark.parametrize('name', CASES)
def test_files_and_a_built_folder_train_alike(name, tmp_path):
  pytest.importorskip('array_record')
  case = CASES[name]
  root = case.make(tmp_path / 'data')
  files = settings(case, tmp_path, **{'data.root': str(root)})
  card = runs.run(files, str(tmp_path / 'run'), 'train')
  check_card(case, card, tmp_path / 'run')
  if not case.builder:
    return
  built = str(tmp_path / 'built')
  build.build(case.builder, str(root), built)
  packed = settings(case, tmp_path, **{'data.tfds_dir': built})
  one, other = (pipeline.Pipeline(c) for c in (files, packed))
  assert card['data'] == one.description == other.description
  for found, wanted in zip(batches(other), batches(one), strict=True):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
      np.testing.assert_array_equal(found[key], value, err_msg=key)


def check_card(case, card, workdir):
  lists = card['data']['lists']
  assert lists['train']['clips'] == len(card['class_names']) == 3
  assert card['data']['training_pool']['from'] == case.lists
  assert lists['train']['from'].startswith(f'1 clips per class of {case.lists}')
  assert card['final']['test']['clips'] == case.tests
  for name, about in lists.items():
    text = (workdir / 'lists' / f'{name}.txt').read_text()
    assert f'# sha256 of the lines below: {about["sha256"]}\n' in text
    assert (about['missing'], about['skipped']) == (0, 0)
    if name in card['final']:
      assert card['final'][name]['clips'] == about['clips']


def test_what_is_left_out_is_counted_and_named(tmp_path):
  case = CASES['kinetics']
  root = case.make(tmp_path / 'data')
  # One clip of the training list has vanished, another one is cut off; a clip
  # of the test list has vanished.
  (gone, broken), (test,) = (
      [root / role / kinetics_tree.file_name(*row[:2]) for row in rows]
      for role, rows in (
          ('train', kinetics_tree.TRAIN[:2]), ('val', kinetics_tree.TEST[:1])
      )
  )
  broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
  gone.unlink()
  test.unlink()
  values = {'data.on_missing': 'skip', 'data.on_broken': 'skip'}
  values |= {'data.shots': 0, 'data.most_missing': 0.5}
  config = settings(case, tmp_path, **values, **{'data.root': str(root)})
  card = runs.run(config, str(tmp_path / 'run'), 'train')
  lists = card['data']['lists']
  counts = {k: (v['missing'], v['skipped']) for k, v in lists.items()}
  assert counts == {'train': (1, 1), 'test': (1, 0)}
  assert card['final']['test']['clips'] == lists['test']['clips'] == 1
  told = (tmp_path / 'run' / 'lists' / 'skipped.txt').read_text().splitlines()
  assert [line.split('\t')[:2] for line in told] == [
      ['train', gone.name], ['test', test.name],
      ['train', f'train/{broken.name}'],
  ]  # fmt: skip
  # A folder built of it knows as much.
  build.build(case.builder, str(root), str(tmp_path / 'tfds'), 'skip')
  values |= {'data.tfds_dir': str(tmp_path / 'tfds')}
  config = settings(case, tmp_path, **values)
  packed = open_data.open_data(
      config.data, 1, 1, tmp_path / 'run', str(tmp_path)
  )
  assert packed.description == card['data']
  packed.write_lists(tmp_path / 'lists')
  told = (tmp_path / 'lists' / 'skipped.txt').read_text()
  assert told.startswith(f'train\t{gone.name}\tnot in the data\n')
