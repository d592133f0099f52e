"""Class names: as words, in files, and which of them are the same."""

import json
import os

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import class_files, classes
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import ClipList, ClipRecord


@pytest.mark.parametrize(
    ('raw', 'clean'),
    [
        ('ApplyEyeMakeup', 'Apply Eye Makeup'),
        ('YoYo', 'Yo Yo'),
        ('brush_hair', 'brush hair'),
        ('Basketball_Dunk', 'Basketball Dunk'),
        ('turn-on', 'turn-on'),
        (os.fsdecode(b'caf\xe9_au lait'), 'caf\u00e9 au lait'),
        (' Inspect/Read recipe', 'Inspect/Read recipe'),
        ('Moving [something] and McDonald', 'Moving [something] and McDonald'),
    ],
)
def test_class_names_become_words(raw, clean):
  assert classes.clean(raw) == clean


@pytest.mark.parametrize(
    'text',
    [
        'run fast\nYoYo\n',
        '"run fast"\n"YoYo"\n',
        'id,key,instances\n0,run fast,"[\'run\', \'race\']"\n1,YoYo,[]\n',
        ',id,name\n0,0,run fast\n1,1,YoYo\n',
        'id,name\r\n0,run fast\r\n1,YoYo\r\n',
        '1 run fast\n2 YoYo\n',
        '0 run fast\n1 YoYo\n',
        '0,run fast\n1,YoYo\n',
        '1;run fast\n2;YoYo\n',
        ',name\n0,run fast\n1,YoYo\n',
        '0.0,run fast\n1.0,YoYo\n',
        'label\tclass\n1\tYoYo\n0\trun fast\n',
        'id,name\n0,"run fast"\n1,YoYo\n',
        '"0","run fast"\n"1","YoYo"\n',
        '0: run fast\n1: YoYo\n',
        '0|run fast\n1|YoYo\n',
        '1. run fast\n2. YoYo\n',
        '0 - run fast\n1 - YoYo\n',
        '1) run fast\n2) YoYo\n',
        'YoYo,1\nrun fast,0\n',
        'name;id\nrun fast;0\nYoYo;1\n',
    ],
)
def test_class_name_files(tmp_path, text):
  (tmp_path / 'names').write_text(text)
  assert class_files.read(tmp_path / 'names') == ['run fast', 'YoYo']


def test_a_number_may_be_part_of_a_name(tmp_path):
  names = ['3 fingers', '1 finger', '2 fingers']
  (tmp_path / 'names').write_text('\n'.join(names))
  assert class_files.read(tmp_path / 'names') == names


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'no class names'),
        ('id,name\n0,a\n2,b\n', 'ids must be 0..1'),
        ('id,name\n0,a\n0,b\n', 'new number and a name'),
        ('a b\nA_b\n', 'have the same name'),
        ('caf\u00e9\ncafe\u0301\n', 'have the same name'),
    ],
)
def test_wrong_class_name_files(tmp_path, text, message):
  (tmp_path / 'names').write_text(text)
  with pytest.raises(UserError, match=message):
    class_files.read(tmp_path / 'names')


def test_a_number_that_is_no_class_fills_no_memory():
  with pytest.raises(UserError, match="'b' has the number 1000000000000"):
    classes.with_gaps({0: 'a', 10**12: 'b'}, 0)


@pytest.mark.parametrize(
    ('found', 'names', 'wanted'),
    [
        (['C', 'C++', 'C#'], ['C#', 'C', 'C++'], [1, 2, 0]),
        (['C', 'C++'], ['C', 'Java'], [0, None]),
        (['turn_+90', 'turn_-90'], ['turn -90', 'turn +90'], [1, 0]),
        (['HandStandPushups'], ['HandstandPushups'], [0]),
        (['brush_hair', 'Kick'], ['kick', 'Brush hair'], [1, 0]),
        # NFD, as macOS writes names, against NFC.
        (['cafe\u0301'], ['caf\u00e9'], [0]),
        (['caf\u00e9', 'cafe\u0301'], ['cafe\u0301', 'caf\u00e9'], [1, 0]),
        (['+', '-'], ['-', '+'], [1, 0]),
        (['+'], ['-'], [None]),
        ([''], [''], [None]),
    ],
)
def test_exact_names_win_and_others_match_if_nothing_else_may(
    found, names, wanted
):
  known = classes.match(found, names)
  assert [known.get(name) for name in found] == wanted


@pytest.mark.parametrize(
    ('found', 'names', 'message'),
    [
        (['turn_+90', 'turn_-90'], ['turn 90'], r"turn_\+90.*turn_-90"),
        (['turn90'], ['turn +90', 'turn -90'], r'turn \+90.*turn -90'),
        (['a_b', 'A b'], ['a B'], "'a_b' and 'A b'"),
    ],
)
def test_a_loose_match_of_several_names_both(found, names, message):
  with pytest.raises(UserError, match=message):
    classes.match(found, names)


def test_a_looser_match_is_said(capsys):
  classes.match(['brush_hair'], ['Brush Hair'], tell=True)
  assert not capsys.readouterr().out
  classes.match(['turn_on'], ['turn-on'], tell=True)
  assert "'turn_on' for 'turn-on'" in capsys.readouterr().out


def test_names_for_each_list(tmp_path):
  (tmp_path / 'base.csv').write_text('id,name\n0,run\n1,sit\n')
  (tmp_path / 'novel.csv').write_text('id,name\n0,kick\n')
  (tmp_path / 'v.json').write_text(json.dumps({'val': ['wave']}))
  source = f'{tmp_path}/base.csv,novel={tmp_path}/novel.csv,{tmp_path}/v.json'
  assert class_files.read_per_list(source) == {
      '': ['run', 'sit'], 'novel': ['kick'], 'val': ['wave'],
  }  # fmt: skip
  assert class_files.read_per_list('') == {}


@pytest.mark.parametrize(
    ('name', 'counts'),
    [
        ('ssv2_full', {'train': 64, 'test': 24}),
        ('ssv2_small', {'train': 64, 'test': 24}),
        ('kinetics100', {'train': 64, 'test': 24, 'val': 12}),
        ('ucf101', {'train': 70, 'test': 21, 'val': 10}),
        ('hmdb51', {'train': 31, 'test': 10, 'val': 10}),
    ],
)
def test_published_names_of_clip_fsar(name, counts):
  found = class_files.read_per_list(f'clip_fsar/{name}')
  assert {split: len(names) for split, names in found.items()} == counts
  with pytest.raises(UserError, match='clip_fsar/ucf101'):
    class_files.read_per_list('clip_fsar/ucf')


def test_a_number_that_the_class_file_leaves_out(capsys):
  table = Classes.given(('a', '', 'c', 'd'), 'classInd.txt')
  clips = ClipList('test', (ClipRecord('x.mp4', 2),), 'mine.txt')
  names, lists = classes.compact(table, {'test': clips})
  assert names == ['a', 'c', 'd']
  assert lists['test'].records[0].label == 1
  told = capsys.readouterr().out
  assert "2 of 3 classes (classInd.txt) have no clip in any list" in told
  clips = clips.replace([ClipRecord('y.mp4', 1)])
  with pytest.raises(UserError, match='without a name in classInd.*number 1'):
    classes.compact(table, {'test': clips})
