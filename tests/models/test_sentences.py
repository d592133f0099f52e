"""VideoPrism's tokenizer: the original's ids, and vocabularies refused."""

import json
import pathlib

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.models.videoprism import tokenizer
from evclip_jax.weights import vocabulary

DATA = pathlib.Path(__file__).parent / 'data'
VOCABULARY = DATA / 'videoprism_test_spm.model'
CASES = json.loads((DATA / 'videoprism_spm_tokens.json').read_text())['cases']


@pytest.fixture(scope='module')
def sentences():
  return tokenizer.read(VOCABULARY)


@pytest.mark.parametrize('case', CASES, ids=lambda case: case['text'][:20])
def test_ids_are_the_originals(sentences, case):
  assert tokenizer.canonical(case['text']) == case['canonical']
  if len(case['ids']) == 64 and len(case['canonical']) > 64:
    with pytest.raises(UserError, match='VideoPrism reads 64'):
      sentences.encode([case['text']])
    return
  (row,) = sentences.encode([case['text']])
  np.testing.assert_array_equal(row[row >= 0], case['ids'])


def test_vocabularies_that_are_refused(tmp_path):
  load = vocabulary.load_sentences
  with pytest.raises(UserError, match='download videoprism_vocab'):
    load('', str(tmp_path), 'random:0', 1000)
  with pytest.raises(UserError, match=r'no\.model cannot be read'):
    load(str(tmp_path / 'no.model'), '', 'random:0', 1000)
  text = tmp_path / 'text.model'
  text.write_text('not a model')
  with pytest.raises(UserError, match='SentencePiece model'):
    load(str(text), '', 'random:0', 1000)
  with pytest.raises(UserError, match='has 1,000 ids, .* know 32,000'):
    load(str(VOCABULARY), '', 'x.npz', 32_000)
  assert len(load(str(VOCABULARY), '', 'random:0', 32_000)) == 1000
