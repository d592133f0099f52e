"""Class descriptions as the original reads them."""

import pytest

from data_pipelines.errors import UserError
from evclip_jax.methods.ez_clip import texts as descriptions
from evclip_jax.weights import vocabulary
from tests.methods.ez_clip import ez_tiny

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
  found = descriptions.read(write(UCF))
  assert found == {
      'ApplyEyeMakeup': 'ApplyEyeMakeup is done, byhumans.',
      'HandstandPushups': 'Upside down.',
  }
  # Also those of another system, and behind a byte-order mark.
  other = b'\xef\xbb\xbf' + UCF.replace('\n', '\r\n').encode()
  assert descriptions.read(write(other)) == found


def test_the_last_row_of_a_name_counts(write):
  rows = '0,run,first\n0,walk,one\n0,run,last\n'
  found = descriptions.read(write(HEADER + rows))
  assert found == {'run': 'last', 'walk': 'one'}
  # Without a header the first row is a class, whatever its number looks like.
  assert descriptions.read(write(rows)) == found
  for number in ('0.0', '-1', ''):
    plain = descriptions.read(write(f'{number},run,a\n  \n1,walk,b\n\n'))
    assert plain == {'run': 'a', 'walk': 'b'}


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
    descriptions.read(write(text))


def test_a_file_that_is_not_there(tmp_path):
  with pytest.raises(UserError, match='method.settings.descriptions'):
    descriptions.read(tmp_path / 'none.csv')


def find(files, names):
  return descriptions.find({p: descriptions.read(p) for p in files}, names)


def test_cleaned_names_are_found(write):
  names = ['Hand Stand Pushups', 'Apply Eye Makeup']
  assert find([write(UCF)], names)[0] == 'Upside down.'


def test_a_name_as_it_is_comes_first(write):
  path = write('1,Run up,left\n2,run-up,right\n')
  assert find([path], ['run-up']) == ['right']
  with pytest.raises(UserError, match="'Run up', 'run-up'"):
    find([path], ['RunUp'])


def test_a_class_without_a_description_is_named(write):
  path = write(UCF + '3,Archery,\n')
  with pytest.raises(UserError, match="'Archery', 'Surfing'.*\n.*texts.csv"):
    find([path], ['Archery', 'ApplyEyeMakeup', 'Surfing'])


def test_a_list_takes_all_its_texts_from_one_file(write):
  first = write('1,archery,of K\n2,run,of K\n', 'k.csv')
  second = write('1,Archery,of U\n2,Surfing,of U\n', 'u.csv')
  assert find([first, second], ['Archery', 'Surfing']) == ['of U', 'of U']
  assert find([first, second], ['Archery', 'run']) == ['of K', 'of K']
  with pytest.raises(UserError, match="'Surfing'"):
    find([first, second], ['run', 'Surfing'])


def test_texts_of_the_method(write):
  path = write(UCF)
  names = ['Apply Eye Makeup', 'Handstand Pushups']
  texts = 'ApplyEyeMakeup is done, byhumans.', 'Upside down.'
  method, _ = ez_tiny.built('deep', descriptions=path)
  assert method.class_texts(names) == [list(texts)]
  method, _ = ez_tiny.built('deep', descriptions=path, name_first=True)
  assert method.class_texts(names)[0][1] == 'Handstand Pushups. Upside down.'
  method, _ = ez_tiny.built('deep')
  prompts = method.class_texts(names)
  assert len(prompts) == 16
  assert prompts[10][0] == 'Look, the human is Apply Eye Makeup'


def test_a_description_that_is_too_long_is_refused_as_the_original_does(write):
  found = vocabulary.load_tokenizer('tiny')
  long = ' '.join(['upside down'] * 90)
  method, _ = ez_tiny.built('deep', descriptions=write(f'1,run,{long}\n'))
  with pytest.raises(UserError, match="'upside down.*CLIP takes 77"):
    found.encode(method.class_texts(['run'])[0])
