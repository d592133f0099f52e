"""Loads the tokenizer for given weights."""

import os
import pathlib

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.clip import tokenizer
from evclip_jax.models.videoprism import tokenizer as sentences
from evclip_jax.weights import published, random_init

_PACKAGED = 'tiny_vocab.json'


def load_tokenizer(
    vocab: str = '',
    cache_dir: str = '',
    weights: str = '',
    sizes: clip_sizes.ClipSizes | None = None,
) -> tokenizer.Tokenizer:
  """Loads the tokenizer for CLIP weights.

  Args:
    vocab: a file or folder (see `tokenizer.read`); 'tiny' = the packaged small
      one; '' = the packaged one for the packaged weights, else the downloaded
      one, else (for random weights only) the packaged one.
    cache_dir: the cache folder; '' = the default one.
    weights: the source of the weights (`Loaded.source`).
    sizes: of the weights; None = check nothing.

  Raises:
    UserError: the vocabulary is missing, broken, or not that of the weights.
  """
  # Random weights were trained on no ids, so a smaller vocabulary is fine too.
  random = random_init.is_random(weights)
  most = sizes.vocab_size if sizes else None

  def fits(found: tokenizer.Vocabulary) -> bool:
    return most is None or len(found) == most or (random and len(found) < most)

  folder = cache_folder(cache_dir)
  if vocab == published.TINY or (not vocab and weights == published.TINY):
    found = tokenizer.read(published.packaged(_PACKAGED))
  elif vocab:
    found = tokenizer.read(pathlib.Path(os.path.expanduser(vocab)))
  else:
    files = [folder / x.filename for x in published.VOCABULARIES.values()]
    kept = (tokenizer.read(path) for path in files if os.path.isfile(path))
    found = next((x for x in kept if fits(x) or not random), None)
  if found is None and random:
    found = tokenizer.read(published.packaged(_PACKAGED))
  if found is None:
    raise UserError(
        f'there is no CLIP vocabulary in {folder}.\n  Get it with '
        f'"{published.command("vocab", cache_dir)}", or set clip.vocab to '
        f'{tokenizer.GZIP_FORM} or {tokenizer.JSON_FORM}.'
    )
  if not fits(found):
    raise UserError(
        f'the vocabulary {found.source} has {len(found):,} ids, but the CLIP '
        f'weights {weights} know {most:,}.\n  Set clip.vocab to the vocabulary '
        'that the weights were trained with.'
    )
  length = sizes.context_length if sizes else clip_sizes.CONTEXT_LENGTH
  return tokenizer.Tokenizer(found, length)


def load_sentences(
    vocab: str, cache_dir: str, weights: str, vocab_size: int
) -> sentences.SentenceTokenizer:
  """Loads the tokenizer of a VideoPrism video-text model.

  Args:
    vocab: a SentencePiece file; '' = the downloaded one.
    cache_dir: the cache folder; '' = the default one.
    weights: the source of the weights (`Loaded.source`).
    vocab_size: number of ids of the weights.

  Raises:
    UserError: the vocabulary is missing, broken, or not that of the weights.
  """
  name = published.VIDEOPRISM_VOCABULARY
  path = cache_folder(cache_dir) / published.find(name).filename
  if vocab:
    path = pathlib.Path(os.path.expanduser(vocab))
  elif not os.path.isfile(path):
    raise UserError(
        f'there is no VideoPrism vocabulary at {path}.\n  Get it with '
        f'"{published.command(name, cache_dir)}", or set encoder.vocab to its '
        'SentencePiece file.'
    )
  found = sentences.read(path)
  random = random_init.is_random(weights)
  if len(found) > vocab_size or (len(found) < vocab_size and not random):
    raise UserError(
        f'the vocabulary {path} has {len(found):,} ids, but the weights '
        f'{weights} know {vocab_size:,}.\n  Set encoder.vocab to the '
        'vocabulary that the weights were trained with.'
    )
  return found
