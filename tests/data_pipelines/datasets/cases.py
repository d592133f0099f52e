"""The official data sets in small, in the form that people have them.

Files hold 4 bytes.
"""

import dataclasses
from collections.abc import Callable

from data_pipelines import datasets
from tests.data_pipelines import (
  epic_tree,
  kinetics_tree,
  official_trees,
  ssv2_tree,
  trees,
)

_EPIC_LISTS = 'epic-kitchens-100-annotations'


@dataclasses.dataclass(frozen=True)
class Case:
  """A data set.

  Attributes:
    make: (root, folder of videos, folder of lists) writes the tree.
    names: the classes.
    lists: (role, split) -> {clip: label} of an official list in its order.
    places: usual places: videos, lists, and folder below root or '..'.
    own: key -> its path in lists of others.
    by_folder: whether clips lie in folders of their classes.
  """

  make: Callable
  names: list[str]
  lists: Callable[[str, int], dict[str, int]]
  places: tuple[str, ...]
  own: Callable[[str], str] = lambda key: key.rsplit('/', 1)[-1]
  by_folder: bool = False

  @property
  def videos(self) -> str:
    return self.places[0].split()[0]


def _numbered(key, classes, numbers=None):
  """Of clips 1..4 of each class; number N is tested on in split N."""
  numbers = numbers or (
      lambda role, split: [split]
      if role == 'test'
      else [n for n in range(1, 5) if n != split]
  )
  return lambda role, split: {
      key(c, n): k for k, c in enumerate(classes) for n in numbers(role, split)
  }


def _hmdb(role, split):
  unused = split % 4 + 1
  rest = [n for n in range(1, 5) if n not in (split, unused)]
  return [split] if role == 'test' else rest


def _arid(role, split):
  return {'train': [3 - split, 3], 'val': [4], 'test': [split]}[role]


def _make_kinetics(root, videos, lists):
  kinetics_tree.write_clips(root / videos)
  kinetics_tree.write_lists(root / lists)


def _kinetics(role, split):
  folder = {'train': 'train', 'test': 'val'}[role]
  rows = kinetics_tree.ROWS[role == 'test']
  order = sorted(range(3), key=kinetics_tree.CLASSES.__getitem__)
  return {
      f'{folder}/{kinetics_tree.file_name(v, s)}': order.index(k)
      for v, s, k in rows
  }


def _make_ssv2(root, videos, lists):
  ssv2_tree.write_labels(root / lists)
  numbers = dict(ssv2_tree.TRAIN + ssv2_tree.TEST)
  trees.write_clips(root / videos, *(f'{n}.webm' for n in numbers))


def _ssv2(role, split):
  rows = ssv2_tree.TRAIN if role == 'train' else ssv2_tree.TEST
  return {f'{number}.webm': label for number, label in rows}


def _make_epic(root, videos, lists):
  epic_tree.write_lists(root / lists)
  names = ('P01_01', 'P01_02', 'P02_101')
  trees.write_clips(root / videos, *(f'{n[:3]}/videos/{n}.MP4' for n in names))


def _epic(role, split):
  rows = epic_tree.TRAIN if role == 'train' else epic_tree.TEST
  return {
      f'{v[:3]}/videos/{v}.MP4@{a:g}-{b:g}': label
      for v, a, b, _, label, *_ in rows
  }


CASES = {
    'ucf101': Case(
        lambda root, videos, lists: trees.make_ucf(root, videos, lists, False),
        ['Apply Eye Makeup', 'Handstand Pushups', 'Yo Yo'],
        _numbered(trees.clip_key, trees.CLASSES),
        (
            'UCF-101 ucfTrainTestlist',
            'ucf101_video/UCF-101-video ucf101_video/ucfTrainTestlist',
            'UCF101/UCF-101 ucfTrainTestlist', '. splits',
            'UCF-101 ucfTrainTestlist UCF-101', 'UCF-101 ucfTrainTestlist ..',
        ),  # fmt: skip
        by_folder=True,
    ),
    'hmdb51': Case(
        official_trees.make_hmdb,
        ['climb stairs', 'flic flac', 'sword'],
        _numbered(official_trees.hmdb_key, official_trees.HMDB_CLIPS, _hmdb),
        (
            'videos test_train_splits',
            'hmdb51/video_data hmdb51/test_train_splits',
            'hmdb51_org testTrainMulti_7030_splits',
            'videos test_train_splits videos', '. splits',
            'videos testTrainMulti_7030_splits ..',
        ),  # fmt: skip
        by_folder=True,
    ),
    'arid': Case(
        official_trees.make_arid,
        ['Drink', 'Push', 'Wave'],
        _numbered(official_trees.arid_key, ['Drink', 'Push', 'Wave'], _arid),
        (
            'clips_v1.5 list_cvt',
            'ARID_v1_5_211015/clips_v1.5 ARID_v1_5_211015/list_cvt',
            'clips_v1.5 list_cvt clips_v1.5', '. lists',
            'clips_v1.5 list_cvt ..',
        ),  # fmt: skip
        by_folder=True,
    ),
    'egtea': Case(
        official_trees.make_egtea,
        list(official_trees.EGTEA_CLASSES),
        _numbered(official_trees.egtea_key, range(3)),
        (
            'cropped_clips action_annotation',
            'egtea/cropped_clips egtea/action_annotation',
            'cropped_clips action_annotation cropped_clips', 'videos lists',
            'cropped_clips action_annotation ..',
        ),  # fmt: skip
    ),
    'epic_kitchens100': Case(
        _make_epic,
        list(epic_tree.VERBS),
        _epic,
        (
            f'. {_EPIC_LISTS}', f'EPIC-KITCHENS EPIC-KITCHENS/{_EPIC_LISTS}',
            '. annotations', f'. {_EPIC_LISTS} ..',
        ),  # fmt: skip
        own=lambda key: key,
    ),
    'kinetics': Case(
        _make_kinetics,
        sorted(kinetics_tree.CLASSES),
        _kinetics,
        (
            '. annotations', 'k600 k600/annotations',
            'kinetics-dataset/k400 kinetics-dataset/k400/annotations', '. .',
            '. annotations ..',
        ),  # fmt: skip
    ),
    'ssv2': Case(
        _make_ssv2,
        [t.replace('[', '').replace(']', '') for t in ssv2_tree.TEMPLATES],
        _ssv2,
        (
            '20bn-something-something-v2 labels',
            'SSv2/20bn-something-something-v2 labels', 'videos annotations',
            'videos labels videos', '20bn-something-something-v2 labels ..',
        ),  # fmt: skip
    ),
}


def make(case, root, place=0):
  videos, lists, below, *_ = *case.places[place].split(), ''
  root.mkdir(parents=True, exist_ok=True)
  case.make(root, videos, lists)
  return root.parent if below == '..' else root / below


def read(name, root, split=1, roles=None, report=None, **values):
  data = trees.data_config(name=name, root=str(root), **values)
  return datasets.read(data, split, report, *([roles] if roles else []))


def check(clips, wanted):
  """The clips end in these keys (the folder of videos may be a higher one)."""
  for record, (key, label) in zip(clips.records, wanted.items(), strict=True):
    assert record.key.endswith(key) and record.label == label


def own_list(path, case, wanted):
  """A list of one's own with these numbers."""
  lines = []
  for key, label in wanted.items():
    file, _, times = case.own(key).partition('@')
    times = times.split('-') if times else []
    lines.append('\t'.join([file, str(label), *times]))
  path.write_text('\n'.join(lines) + '\n')
  return str(path)
