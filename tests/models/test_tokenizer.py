"""CLIP's tokenizer, with CLIP's own vocabulary and with a small one."""

import gzip
import json
import pathlib

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes, tokenizer
from evclip_jax.models.clip.tokenizer import Tokenizer, clean
from evclip_jax.weights import published
from evclip_jax.weights.vocabulary import load_tokenizer
from tests.models import small

GOLDEN = pathlib.Path(__file__).parent / 'data' / 'tokenizer.json'
TEXTS = ['a video of a spinning cube.', "don't stop the cube", 'a red ball 42']


@pytest.fixture(scope='module')
def little():
  return Tokenizer(tokenizer.learn(TEXTS * 3, 60))


@pytest.fixture(scope='module')
def full(shared):
  return Tokenizer(tokenizer.read(shared / 'clip_vocab'))


@pytest.mark.parametrize(
    'entry', json.loads(GOLDEN.read_text()), ids=lambda e: e['text'][:20]
)
def test_golden_ids(full, entry):
  ids = entry['ids']
  # The original cut long texts to 77 ids.
  assert [49406, *full.ids(entry['text'])[:75], 49407] == ids
  if len(ids) < 77:
    (row,) = full.encode([entry['text']])
    assert row.tolist() == ids + [0] * (77 - len(ids))


@pytest.mark.parametrize(
    ('text', 'ids'),
    [
        ('A video of turn-on.', [320, 1455, 539, 2105, 268, 525, 269]),
        ('abseiling', [596, 567, 3299]),
        ('a photo of hurling (sport)', [320, 1125, 539, 24738, 263, 2364, 264]),
        ('!!<|startoftext|>', None),
    ],
)
def test_ids_in_the_specifications(full, text, ids):
  found = full.ids(text)
  assert len(full.vocabulary) == 49408
  # Within a run of other characters it is not a special id.
  assert found == ids if ids else 49406 not in found


def test_both_forms_of_the_vocabulary_agree(full, tmp_path):
  ours = full.vocabulary
  tokenizer.write_json(ours, tmp_path / 'tokenizer.json')
  (tmp_path / 'pair').mkdir()
  (tmp_path / 'pair' / 'vocab.json').write_text(json.dumps(ours.ids))
  (tmp_path / 'pair' / 'merges.txt').write_text(
      '\n'.join(['#version: 0.2', *map(' '.join, ours.merges), ''])
  )
  for path in (tmp_path / 'tokenizer.json', tmp_path / 'pair'):
    found = tokenizer.read(path)
    assert (found.ids, found.merges) == (ours.ids, ours.merges)


def test_learnt_vocabulary_has_clips_form(little):
  found = little.vocabulary
  assert found.ids['!'] == 0 and found.ids['!</w>'] == 256
  assert found.ids[tokenizer.END] == len(found) - 1
  assert len(found) == 514 + len(found.merges)
  # Words of its texts are one symbol.
  assert little.ids('Cube') == [found.ids['cube</w>']]


def test_any_text_can_be_encoded_and_read_back(little):
  symbols = {i: s for s, i in little.vocabulary.ids.items()}
  ids = little.ids('Zebra ☃ naïve 日本')
  words = ''.join(symbols[i] for i in ids).split('</w>')
  assert words[0] == 'zebra'
  assert set(''.join(words)) <= set(tokenizer.byte_symbols())
  assert len(words) == 5


def test_row_is_start_ids_end_zeros(little):
  ids = little.vocabulary.ids
  start, end = ids[tokenizer.START], ids[tokenizer.END]
  six = Tokenizer(little.vocabulary, 6)
  out = six.encode(['cube', '', '<|endoftext|> cube'])
  cube = ids['cube</w>']
  assert out.dtype == np.int32
  assert out.tolist() == [
      [start, cube, end, 0, 0, 0],
      [start, end, 0, 0, 0, 0],
      [start, end, cube, end, 0, 0],
  ]
  assert little.encode([]).shape == (0, 77)


def test_cleaning():
  assert clean('  A &amp;amp; B\n\tc ') == 'a & b c'
  assert clean('â€œquotedâ€\x9d cafe\u0301') == '"quoted" café'


def test_a_text_that_does_not_fit_is_refused(little):
  assert little.encode(['cube ' * 75]).all()
  with pytest.raises(UserError, match='has 78 ids .* CLIP takes 77'):
    little.encode(['cube ' * 76])


def zipped(text):
  # Without a time, which would be part of the test's name.
  return gzip.compress(text, mtime=0)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', '0 merges'),
        (b'\x1f\x8bbroken', 'not a CLIP vocabulary'),
        (b'{"model": {}}', 'not a CLIP vocabulary'),
        (b'{broken', 'not a CLIP vocabulary'),
        (b'{"model": {"vocab": {"a": 0}, "merges": []}}', 'lacks 513 symbols'),
        (b'{"model": {"vocab": {"a": 7}, "merges": []}}', 'without gaps'),
        (b'{"model": {"vocab": [], "merges": []}}', 'not a CLIP vocabulary'),
        (b'{"model": {"vocab": {"a": 0.0}, "merges": []}}', 'without gaps'),
        (b'{"a":' * 9999, 'not a CLIP vocabulary'),
        (b'\xff\xfe\x00', 'not a CLIP vocabulary'),
        (zipped(b'header\na b\n'), '1 merges, wanted 48,894'),
        (zipped(b'header\n' + 48894 * b'a b c\n'), 'not a CLIP'),
        (
            zipped(b'\n'.join(b'%d a' % i for i in range(48895))),
            "lacks .* symbols, such as '10'",
        ),
    ],
)
def test_broken_vocabularies_are_refused(tmp_path, content, message):
  path = tmp_path / 'some.file'
  path.write_bytes(content)
  with pytest.raises(UserError, match=message):
    load_tokenizer(str(path))


def test_missing_vocabularies_are_refused(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for vocab, weights, message in (
      ('nowhere.gz', '', r'nowhere.gz.*clip\.vocab'),
      ('.', '', 'holds no vocabulary'),
      ('', 'ViT-B/16', 'evclip_jax.download vocab'),
  ):
    with pytest.raises(UserError, match=message):
      load_tokenizer(vocab, str(tmp_path), weights)


def test_vocabulary_and_weights_must_belong_together(little, tmp_path):
  path = tmp_path / 'tokenizer.json'
  tokenizer.write_json(little.vocabulary, path)
  with pytest.raises(UserError, match=r'weights x.pt know 49,408'):
    load_tokenizer(str(path), '', 'x.pt', sizes.TABLE['ViT-B/16'])
  with pytest.raises(UserError, match=r'weights random:0 know 20'):
    load_tokenizer(str(path), '', 'random:0', small.VIT)
  # Random weights have learnt no ids. The cache folder is looked into, too.
  for vocab in (str(path), ''):
    found = load_tokenizer(
        vocab, str(tmp_path), 'random:0', sizes.TABLE['RN50']
    )
    assert found.vocabulary.ids == little.vocabulary.ids
    assert found.context_length == 77


def test_packaged_vocabulary_serves_packaged_and_random_weights(
    little, tmp_path, monkeypatch
):
  path = tmp_path / 'tiny.json'
  tokenizer.write_json(little.vocabulary, path)
  monkeypatch.setattr(published, 'packaged', lambda name: path)
  empty = str(tmp_path / 'cache')
  for vocab, weights in (('', 'tiny'), ('', 'random:1'), ('tiny', 'x.pt')):
    found = load_tokenizer(vocab, empty, weights)
    assert found.vocabulary.source == str(path)
