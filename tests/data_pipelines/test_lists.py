"""List files: grammars, their mistakes, the plain form, overlaps."""

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import class_files, classes, grammars
from data_pipelines.lists import clips as records
from data_pipelines.lists.clips import ClipList, ClipRecord


def read(tmp_path, text, name='list.txt'):
  path = tmp_path / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return grammars.read(path, 'data.train_list')


def triples(listing):
  return [(i.path, i.label, i.start, i.end) for i in listing.items]


def test_path_and_number_with_spaces_windows_line_ends_and_bom(tmp_path):
  text = b'\xef\xbb\xbfv_A_g01_c01.avi 0\r\n\r\nmy clip 2.avi\t1 \r\n'
  assert triples(read(tmp_path, text)) == [
      ('v_A_g01_c01.avi', 0, None, None),
      ('my clip 2.avi', 1, None, None),
  ]


def test_paths_alone(tmp_path):
  listing = read(tmp_path, 'A/v one.avi\nB\\v.avi\n')
  assert triples(listing) == [
      ('A/v one.avi', None, None, None),
      ('B/v.avi', None, None, None),
  ]
  assert [i.line for i in listing.items] == [1, 2]


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


def test_table_quotes_and_numbers(tmp_path):
  listing = read(tmp_path, 'path,label\n"a, b.mp4",3\n')
  assert triples(listing) == [('a, b.mp4', 3, None, None)]


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
        ('path,label\na.mp4,\n', 'line 2: the path or the label is empty'),
        ('path,label,start\na.mp4,run,soon\n', "line 2: start must be seconds"),
        ('path,label,start,end\na,run,3,2\n', 'line 2: end 2 must be greater'),
        ('a.mp4\tx\n', 'line 1: wanted path<TAB>label'),
        (records.HEADER + '\na.mp4\t0\t1\n', 'line 2: wanted path<TAB>label'),
        ('# evclip_jax clip list 9\na\t0\n', 'another version'),
        (b'\x80\x04\x95pickle', 'not a text file'),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, text, message):
  with pytest.raises(UserError, match=message) as error:
    read(tmp_path, text)
  assert 'list.txt' in str(error.value)


def test_missing_list_names_the_key(tmp_path):
  with pytest.raises(UserError, match=r'nowhere.txt \(data.test_list\) does'):
    grammars.read(tmp_path / 'nowhere.txt', 'data.test_list')


def test_list_may_lie_in_the_data_folder(tmp_path):
  (tmp_path / 'mine.txt').write_text('a.avi 0\n')
  assert len(grammars.read('mine.txt', 'key', str(tmp_path)).items) == 1


def test_plain_form_reads_back_the_same(tmp_path):
  clips = ClipList(
      'train',
      (
          ClipRecord('a dir/é clip.mp4', 1),
          ClipRecord('film.mp4', 0, 0.1, 2),
          ClipRecord('film.mp4', 0, 12.25, None),
      ),
      'mine.csv',
  )
  path = tmp_path / 'new' / 'train.txt'
  clips.write(path)
  listing = grammars.read(path, 'key')
  again = ClipList(
      'other name',
      tuple(
          ClipRecord(i.path, i.label, i.start, i.end) for i in listing.items
      ),
  )
  assert again.records == clips.records
  assert again.hash == clips.hash
  assert clips.hash in path.read_text()
  assert [r.key for r in clips.records[1:]] == [
      'film.mp4@0.1-2', 'film.mp4@12.25-',
  ]  # fmt: skip


def test_hash_sees_order_label_and_times():
  a, b = ClipRecord('a', 0), ClipRecord('b', 0)
  hashes = {
      ClipList('x', r).hash
      for r in [(a, b), (b, a), (a,), (ClipRecord('a', 1), b),
                (ClipRecord('a', 0, 1, 2), b)]
  }  # fmt: skip
  assert len(hashes) == 5


def test_a_clip_twice_is_refused():
  clips = ClipList(
      'train', (ClipRecord('a', 0), ClipRecord('a', 1)), 'mine.txt'
  )
  with pytest.raises(UserError, match=r"mine.txt.*'a' twice.*labels 0 and 1"):
    records.without_repeats(clips)
  pieces = (ClipRecord('a', 0, 0, 2), ClipRecord('a', 0, 1, 3))
  pieces = ClipList('train', pieces)
  assert records.without_repeats(pieces) is pieces


def test_overlap_is_refused_and_named():
  train = ClipList('train', (ClipRecord('a', 0), ClipRecord('b', 0)), 't.txt')
  test = ClipList('test', (ClipRecord('c', 0), ClipRecord('b', 0)), 'v.txt')
  with pytest.raises(UserError, match="1 of 2 clips of the test list.*'b'"):
    records.check_disjoint(train, test, 'Cut one.')


def test_pieces_of_a_film_overlap_only_if_their_times_do():
  first = ClipList('train', (ClipRecord('film', 0, 0, 5),))
  apart = ClipList('test', (ClipRecord('film', 0, 5, 9),))
  inside = ClipList('test', (ClipRecord('film', 0, 4.5, 9),))
  whole = ClipList('test', (ClipRecord('film', 0),))
  records.check_disjoint(first, apart, '')
  for other in (inside, whole):
    with pytest.raises(UserError, match='film'):
      records.check_disjoint(first, other, '')


@pytest.mark.parametrize(
    ('raw', 'clean'),
    [
        ('ApplyEyeMakeup', 'Apply Eye Makeup'),
        ('YoYo', 'Yo Yo'),
        ('brush_hair', 'brush hair'),
        ('Basketball_Dunk', 'Basketball Dunk'),
        ('turn-on', 'turn-on'),
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
        'id,name\r\n0,run fast\r\n1,YoYo\r\n',
        '1 run fast\n2 YoYo\n',
    ],
)
def test_class_name_files(tmp_path, text):
  (tmp_path / 'names').write_text(text)
  assert class_files.read(tmp_path / 'names') == ['run fast', 'YoYo']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'no class names'),
        ('id,name\n0,a\n2,b\n', 'ids must be 0..1'),
        ('a b\nA_b\n', 'have the same name'),
    ],
)
def test_wrong_class_name_files(tmp_path, text, message):
  (tmp_path / 'names').write_text(text)
  with pytest.raises(UserError, match=message):
    class_files.read(tmp_path / 'names')


def test_published_lists(shared):
  splits = shared / 'splits'
  for name, count in (('ucf', 101), ('hmdb', 51)):
    for shots in (2, 8, 16):
      file = splits / 'vifi' / name / f'train1_few_shot_{shots}.txt'
      items = grammars.read(file, 'key').items
      assert len(items) == count * shots
      assert {i.label for i in items} == set(range(count))
  labels = class_files.read(splits / 'vifi' / 'labels' / 'ucf_101_labels.csv')
  assert len(labels) == 101
  assert labels[0] == 'ApplyEyeMakeup'
