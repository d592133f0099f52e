"""List files: the grammars of every kind of list, and their mistakes."""

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import clips as records
from data_pipelines.lists import grammars

EZ = """\
/media/a/UCF_101/v_Typing_g10_c04 256 0
/media/b/UCF_101/v_Typing_g20_c07 216 0
/media/a/my clips/v_Punch 1 300 1
"""
EGTEA = """\
OP01-R01-PastaSalad-66680-68130-F001597-F001640 1 1 3 12
OP01-R01-PastaSalad-68130-69840-F001641-F001691 106 7 3
"""
EPISODES_A = 'train0/51958\ntrain12/103723\ntrain1/511\n'
EPISODES_B = """\
test0//videos/fencing/1899_Hamlet__fencing_f_cm_np2_le_med_0.avi
test1//videos/kick ball/(Rad)Schlag_die_Bank!_0.avi
"""


def read(tmp_path, lines):
  path = tmp_path / 'list.txt'
  path.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
  return grammars.read(path, 'data.train_list')


def triples(listing):
  return [(i.path, i.label, i.start, i.end) for i in listing.items]


def brief(listing):
  return [(i.path.rsplit('/', 1)[-1], i.label) for i in listing.items]


def test_paths_with_numbers_and_alone(tmp_path):
  lines = b'\xef\xbb\xbfv_A_g01_c01.avi 0\r\n\r\nmy clip 2.avi\t1 \r\n'
  assert brief(read(tmp_path, lines)) == [
      ('v_A_g01_c01.avi', 0), ('my clip 2.avi', 1),
  ]  # fmt: skip
  items = read(tmp_path, 'A/v one.avi\nB\\v.avi\n').items
  assert [(i.path, i.label, i.line) for i in items] == [
      ('A/v one.avi', None, 1), ('B/v.avi', None, 2),
  ]  # fmt: skip


@pytest.mark.parametrize('mark', [',', '\t', ';'])
def test_table_with_header_in_any_order(tmp_path, mark):
  rows = [
      ['label', 'path', 'note', 'end', 'start'],
      ['open door', 'a b.mp4', 'x', '2.5', '1'],
      ['run', 'c.mp4', '', '', ''],
  ]
  text = '\n'.join(mark.join(row) for row in rows)
  assert triples(read(tmp_path, text)) == [
      ('a b.mp4', 'open door', 1.0, 2.5),
      ('c.mp4', 'run', None, None),
  ]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'holds no clips'),
        ('\n\n', 'holds no clips'),
        ('a.avi 0\nb.avi\n', "line 2: wanted a path and a number.*'b.avi'"),
        ('a.avi\nb.avi 1\n', 'line 2: wanted a path only'),
        ('a.avi\nb.avi 1\nc.avi 1\n', 'line 1: wanted a path and a number'),
        ('a.avi -1\n', 'line 1: the label -1 is negative'),
        ('a.mp4,run\nb.mp4,run\n', 'a CSV needs a first line'),
        ('path,class\na,b\n', 'wanted the columns path and label'),
        ('path,label\na.mp4\n', 'line 2: wanted 2 columns'),
        ('path,label\n"a"b,run\n', 'list.txt, line 2: .*expected'),
        ('path,label\na,1\nb,nan\n', r'line 3: the label is missing \(nan'),
        ('path,label\na.mp4,\n', 'line 2: the path or the label is empty'),
        ('path,label,start\na.mp4,run,soon\n', "line 2: start must be seconds"),
        ('path,label,start,end\na,run,3,2\n', 'line 2: end 2 must be greater'),
        ('a.mp4\tx\n', 'line 1: wanted path<TAB>label'),
        (records.HEADER + '\na.mp4\t0\t1\n', 'line 2: wanted path<TAB>label'),
        ('# evclip_jax clip list 9\na\t0\n', 'another version'),
        *((f'a\t0\tframes 1:2\nb\t0\t{piece}\n', 'line 2.*frames FIRST:STOP')
          for piece in ('frames 9:9', 'frames :', 'frames 9:3', 'frames x:3',
                        '9:12')),
        (b'\x80\x04\x95pickle', 'not a text file'),
        ('a.mp4,3\nb.mp4,1\n', 'a CSV needs a first line'),
        ('[' + '{"id": 1}, ' * 20_000 + ']', 'JSON is not read'),
        ('[\n {\n  "path": "a.mp4"\n }\n]', 'JSON is not read'),
        ('{ "a.mp4": 0,\n  "b.mp4": 1 }', 'JSON is not read'),
        (EZ + '/a/b 3\n', 'line 4: wanted a folder of frames'),
        (EZ + '/a/b 0 1\n', 'line 4: wanted a folder of frames'),
        (EZ + '/a/b x 1\n', 'line 4: wanted a folder of frames'),
        (EPISODES_A + 'val0/12\n', 'line 4: wanted train<class>/<video id>'),
        (EPISODES_A + 'train/12\n', 'line 4: wanted train<class>/<video id>'),
        (EPISODES_A + 'clip.avi 3\n', 'line 4: wanted train<class>/<video'),
        ('train/123\ntrain0/124\n', 'line 1: wanted train<class>'),
        ('test0/1\ntrain0/124\ntrain1/125\n', 'line 1: wanted train<class>'),
        (EGTEA + 'OP01-R01-Pasta-1-2-F1-F2\n', 'line 3: wanted <clip> <act'),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_line(tmp_path, text, message):
  with pytest.raises(UserError, match=message) as error:
    read(tmp_path, text)
  assert 'list.txt' in str(error.value)


def test_missing_list_names_the_key(tmp_path):
  with pytest.raises(UserError, match=r'nowhere.txt \(data.test_list\) does'):
    grammars.read(tmp_path / 'nowhere.txt', 'data.test_list')


def test_ez_clip_lists(tmp_path):
  listing = read(tmp_path, EZ)
  assert brief(listing) == [
      ('v_Typing_g10_c04', 0), ('v_Typing_g20_c07', 0), ('v_Punch 1', 1)
  ]
  assert listing.items[2].path == '/media/a/my clips/v_Punch 1'
  assert listing.by_name


def test_whole_seconds_in_the_plain_form_are_no_frame_counts(tmp_path):
  listing = read(tmp_path, 'film.mp4\t0\t2\t7\nfilm.mp4\t1\t7\t9\n')
  assert triples(listing) == [('film.mp4', 0, 2, 7), ('film.mp4', 1, 7, 9)]


def test_episode_lists_of_ids_and_of_paths(tmp_path):
  ids, paths = read(tmp_path, EPISODES_A), read(tmp_path, EPISODES_B)
  assert brief(ids) == [('51958', 0), ('103723', 12), ('511', 1)]
  assert (ids.split, paths.split) == ('train', 'test')
  assert [i.class_name for i in ids.items] == ['', '', '']
  assert paths.items[1].path == 'videos/kick ball/(Rad)Schlag_die_Bank!_0.avi'
  assert [(i.label, i.class_name) for i in paths.items] == [
      (0, 'fencing'), (1, 'kick ball'),
  ]  # fmt: skip


@pytest.mark.parametrize(
    ('labels', 'wanted'),
    [
        (['0.0', '1.0', '12.0'], [0, 1, 12]),
        (['1', '1.0'], [1, 1]),
        (['0.', '1.00', '2.3e+01'], [0, 1, 23]),
        (['1_0', '2'], ['1_0', 2]),
        (['1.0', '1.5'], ['1.0', '1.5']),
        (['1', 'run'], [1, 'run']),
        (['007', '²'], [7, '²']),
    ],
)
def test_numbers_as_pandas_writes_them(tmp_path, labels, wanted):
  rows = [f'{k}.mp4,{label}' for k, label in enumerate(labels)]
  listing = read(tmp_path, '\n'.join(['path,label', *rows]))
  assert [i.label for i in listing.items] == wanted
  if all(isinstance(k, int) for k in wanted):
    text = ''.join(f'a/{k}.mp4 {label}.0\n' for k, label in enumerate(wanted))
    assert [i.label for i in read(tmp_path, text).items] == wanted


def test_official_lists_of_egtea(tmp_path):
  listing = read(tmp_path, EGTEA)
  assert brief(listing) == [
      ('OP01-R01-PastaSalad-66680-68130-F001597-F001640', 1),
      ('OP01-R01-PastaSalad-68130-69840-F001641-F001691', 106),
  ]
  assert (listing.first_number, listing.by_name) == (1, True)


def test_the_real_list_of_egtea_is_no_list_of_frames(shared):
  for role, count in (('train', 8299), ('test', 2022)):
    file = shared / 'annotations' / 'egtea' / f'{role}_split1.txt'
    listing = grammars.read(file, 'key')
    assert len(listing.items) == count
    assert {i.label for i in listing.items} == set(range(1, 107))
    first = file.read_text().splitlines()[0].split()
    assert brief(listing)[0] == (first[0], int(first[1]))
