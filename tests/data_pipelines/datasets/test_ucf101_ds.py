"""UCF101-DS: classes and shifts told by names, the list of EZ-CLIP."""

import pytest

from data_pipelines.datasets import ucf101_ds
from data_pipelines.errors import UserError
from tests.data_pipelines.datasets.cases import read
from tests.data_pipelines.trees import write_clips, write_lines

# Names as they are in EZ-CLIP's list, with its labels.
NAMES = {
    'Haircut_outdoors+pov_6ISpq9FGavM-14-of-22': (
        33, 'scene: outdoors', 'viewpoint: pov'),
    'Apply_Eye_Makeup_old_person_N7qeBNPGI10-18-of-56': (
        0, 'actor: old_person'),
    'Haircut_pov__b4qRltrIIE-69-of-69': (33, 'viewpoint: pov'),
    'Apply_Eye_Makeup_unusual_4V9lXh6NkN4-3-1-of-2': (0, 'other: unusual'),
    'Basketball_Shooting_at_late_night_7zBrbdU_y0s-3-of-7': (
        7, 'light: at_late_night'),
    'Clean_and_Jerk_go_pro+pov_7zBrbdU_y0s-3-of-7': (
        20, 'viewpoint: go_pro', 'viewpoint: pov'),
    'Cutting_In_Kitchen_unusual+outdoors_NcWaRcP5Wc-1-of-1': (
        24, 'other: unusual', 'scene: outdoors'),
    'Hula_Hoop_7zBrbdU_y0s-3-of-7': (42,),
    'Hammer_Throw_in_rain_7zBrbdU_y0s-3-of-7': (35, 'scene: in_rain'),
}  # fmt: skip


@pytest.mark.parametrize('name', NAMES)
def test_names_tell_class_and_shifts(name):
  label, *tags = NAMES[name]
  assert ucf101_ds.class_of(f'frames/{name}') == ucf101_ds.CLASSES[label]
  assert list(ucf101_ds.tags_of(f'{name}.mp4')) == tags


def test_other_names_have_no_shifts():
  for name in ('v_Haircut_g01_c01.avi', 'a/b.mp4', 'walk_slow_1-of-2.mp4'):
    assert ucf101_ds.tags_of(name) == ()


@pytest.fixture(params=['folders of classes', 'flat'])
def root(request, tmp_path):
  lines = []
  for name, (label, *_) in NAMES.items():
    own = '' if request.param == 'flat' else f'{ucf101_ds.CLASSES[label]}/'
    write_clips(tmp_path / 'UCF101-DS', f'{own}{name}.mp4')
    lines.append(f'/media/somebody/UCF_101-DS/{name} 120 {label}')
  write_lines(tmp_path / 'test_DS.txt', *lines)
  return tmp_path


def test_the_list_of_ez_clip_is_read(root):
  data = read('ucf101_ds', root, roles=('val', 'test'))
  assert data.train is None and len(data.class_names) == 101
  records = data.tests['test'].records
  assert [r.label for r in records] == [label for label, *_ in NAMES.values()]


def test_there_is_nothing_to_train_on(root):
  with pytest.raises(UserError, match='It is for scoring'):
    read('ucf101_ds', root)
