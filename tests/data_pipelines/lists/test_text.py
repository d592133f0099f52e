"""Text files in any usual encoding, with line ends of any kind."""

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import class_files, grammars, text

TEXT = 'Fußball/café.mp4 0\nsit/b.mp4 1\n'
ENCODINGS = {
    'utf-8': TEXT.encode(),
    'utf-8 with a mark': TEXT.encode('utf-8-sig'),
    'utf-16': TEXT.encode('utf-16'),
    'utf-16 big-endian': b'\xfe\xff' + TEXT.encode('utf-16-be'),
    'utf-16 without a mark': TEXT.encode('utf-16-le'),
    'utf-32': TEXT.encode('utf-32'),
    'cp1252': TEXT.encode('cp1252'),
    'old Macs': TEXT.replace('\n', '\r').encode(),
    'Windows': TEXT.replace('\n', '\r\n').encode(),
    'mixed': TEXT.replace('\n', '\r\n', 1).encode(),
}


@pytest.mark.parametrize('name', ENCODINGS)
def test_every_encoding_and_line_end(name, tmp_path, capsys):
  file = tmp_path / f'{name}.txt'
  file.write_bytes(ENCODINGS[name])
  items = grammars.read(file, 'key').items
  found = [(i.path, i.label, i.line) for i in items]
  assert found == [('Fußball/café.mp4', 0, 1), ('sit/b.mp4', 1, 2)]
  told = capsys.readouterr().out
  assert ('cp1252' in told) == (name == 'cp1252')


@pytest.mark.parametrize('data', [b'a\x81\xe9\n', b'\x7fELF\xff\1', b'\0\1\2'])
def test_what_is_no_text_is_refused(data, tmp_path):
  (tmp_path / 'list').write_bytes(data)
  with pytest.raises(UserError, match='not a text file'):
    grammars.read(tmp_path / 'list', 'key')
  with pytest.raises(UserError, match='not a text file'):
    class_files.read(tmp_path / 'list')


def test_a_table_with_old_line_ends(tmp_path):
  for end in ('\r', '\r\n', '\n'):
    (tmp_path / 'a.csv').write_bytes(
        end.join(['path,label', 'a.mp4,run', '"b, c.mp4",sit']).encode()
    )
    items = grammars.read(tmp_path / 'a.csv', 'key').items
    assert [(i.path, i.label) for i in items] == [
        ('a.mp4', 'run'), ('b, c.mp4', 'sit'),
    ]  # fmt: skip
    rows = list(text.rows(tmp_path / 'a.csv', ('path', 'label')))
    assert rows[1] == (3, {'path': 'b, c.mp4', 'label': 'sit'})
