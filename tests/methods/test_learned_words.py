"""Trained words: how they begin, and several texts per class."""

import jax
import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.methods import coop, heads
from evclip_jax.weights import vocabulary
from tests.methods import tiny


def made(**settings):
  method = coop.make(coop.Settings(**settings), tiny.backbones(False), ('a',))
  params = tiny.params(False)
  params['method'] = method.init(jax.random.key(0))
  return method, params


def test_initial_words_are_embeddings_of_clip():
  method, params = made(words_init='a video of', words=9)
  ids = {'a video of': [30, 4, 7, 9, 31, 0]}
  own = method.start(
      params['method'], params, lambda texts: np.array([ids[t] for t in texts])
  )
  table = params['clip']['text']['token_embedding']
  np.testing.assert_array_equal(own['words'], table[[4, 7, 9]])
  assert own['words'].shape == params['method']['words'].shape
  assert method.class_texts(['play_ing!']) == [['a video of play ing.']]
  method, params = made(words_init='unicycling films')
  encode = vocabulary.load_tokenizer('tiny').encode
  with pytest.raises(UserError, match="'unicycling films' has 2 words of"):
    method.start(params['method'], params, encode)


def test_texts_of_a_class_are_encoded_one_by_one():
  method, params = made()
  tokens = tiny.tokens(2)
  text = jax.jit(method.text)
  both = text(params, tokens)
  for m in range(2):
    alone = text(params, tokens[m : m + 1])[0]
    np.testing.assert_allclose(both[m], alone, atol=1e-5)
  # Their normalised embeddings are averaged.
  video = jax.random.normal(jax.random.key(1), (2, tiny.CLIP.embed_dim))
  rows = heads.normalise_rows(both).mean(0)
  rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
  units = video / np.linalg.norm(video, axis=-1, keepdims=True)
  found = heads.cosine_score(2.0, video, both)
  np.testing.assert_allclose(found, 2 * units @ rows.T, atol=1e-5)
