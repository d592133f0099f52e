"""Kinetics in the layouts of its mirrors, with lists in the official form."""

import pytest

from data_pipelines import datasets
from data_pipelines.datasets import kinetics
from data_pipelines.errors import UserError
from tests.data_pipelines import kinetics_tree as tree
from tests.data_pipelines import pictures, trees


def read(root, report=None, **values):
  data = trees.data_config(name='kinetics', root=str(root), **values)
  return datasets.read(data, 1, report)


def pairs(clips):
  return [(r.path, r.label) for r in clips.records]


@pytest.mark.parametrize(
    'place',
    [
        tree.official,
        lambda role, name, video, start: (
            f'{role}/{name}/{tree.file_name(video, start)}'
        ),
        lambda role, name, video, start: (
            f'{role}_256/{name.replace(" ", "_")}/'
            f'{tree.file_name(video, start)}'
        ),
        lambda role, name, video, start: f'{role}_256/{name}/{video}.mkv',
        lambda role, name, video, start: f'videos/{video}.mp4',
        lambda role, name, video, start: tree.file_name(video, start),
    ],
    ids=['official', 'classes', 'underscores', 'bare', 'one-folder', 'flat'],
)
def test_mirrors(tmp_path, place):
  tree.write_clips(tmp_path, place)
  tree.write_lists(tmp_path / 'annotations')
  data = read(tmp_path)
  # Sorted, as the classes of Kinetics always are.
  assert data.class_names == [
      'air drumming',
      'playing guitar',
      'shaking hands',
  ]
  number = {0: 1, 1: 0, 2: 2}
  assert pairs(data.train) == [
      (place('train', tree.CLASSES[k], video, start), number[k])
      for video, start, k in tree.TRAIN
  ]
  assert [r.label for r in data.tests['test'].records] == [0, 2]


@pytest.mark.parametrize(
    ('form', 'rule'),
    [
        ('{role}/{name}/{clip}', ''),
        ('frames/{role}/{name}/{clip}', ''),
        ('rawframes/{id}', ''),
        # No usual place.
        ('a/b/{role}/{name}/{clip}', r'\.mp4$=>'),
    ],
)
def test_mirrors_of_pictures(tmp_path, form, rule):
  def places(role, rows):
    return [
        form.format(
            role=role, name=tree.CLASSES[k], id=video,
            clip=tree.file_name(video, start)[:-4],
        )
        for video, start, k in rows
    ]  # fmt: skip

  for role, rows in zip(('train', 'val'), tree.ROWS, strict=True):
    for place in places(role, rows):
      pictures.write(tmp_path / place, 2, 'img_{:05d}.jpg')
  tree.write_lists(tmp_path / 'annotations')
  data = read(tmp_path, path_rule=rule)
  assert [
      data.store.media(r.path) for r in data.train.records
  ] == [str(tmp_path / p) for p in places('train', tree.TRAIN)]
  assert len(data.tests['test'].records) == 2


@pytest.mark.parametrize(
    ('test', 'form', 'folder'),
    [
        ('validate', '{}', 'kinetics600'),
        ('val', 'kinetics-400_{}', '.'),
        ('validation', 'kinetics_600_{}', 'k600/annotations'),
    ],
)
def test_names_of_the_lists(tmp_path, test, form, folder):
  tree.write_clips(tmp_path, tree.official)
  tree.write_lists(tmp_path / folder, test, form)
  data = read(tmp_path)
  assert (len(data.train.records), len(data.tests['test'].records)) == (
      4,
      2,
  )
  # The names of the files that were read.
  assert data.tests['test'].origin == f'{form.format(test)}.csv'


def test_numbered_names_give_the_order(tmp_path):
  tree.write_clips(tmp_path, tree.official)
  tree.write_lists(tmp_path / 'annotations')
  lines = ['id,name', *(f'{k},{name}' for k, name in enumerate(tree.CLASSES))]
  file = tmp_path / 'annotations' / 'kinetics_400_labels.csv'
  file.write_text('\n'.join(lines))
  data = read(tmp_path)
  assert data.class_names == list(tree.CLASSES)
  assert [r.label for r in data.train.records] == [0, 1, 2, 0]


def test_replacements_are_preferred(tmp_path):
  tree.write_clips(tmp_path, tree.official)
  tree.write_lists(tmp_path / 'annotations')
  better = 'replacement/replacement_for_corrupted_k400/' + tree.file_name(
      'aaaaaaaaaaa', 138
  )
  (tmp_path / better).parent.mkdir(parents=True)
  (tmp_path / better).write_bytes(b'clip')
  data = read(tmp_path)
  assert data.train.records[2].path == better
  # A written list names its files exactly.
  own = f'train/{tree.file_name("aaaaaaaaaaa", 137)}'
  assert kinetics.Videos(tmp_path).find(own) == own


def test_other_times_of_a_film_are_another_clip(tmp_path):
  tree.write_clips(tmp_path, tree.official)
  store = kinetics.Videos(tmp_path)
  assert store.find(tree.file_name('aaaaaaaaaaa', 138)) is None
  (tmp_path / 'train' / tree.file_name('aaaaaaaaaaa', 138)).write_bytes(b'clip')
  store = kinetics.Videos(tmp_path)
  assert store.find(tree.file_name('aaaaaaaaaaa', 138)).endswith(
      '138_000148.mp4'
  )
  with pytest.raises(UserError, match=r"/aaaaaaaaaaa\.mkv', which could be"):
    store.find('val_256/x/aaaaaaaaaaa.mkv')


def test_a_list_that_is_none(tmp_path):
  tree.write_clips(tmp_path, tree.official)
  tree.write_lists(tmp_path / 'annotations')
  own = tmp_path / 'own.csv'
  own.write_text('label,youtube_id\nx,y\n')
  with pytest.raises(UserError, match='wanted the columns label, youtube_id'):
    read(tmp_path, train_list=str(own))
  own.write_text('label,youtube_id,time_start,time_end\nx,y,a,b\n')
  with pytest.raises(UserError, match="line 2: wanted times .* 'a' and 'b'"):
    read(tmp_path, train_list=str(own))


@pytest.mark.parametrize('blank', ['   ', ',,,,', ' , , , , ', ''])
def test_blank_rows_are_left_out(tmp_path, blank):
  tree.write_clips(tmp_path, tree.official)
  tree.write_lists(tmp_path / 'annotations')
  file = tmp_path / 'annotations' / 'train.csv'
  file.write_text(file.read_text() + f'{blank}\n')
  assert len(read(tmp_path).train.records) == 4


def test_a_list_that_is_no_text_or_is_cut(tmp_path):
  tree.write_clips(tmp_path, tree.official)
  tree.write_lists(tmp_path / 'annotations')
  file = tmp_path / 'annotations' / 'train.csv'
  whole = file.read_bytes()
  file.write_bytes(whole + b'\xe9\x07')
  with pytest.raises(UserError, match=r'train\.csv cannot be read: .*UTF-8'):
    read(tmp_path)
  file.write_bytes(whole + b'air drumming,eeee')
  with pytest.raises(UserError, match=r'train\.csv, line 6: wanted 5 cells'):
    read(tmp_path)
