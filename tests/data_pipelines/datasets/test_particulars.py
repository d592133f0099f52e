"""What is particular to one data set: its files, odd names and mirrors."""

import json
import shutil

import pytest

from data_pipelines.datasets import hmdb51, kinetics, ssv2
from data_pipelines.errors import UserError
from tests.data_pipelines import (
  kinetics_tree,
  official_trees,
  pictures,
  ssv2_tree,
  trees,
)
from tests.data_pipelines.datasets.cases import CASES, check, make, read
from tests.data_pipelines.trees import write_lines

ARID = 'list_cvt/split_0/split0_train.txt'
EGTEA = 'action_annotation/train_split1.txt'
EGTEA_NAMES = 'action_annotation/raw_annotations/cls_label_index.csv'
EPIC = 'epic-kitchens-100-annotations/EPIC_100_train.csv'
VERBS = 'epic-kitchens-100-annotations/EPIC_100_verb_classes.csv'
HMDB = 'test_train_splits/sword_test_split1.txt'
KINETICS = 'annotations/train.csv'
SSV2, SSV2_NAMES = 'labels/train.json', 'labels/labels.json'
HEAD = '# Action ID; Action Label\n'


def paths(clips):
  return [r.path for r in clips.records]


def labels(clips):
  return [r.label for r in clips.records]


def change(file, how):
  """Appends '+text', writes '=text', or replaces 'old=>new'."""
  text = file.read_text()
  old, arrow, new = how.partition('=>')
  if arrow:
    assert old in text
    return text.replace(old, new)
  return text + how[1:] if how[0] == '+' else how[1:]


@pytest.mark.parametrize(
    ('name', 'file', 'how', 'message'),
    [
        ('arid', ARID, '+9\tDrink\n', 'line 7: wanted tab-separated columns'),
        ('egtea', EGTEA, '+OP01-R01-x-1-2-F1-F2\n', 'line 10: wanted <clip>'),
        ('egtea', EGTEA, ' 3 9 => 4 9 ', r'label 4 is out of range: .* 1\.\.3'),
        ('egtea', EGTEA_NAMES, f'={HEAD}2; a\n3; b\n4; c\n', r'or.* 2\.\.4'),
        ('egtea', EGTEA_NAMES, f'={HEAD}1; a\n3; b\n4; c\n', 'first or the'),
        ('egtea', EGTEA_NAMES, f'={HEAD}0; a\n1; b\n1; c\n', 'line 4.* twice'),
        ('egtea', EGTEA_NAMES, f'={HEAD}0; a\n1; b\nc\n', 'line 4: .*<number>'),
        ('egtea', EGTEA_NAMES, f'={HEAD}0; a\n1; b\n2; A\n', 'the same name'),
        ('egtea', EGTEA_NAMES, f'={HEAD}', 'found 0 numbers'),
        ('hmdb51', HMDB, '=a.avi 1\nb.avi 7\n', "txt, line 2: .*'b.avi 7'"),
        ('kinetics', KINETICS, '+\xe9\x07', r'n\.csv cannot be read: .*UTF-8'),
        ('kinetics', KINETICS, '+air drumming,eeee', 'line 6: wanted 5 cells'),
        ('kinetics', KINETICS, '=label,youtube_id\nx,y\n', 'columns label,'),
        ('kinetics', KINETICS, '=label,youtube_id,time_start,time_end\nx,y,a,b',
         "line 2: wanted times .* 'a' and 'b'"),
        ('ssv2', SSV2, '=[{', 'cannot be read as JSON'),
        ('ssv2', SSV2, '=[{"id": "20"}]', 'entry 1: wanted an id and a templ'),
        ('ssv2', SSV2_NAMES, '"1"=>"2"', 'each of them once'),
        ('ssv2', SSV2_NAMES, '=[1]', 'wanted classes with numbers from 0'),
        ('epic_kitchens100', EPIC, 'verb_class=>verbs', 'line 1: wanted the'),
        ('epic_kitchens100', EPIC, '+P01,x', 'line 6: wanted 15 cells'),
        ('epic_kitchens100', EPIC, ',take,0,=>,take,-1,', "line 5: .*'-1'"),
        ('epic_kitchens100', EPIC, '00:00:00.20=>soon', 'line 2: wanted the'),
        ('epic_kitchens100', VERBS, '+\xe9\x07', 'cannot be read'),
        ('epic_kitchens100', VERBS, '\n1,=>\n5,', "found '5' and 'put'"),
        ('epic_kitchens100', VERBS, 'id,key=>id,name', 'the columns id, key'),
    ],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, name, file, how, message):
  root = make(CASES[name], tmp_path)
  (root / file).write_bytes(change(root / file, how).encode('latin-1'))
  with pytest.raises(UserError, match=message) as error:
    read(name, root)
  assert file.rsplit('/', 1)[-1] in str(error.value)


@pytest.mark.parametrize(
    ('name', 'file', 'how'),
    [
        ('arid', ARID, '0\t0=>index\tlabel\tpath\r\n0\t0'),
        ('ucf101', 'ucfTrainTestlist/trainlist01.txt', '\n=>\r\n'),
        ('kinetics', KINETICS, '+   \n'),
        ('kinetics', KINETICS, '+,,,,\n , , , , \n\n'),
        ('kinetics', KINETICS, 'label,=>\ufefflabel,'),
        ('epic_kitchens100', EPIC, '+' + ',' * 14 + '\n'),
        ('epic_kitchens100', EPIC, 'narration_id=>\ufeffnarration_id'),
        ('egtea', EGTEA_NAMES, '='
         + ''.join(f'{k}; {n}\n' for k, n in enumerate(CASES['egtea'].names))),
    ],
)  # fmt: skip
def test_files_that_are_a_little_otherwise(tmp_path, name, file, how):
  case = CASES[name]
  root = make(case, tmp_path)
  (root / file).write_bytes(change(root / file, how).encode())
  data = read(name, root)
  assert data.class_names == case.names
  check(data.train, case.lists('train', 1))


@pytest.mark.parametrize('below', ['{parent}', 'frames', 'rawframes'])
@pytest.mark.parametrize('name', ['ucf101', 'hmdb51', 'kinetics', 'ssv2'])
def test_folders_of_images(tmp_path, name, below):
  """Clips as folders of images, with class folders or without."""
  case = CASES[name]
  root = make(case, tmp_path)
  videos = root / case.videos
  for file in list(videos.rglob('*')):
    if file.suffix in ('.avi', '.mp4', '.webm'):
      folder = root / below if below != '{parent}' else file.parent
      pictures.write(folder / file.stem, 2, 'img_{:05d}.jpg')
      file.unlink()
  if below != '{parent}' and videos != root:
    shutil.rmtree(videos)
  data = read(name, root)
  assert data.class_names == case.names
  wanted = case.lists('train', 1)
  found = [p.rsplit('/', 1)[-1] for p in paths(data.train)]
  assert found == [k.rsplit('/', 1)[-1].rsplit('.', 1)[0] for k in wanted]
  assert labels(data.train) == list(wanted.values())


@pytest.mark.parametrize('name', ['ucf101', 'hmdb51', 'arid'])
def test_one_flat_folder_of_videos(tmp_path, name):
  """The files' own names tell the classes; converted ones are found too."""
  case = CASES[name]
  root = make(case, tmp_path)
  videos = root / case.videos
  (videos / 'all').mkdir()
  for file in list(videos.glob('*/*.*')):
    file.rename(videos / 'all' / f'{file.stem}.mkv')
  data = read(name, root)
  assert data.class_names == case.names
  assert labels(data.train) == list(case.lists('train', 1).values())


def test_few_classes_are_numbered_anew(tmp_path):
  root = make(CASES['ucf101'], tmp_path / 'ucf')
  classes = ('ApplyEyeMakeup', 'YoYo')
  train = trees.write_vifi(tmp_path / 'train.txt', (3, 2), classes)
  test = trees.write_vifi(tmp_path / 'test.txt', (1,), classes)
  data = read('ucf101', root, train_list=train, test_list=test)
  assert data.class_names == ['Apply Eye Makeup', 'Yo Yo']
  assert data.train.counts() == {0: 2, 1: 2}
  everything = trees.write_vifi(tmp_path / 'all.txt', (1,))
  with pytest.raises(UserError, match="without a .*'HandstandPushups'"):
    read('ucf101', root, train_list=train, test_list=everything)
  names = write_lines(tmp_path / 'n', *trees.CLASSES)
  data = read('ucf101', root, train_list=train, class_names=names)
  assert (len(data.class_names), data.train.counts()) == (3, {0: 2, 2: 2})


def test_other_words_for_the_same_classes(tmp_path):
  root = make(CASES['ucf101'], tmp_path / 'ucf')
  words = 'putting on eye shadow', 'pushing up upside down', 'yo-yoing'
  names = write_lines(tmp_path / 'names', *words)
  assert read('ucf101', root, class_names=names).class_names == list(words)
  write_lines(tmp_path / 'names', 'a', 'b')
  with pytest.raises(UserError, match="'a' is not a class of UCF-101"):
    read('ucf101', root, class_names=names)


def test_a_class_file_cut_to_some_classes(tmp_path):
  root = make(CASES['ucf101'], tmp_path)
  folder = root / 'ucfTrainTestlist'
  write_lines(folder / 'classInd.txt', '1 ApplyEyeMakeup', '3 YoYo')
  for file in folder.glob('t*list01.txt'):
    lines = [x for x in file.read_text().splitlines() if 'Handst' not in x]
    write_lines(file, *lines)
  for roles in (None, ('test',)):
    data = read('ucf101', root, roles=roles)
    assert data.class_names == ['Apply Eye Makeup', 'Yo Yo']


def test_the_class_of_a_clip_of_hmdb51():
  for name, raw in (
      ('a/x_draw_sword_f_cm_np1_ba_med_1.avi', 'draw_sword'),
      ('a/draw_SWORD_sword_f_cm_np1_ba_med_1.avi', 'sword'),
      ('a/kick_kick_ball_f_cm_np1_ba_med_1.mp4', 'kick_ball'),
      ('Brush hair/x_wave_f_cm_np1_ba_med_1.avi', 'Brush hair'),
      ('a/x_draw_sword_f_cm_np1_ba_med_1', 'draw_sword'), ('a/x.avi', 'a'),
  ):  # fmt: skip
    assert hmdb51.class_of(name) == raw


def test_a_split_file_of_no_class_of_hmdb51(tmp_path):
  root = make(CASES['hmdb51'], tmp_path)
  (root / HMDB).rename(root / HMDB.replace('sword', 'dancing'))
  with pytest.raises(UserError, match="'dancing' is not a class of HMDB51"):
    read('hmdb51', root)


def test_arid_without_a_validation_list_or_with_a_cut_list(tmp_path):
  root = make(CASES['arid'], tmp_path / 'arid')
  cut = (root / ARID).read_text().splitlines()[::2]
  data = read('arid', root, train_list=write_lines(tmp_path / 'few.txt', *cut))
  assert len(data.train.records) == len(data.val.records) == 3
  (root / 'list_cvt' / 'split_0' / 'split0_others.txt').unlink()
  assert read('arid', root).val is None
  other = official_trees.make_arid(tmp_path / 'other', index=False)
  assert paths(read('arid', other).train)[0] == 'Drink/Drink_1_2.mp4'


def test_names_of_egtea_in_the_other_file(tmp_path):
  root = make(CASES['egtea'], tmp_path)
  (root / EGTEA_NAMES).unlink()
  with pytest.raises(UserError, match='cls_label_index.csv with the'):
    read('egtea', root)
  names = [f'{n} {k}' for k, n in enumerate(CASES['egtea'].names, 1)]
  write_lines(root / 'action_annotation/action_idx.txt', *names)
  assert read('egtea', root).class_names == CASES['egtea'].names


@pytest.mark.parametrize('first', [0, 1])
def test_names_of_egtea_cut_to_some_classes(tmp_path, first):
  root = make(CASES['egtea'], tmp_path)
  # The last class tells that the numbers begin with 1.
  rows = {first: '"Take; bowl"', first + 2: 'Take bowl', 105 + first: 'Wash'}
  if not first:
    del rows[105]
  rows = (f'{k}; {name}; verb' for k, name in rows.items())
  write_lines(root / EGTEA_NAMES, *rows)
  for file in (root / 'action_annotation').glob('t*_split1.txt'):
    lines = [x for x in file.read_text().splitlines() if x.split()[1] != '2']
    write_lines(file, *lines)
  data = read('egtea', root)
  assert data.class_names == ['Take; bowl', 'Take bowl']
  assert data.train.counts() == {0: 3, 1: 3}


@pytest.mark.parametrize(('suffix', 'first'), [('', 1), ('.mp4', 0)])
def test_lists_of_egtea_with_two_columns(tmp_path, suffix, first):
  """Without suffixes as the official ones, which count from 1."""
  lists = {}
  for key, number in (('train_list', 2), ('test_list', 1)):
    clips = (official_trees.egtea_clip(k, number) for k in range(2))
    lines = (f'{c}{suffix} {k}' for k, c in enumerate(clips, first))
    lists[key] = write_lines(tmp_path / f'{key}.txt', *lines)
  data = read('egtea', make(CASES['egtea'], tmp_path), **lists)
  assert data.class_names == CASES['egtea'].names[:2]


@pytest.mark.parametrize(
    'form',
    [
        '{role}/{name}/{clip}.mp4',
        '{role}_256/{under}/{clip}.mp4',
        '{role}_256/{name}/{id}.mkv',
        'K400/videos/videos_{role}/{name}/{id}_{start}_{end}.webm',
        'videos/{id}.mp4',
        '{clip}.mp4',
    ],
)
def test_mirrors_of_kinetics(tmp_path, form):
  def place(role, name, video, start):
    clip = kinetics_tree.file_name(video, start)[:-4]
    under = name.replace(' ', '_')
    times = {'start': start, 'end': start + 10}
    return form.format(
        role=role, name=name, under=under, clip=clip, id=video, **times
    ).removeprefix(top)

  top = 'K400/videos/' * form.startswith('K400')
  kinetics_tree.write_clips(tmp_path / top, place)
  kinetics_tree.write_lists(tmp_path / 'annotations')
  data = read('kinetics', tmp_path)
  assert data.class_names == CASES['kinetics'].names
  assert paths(data.train) == [
      place('train', kinetics_tree.CLASSES[k], video, start)
      for video, start, k in kinetics_tree.TRAIN
  ]
  assert labels(data.tests['test']) == [0, 2]


@pytest.mark.parametrize(
    ('test', 'form', 'folder'),
    [
        ('validate', '{}', 'kinetics600'),
        ('val', 'kinetics-400_{}', '.'),
        ('val', 'kinetics_{}', 'Kinetics/annotations'),
        ('validation', 'kinetics_600_{}', 'k600/annotations'),
        ('val', 'kinetics700_{}', 'kinetics-dataset/k700/annotations'),
    ],
)
def test_names_of_the_lists_of_kinetics(tmp_path, test, form, folder):
  kinetics_tree.write_clips(tmp_path)
  kinetics_tree.write_lists(tmp_path / folder, test, form)
  data = read('kinetics', tmp_path)
  assert len(data.train.records) == 4
  assert data.tests['test'].origin == f'{form.format(test)}.csv'


def test_numbers_and_replacements_of_kinetics(tmp_path):
  root = make(CASES['kinetics'], tmp_path)
  names = root / 'annotations' / 'kinetics_400_labels.csv'
  lines = (f'{k},{name}' for k, name in enumerate(kinetics_tree.CLASSES))
  write_lines(names, 'id,name', *lines)
  clip = kinetics_tree.file_name('aaaaaaaaaaa', 138)
  trees.write_clips(root, better := f'replacement/for_corrupted/{clip}')
  data = read('kinetics', root)
  assert data.class_names == list(kinetics_tree.CLASSES)
  assert data.train.records[2].path == better
  # A written list names its files exactly.
  own = f'train/{kinetics_tree.file_name("aaaaaaaaaaa", 137)}'
  assert kinetics.Videos(root).find(own) == own


def test_other_times_of_a_video_are_another_clip(tmp_path):
  kinetics_tree.write_clips(tmp_path)
  name = kinetics_tree.file_name('aaaaaaaaaaa', 138)
  assert kinetics.Videos(tmp_path).find(name) is None
  store = kinetics.Videos(trees.write_clips(tmp_path, f'train/{name}'))
  assert store.find(name) == f'train/{name}'
  with pytest.raises(UserError, match=r"/aaaaaaaaaaa\.mkv', which could be"):
    store.find('val_256/x/aaaaaaaaaaa.mkv')


def test_older_names_and_answers_of_ssv2(tmp_path):
  ssv2_tree.write_labels(tmp_path / 'annotations', 'something-something-v2-')
  numbers = dict(ssv2_tree.TRAIN + ssv2_tree.TEST)
  trees.write_clips(tmp_path / 'videos', *(f'{n}.mp4' for n in numbers))
  data = read('ssv2', tmp_path)
  assert paths(data.train)[0] == '1.mp4'
  answers = tmp_path / 'annotations' / 'test-answers.csv'
  answers.write_text(answers.read_text() + '  ;\n  \n')
  other = read('ssv2', tmp_path, test_list=str(answers))
  assert other.tests['test'].records == data.tests['test'].records
  answers.write_bytes(answers.read_bytes() + b'4;caf\xe9\n')
  with pytest.raises(UserError, match="line 5: the class 'café'"):
    read('ssv2', tmp_path, test_list=str(answers))


def test_labels_of_ssv2_cut_to_some_classes(tmp_path):
  root = make(CASES['ssv2'], tmp_path)
  ssv2_tree.write_labels(root / 'labels', train=ssv2_tree.TRAIN[1:3])
  numbers = json.loads((root / SSV2_NAMES).read_text())
  some = {name: k for name, k in numbers.items() if k != '0'}
  (root / SSV2_NAMES).write_text(json.dumps(some))
  data = read('ssv2', root)
  assert data.class_names == list(map(ssv2.template, ssv2_tree.TEMPLATES[1:]))
