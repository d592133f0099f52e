"""Class texts from templates and from EZ-CLIP's descriptions."""

import pytest

from data_pipelines.errors import UserError
from evclip_jax.methods import base, class_texts
from evclip_jax.weights import vocabulary
from tests.methods import tiny

HEADER = 'SNo,Class Name,GPT3 discription\n'
UCF = HEADER + (
    '1,ApplyEyeMakeup,"\n\nApplyEyeMakeup is done, by\nhumans."\n'
    '2,HandstandPushups,"\n\nUpside down."\n'
)


@pytest.fixture
def write(tmp_path):
  def write(text, name='texts.csv'):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)

  return write


def test_line_breaks_are_deleted(write):
  found = class_texts.read(write(UCF))
  assert found == {
      'ApplyEyeMakeup': ['ApplyEyeMakeup is done, byhumans.'],
      'HandstandPushups': ['Upside down.'],
  }
  # The same with line ends of another system, and after a byte-order mark.
  other = b'\xef\xbb\xbf' + UCF.replace('\n', '\r\n').encode()
  assert class_texts.read(write(other)) == found


def test_a_header_is_no_class_and_rows_of_a_name_are_kept(write):
  rows = '0,run,first\n0,walk,one\n0,run,last\n'
  found = class_texts.read(write(HEADER + rows))
  assert found == {'run': ['first', 'last'], 'walk': ['one']}
  # Without a header the first row is a class, whatever its number looks like.
  assert class_texts.read(write(rows)) == found
  for number in ('0.0', '-1', ''):
    plain = class_texts.read(write(f'{number},run,a\n  \n1,walk,b\n\n'))
    assert plain == {'run': ['a'], 'walk': ['b']}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('id,name\n0,run\n', "row 1 is 'id,name' with 2 columns"),
        (HEADER + '1,run\n', "row 2 is '1,run' with 2 columns"),
        (HEADER + '1,run,fast,very\n', 'with 4 columns'),
        (HEADER, 'no descriptions'),
        ('', 'no descriptions'),
        (b'\xff\xfe\x00', 'cannot read'),
    ],
)
def test_files_of_another_form_are_refused(write, text, message):
  with pytest.raises(UserError, match=message):
    class_texts.read(write(text))
  with pytest.raises(UserError, match='method.settings.descriptions'):
    class_texts.read('none.csv')


def make(method, names=('a', 'b'), **settings):
  module = base.load(method)
  settings = module.Settings(**settings)
  networks = tiny.backbones(module.uses_encoder(settings))
  return module.make(settings, networks, names)


def find(files, names, **settings):
  method = make('zero_shot', descriptions=','.join(files), **settings)
  return method.class_texts(names)


def test_names_are_found_as_they_are_or_cleaned(write):
  names = ['Hand Stand Pushups', 'Apply Eye Makeup']
  assert find([write(UCF)], names)[0][0] == 'Upside down.'
  path = write('1,Run up,left\n2,run-up,right\n')
  assert find([path], ['run-up']) == [['right']]
  with pytest.raises(UserError, match="'Run up', 'run-up'"):
    find([path], ['RunUp'])
  path = write(UCF + '3,Archery,\n')
  with pytest.raises(UserError, match="'Archery', 'Surfing'.*\n.*texts.csv"):
    find([path], ['Archery', 'ApplyEyeMakeup', 'Surfing'])


def test_a_list_takes_all_its_texts_from_one_file(write):
  first = write('1,archery,of K\n2,run,of K\n', 'k.csv')
  second = write('1,Archery,of U\n2,Surfing,of U\n', 'u.csv')
  assert find([first, second], ['Archery', 'Surfing']) == [['of U', 'of U']]
  assert find([first, second], ['Archery', 'run']) == [['of K', 'of K']]
  with pytest.raises(UserError, match="'Surfing'"):
    find([first, second], ['run', 'Surfing'])


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        ({}, [['b1', 'a1'], ['b2', 'a1'], ['b3', 'a1']]),
        ({'descriptions_per_class': 'last'}, [['b3', 'a1']]),
        (
            {'descriptions_per_class': 'last', 'name_first': True},
            [['b. b3', 'a. a1']],
        ),
    ],
)
def test_several_descriptions_of_a_class(write, settings, expected):
  path = write('1,b,b1\n2,a,a1\n3,b,b2\n4,b,b3\n')
  assert find([path], ['b', 'a'], **settings) == expected


@pytest.mark.parametrize(
    ('method', 'settings', 'expected'),
    [
        ('zero_shot', {}, 'A video of {}.'),
        ('ev_clip', {}, 'A video of {}.'),
        ('vifi_clip', {}, 'a photo of a {}.'),
        ('clip_fsar', {}, 'a photo of {}'),
        ('aim', {'head': 'text'}, 'a photo of a {}.'),
        ('st_adapter', {'head': 'text'}, 'a photo of a {}.'),
        ('ez_clip', {}, '16 templates'),
        ('coop', {'words': 2}, '2 trained words and {}'),
        ('ev_clip', {'text_prompt': 'coop'}, '16 trained words and {}'),
        ('ivlp', {}, '10 trained words and {}'),
    ],
)
def test_every_method_reads_descriptions(write, method, settings, expected):
  assert make(method, **settings).prompt_set == expected
  path = write('1,a,one.\n2,b,two\n')
  described = make(method, descriptions=path, **settings)
  words, joined, _ = expected.rpartition(' and ')
  assert described.prompt_set == f'{words}{joined}texts.csv'
  (texts,) = described.class_texts(['a', 'b'])
  assert [text.rstrip('.').split()[-1] for text in texts] == ['one', 'two']


def test_descriptions_that_cannot_be_read_are_refused(write):
  with pytest.raises(UserError, match='a linear head reads no texts'):
    make('st_adapter', descriptions=write(UCF))
  found = vocabulary.load_tokenizer('tiny')
  path = write(f'1,run,{" ".join(["upside down"] * 90)}\n')
  with pytest.raises(UserError, match="'upside down.*CLIP takes 77"):
    found.encode(find([path], ['run'])[0])
