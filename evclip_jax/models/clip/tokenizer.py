"""Turns texts into CLIP's ids, with a vocabulary file of any form."""

import dataclasses
import functools
import gzip
import html
import json
import os
import pathlib
import re
import zlib
from collections.abc import Iterable, Sequence

import ftfy
import numpy as np
import tokenizers

from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes

START = '<|startoftext|>'
END = '<|endoftext|>'
# Suffix of the symbols that end a word.
WORD_END = '</w>'

GZIP_FORM = 'bpe_simple_vocab_16e6.txt.gz'
JSON_FORM = 'tokenizer.json'
PAIR_FORM = ('vocab.json', 'merges.txt')
# OpenAI never used the rest of the 262,144 merges in the file.
_MERGES_USED = 48894
_WANTED = (
    f'Wanted {GZIP_FORM}, {JSON_FORM}, or a folder with one of them or with '
    f'{PAIR_FORM[0]} and {PAIR_FORM[1]}.'
)

Merge = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """Holds the symbols and merges of byte-pair encoding.

  Attributes:
    ids: symbol -> id, without gaps. END has the largest, since the text tower
      reads a text out at its largest id.
    merges: pairs of symbols, most frequent first.
    source: where it came from, for messages.
  """

  ids: dict[str, int]
  merges: tuple[Merge, ...]
  source: str

  def __len__(self) -> int:
    return len(self.ids)


class Tokenizer:
  """Turns texts into rows of ids.

  Attributes:
    vocabulary: symbols, ids and merges.
    context_length: L, ids per text.
  """

  def __init__(
      self, vocabulary: Vocabulary, context_length: int = sizes.CONTEXT_LENGTH
  ):
    self.vocabulary = vocabulary
    self.context_length = context_length
    self._split = splitter()
    self._model = tokenizers.models.BPE(
        vocab=vocabulary.ids,
        merges=list(vocabulary.merges),
        end_of_word_suffix=WORD_END,
    )
    self._special = {s: vocabulary.ids[s] for s in (START, END)}

  def encode(self, texts: Sequence[str]) -> np.ndarray:
    """Returns start, ids, end and zeros for each text, int32 [len(texts), L].

    Raises:
      UserError: a text has more than L ids.

    Source: openai/CLIP, clip/clip.py, tokenize.
    Differs: a text that does not fit is always an error.
    """
    out = np.zeros((len(texts), self.context_length), np.int32)
    for row, text in zip(out, texts, strict=True):
      ids = [self._special[START], *self.ids(text), self._special[END]]
      if len(ids) > len(row):
        raise UserError(
            f'the text {text[:60]!r}... has {len(ids)} ids with start and '
            f'end; CLIP takes {len(row)}. Shorten it.'
        )
      row[: len(ids)] = ids
    return out

  def ids(self, text: str) -> list[int]:
    """Returns the ids of one text, without start and end."""
    found = []
    for word, _ in self._split.pre_tokenize_str(clean(text)):
      if word in self._special:
        found.append(self._special[word])
      else:
        found += [token.id for token in self._model.tokenize(word)]
    return found


def clean(text: str) -> str:
  """Repairs encodings and HTML entities, and joins words by single spaces.

  Returns:
    The text in lower case.

  Source: openai/CLIP, clip/simple_tokenizer.py, basic_clean and
    whitespace_clean.
  Differs: none.
  """
  # Twice, since pages that quote pages escape '&' again.
  text = html.unescape(html.unescape(ftfy.fix_text(text)))
  return re.sub(r'\s+', ' ', text.strip()).strip().lower()


@functools.cache
def byte_symbols() -> tuple[str, ...]:
  """Returns the printable character that stands for each byte, in order.

  Printable bytes come first, as themselves, then all others, as characters
  from 256 on.

  Source: openai/CLIP, clip/simple_tokenizer.py, bytes_to_unicode.
  Differs: none.
  """
  printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
  others = [b for b in range(256) if b not in printable]
  shifted = [256 + n for n in range(len(others))]
  return tuple(map(chr, printable + shifted))


def _alphabet() -> list[str]:
  """Lists the symbols of bytes, first within and then at the end of words."""
  return [*byte_symbols(), *(b + WORD_END for b in byte_symbols())]


def from_merges(merges: Iterable[Merge], source: str) -> Vocabulary:
  """Numbers the symbols of bytes, then of merges, then start and end.

  Source: openai/CLIP, clip/simple_tokenizer.py, SimpleTokenizer.
  Differs: none.
  """
  merges = tuple(merges)
  symbols = [*_alphabet(), *(a + b for a, b in merges), START, END]
  ids = {symbol: i for i, symbol in enumerate(symbols)}
  return _checked(Vocabulary(ids, merges, source))


def learn(texts: Sequence[str], merges: int) -> Vocabulary:
  """Learns merges from cleaned texts.

  Args:
    texts: in lower case.
    merges: how many; the texts may have fewer pairs.

  Returns:
    A vocabulary with 514 ids more than merges.
  """
  engine = tokenizers.Tokenizer(
      tokenizers.models.BPE(end_of_word_suffix=WORD_END)
  )
  engine.pre_tokenizer = splitter()
  # Numbered beforehand: the trainer would number word ends in any order, and
  # equally frequent pairs are sorted by number.
  alphabet = _alphabet()
  trainer = tokenizers.trainers.BpeTrainer(
      vocab_size=len(alphabet) + merges,
      special_tokens=alphabet,
      end_of_word_suffix=WORD_END,
      show_progress=False,
  )
  engine.train_from_iterator(texts, trainer)
  found = json.loads(engine.to_str())['model']['merges']
  return from_merges([_pair(m) for m in found[:merges]], 'learnt')


def splitter() -> tokenizers.pre_tokenizers.PreTokenizer:
  """Makes a splitter of cleaned text into words, with bytes as symbols.

  Words are contractions, runs of letters, single digits, and runs of other
  characters except spaces.

  Source: openai/CLIP, clip/simple_tokenizer.py, SimpleTokenizer.
  Differs: none.
  """
  words = tokenizers.Regex(
      r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|"
      r'\p{L}+|\p{N}|[^\s\p{L}\p{N}]+)'
  )
  return tokenizers.pre_tokenizers.Sequence([
      tokenizers.pre_tokenizers.Split(words, 'removed', invert=True),
      tokenizers.pre_tokenizers.ByteLevel(
          add_prefix_space=False, use_regex=False
      ),
  ])


def write_json(vocabulary: Vocabulary, path: str | pathlib.Path):
  """Writes a vocabulary as a `tokenizer.json`."""
  model = {
      'type': 'BPE',
      'end_of_word_suffix': WORD_END,
      'vocab': vocabulary.ids,
      'merges': [list(pair) for pair in vocabulary.merges],
  }
  text = json.dumps({'version': '1.0', 'model': model}, ensure_ascii=False)
  pathlib.Path(path).write_text(text + '\n', 'utf-8')


def read(path: str | pathlib.Path) -> Vocabulary:
  """Reads a vocabulary of any form.

  Args:
    path: `bpe_simple_vocab_16e6.txt.gz` (or unpacked), `tokenizer.json`,
      `vocab.json` or `merges.txt` with the other beside it, or a folder.

  Raises:
    UserError: the file is missing or is not a CLIP vocabulary.
  """
  path = pathlib.Path(path)
  if os.path.isdir(path):
    path = _in_folder(path)
  try:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b'\x1f\x8b' else raw).decode()
    if path.name in PAIR_FORM:
      text = path.with_name(PAIR_FORM[0]).read_text('utf-8')
      lines = path.with_name(PAIR_FORM[1]).read_text('utf-8').splitlines()
      merges = tuple(map(_pair, filter(None, lines[1:])))
      return _checked(Vocabulary(json.loads(text), merges, str(path)))
    if text.startswith('{'):
      model = json.loads(text)['model']
      merges = tuple(map(_pair, model['merges']))
      return _checked(Vocabulary(model['vocab'], merges, str(path)))
    lines = text.splitlines()[1 : _MERGES_USED + 1]
    if len(lines) < _MERGES_USED:
      raise ValueError(f'{len(lines):,} merges, wanted {_MERGES_USED:,}')
    return from_merges(map(_pair, lines), str(path))
  except FileNotFoundError as e:
    raise UserError(
        f'the vocabulary {e.filename} does not exist (clip.vocab). {_WANTED}'
    ) from None
  except UserError:
    raise
  except (
      OSError, EOFError, zlib.error, ValueError, LookupError, TypeError,
      AttributeError, RecursionError,
  ) as e:
    raise UserError(
        f'{path} is not a CLIP vocabulary (clip.vocab): '
        f'{type(e).__name__}: {e}.\n  {_WANTED}'
    ) from e


def _in_folder(folder: pathlib.Path) -> pathlib.Path:
  for name in (GZIP_FORM, JSON_FORM, PAIR_FORM[0]):
    if (folder / name).is_file():
      return folder / name
  raise UserError(f'{folder} holds no vocabulary (clip.vocab). {_WANTED}')


def _pair(merge: str | Sequence[str]) -> Merge:
  """Reads a merge, which files write as 'a b' or as ['a', 'b']."""
  first, second = merge.split() if isinstance(merge, str) else merge
  return str(first), str(second)


def _checked(vocabulary: Vocabulary) -> Vocabulary:
  """Returns the vocabulary, or raises UserError if it is not like CLIP's."""
  ids, where = vocabulary.ids, vocabulary.source
  numbers = [x for x in ids.values() if type(x) is int]
  if sorted(numbers) != list(range(len(ids))):
    raise UserError(f'the ids in {where} are not 0, 1, ... without gaps.')
  merged = (x for a, b in vocabulary.merges for x in (a, b, a + b))
  needed = [START, END, *_alphabet(), *merged]
  lacking = [symbol for symbol in needed if symbol not in ids]
  if lacking:
    raise UserError(
        f'{where} is not a CLIP vocabulary: it lacks {len(lacking)} symbols, '
        f'such as {lacking[0]!r}.'
    )
  if ids[END] != len(ids) - 1:
    raise UserError(f'{where}: {END} has id {ids[END]}, wanted the largest.')
  return vocabulary
