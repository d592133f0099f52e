"""N-way K-shot episodes as positions of clips in a list; no pixels here.

Episode number i is a function of the seed, the list and i alone. So any
episode is as cheap to reach as the first, and processes need not agree on
anything. The order within an episode is fixed: K support clips of the first
class, of the second, ...; then Q queries of the first class, and so on.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList

HEADER = '# evclip_jax episodes 1'


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeList:
  """Episodes of a list of clips.

  Attributes:
    clips: the list; labels are its records'.
    class_names: by label, for messages.
    way, shot, query: N classes, K support and Q query clips of each.
    seed: of the draws.
    num: how many there are; 0 = no end.
    listing: int32 [num, V], the clips of each, where they were read from a
      file instead of being drawn.

  Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py: N classes without
    replacement, then K + Q distinct clips of each.
  Differs: the original ignores the number of the episode, so that its
    processes draw the same ones; and it shuffles support and query clips,
    which changes no score.
  """

  clips: ClipList
  class_names: list[str]
  way: int
  shot: int
  query: int
  seed: int = 0
  num: int = 0
  listing: np.ndarray | None = None

  def __post_init__(self):
    for name in ('way', 'shot', 'query'):
      if getattr(self, name) < 1:
        raise UserError(
            f'episodes need {name} of 1 or more, not {getattr(self, name)}.'
        )
    if self.listing is not None:
      return
    groups, need = self._groups, self.shot + self.query
    if len(groups) < self.way:
      raise UserError(
          f'episodes of {self.way} ways need {self.way} classes, but the '
          f'{self.clips.name} list ({self.clips.origin}) has {len(groups)}.\n'
          '  Use fewer ways (episodes.way, episodes.test_way).'
      )
    few = [label for label, group in groups.items() if len(group) < need]
    if few:
      raise UserError(
          f'{len(few)} of {len(groups)} classes of the {self.clips.name} list '
          f'({self.clips.origin}) have fewer than {self.shot} + {self.query} '
          f'clips (shots and queries of an episode), such as '
          f'{self.class_names[few[0]]!r} with {len(groups[few[0]])}.\n'
          '  Use fewer (episodes.shot, episodes.query, episodes.test_shot, '
          'episodes.test_query), or leave the class out of the list.'
      )

  @property
  def clips_per_episode(self) -> int:
    """V = N * (K + Q)."""
    return self.way * (self.shot + self.query)

  @property
  def num_support(self) -> int:
    """N * K; the clips behind them are queries."""
    return self.way * self.shot

  @functools.cached_property
  def hash(self) -> str:
    """SHA-256 of what decides the episodes, and of the list."""
    parts = [self.clips.hash, self.way, self.shot, self.query, self.num]
    if self.listing is None:
      parts += ['drawn', self.seed]
    else:
      parts += ['listed', self.listing.tolist()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()

  def episode(self, number: int) -> np.ndarray:
    """The clips of one episode, int32 [V], in their fixed order."""
    if self.listing is not None:
      return self.listing[number]
    groups = self._groups
    # The name, so that lists of equal sizes have episodes of their own.
    stream = f'episode of {self.clips.name}'
    generator = randomness.generator(self.seed, stream, number)
    labels = sorted(groups)
    chosen = generator.choice(len(labels), self.way, replace=False)
    drawn = np.stack([
        generator.choice(
            groups[labels[k]], self.shot + self.query, replace=False
        )
        for k in chosen
    ])
    support, query = drawn[:, : self.shot], drawn[:, self.shot :]
    return np.concatenate([support.ravel(), query.ravel()]).astype(np.int32)

  def batch(self, start: int, rows: int) -> dict[str, np.ndarray]:
    """Episodes start .. start + rows - 1; those that do not exist have mask 0.

    Returns:
      'clips' int32 [rows, V], positions in the list, and the fields of
      `batch.EPISODES` but 'video'.
    """
    there = rows if not self.num else int(np.clip(self.num - start, 0, rows))
    clips = np.zeros((rows, self.clips_per_episode), np.int32)
    for row in range(there):
      clips[row] = self.episode(start + row)
    mask = np.arange(rows) < there
    way = self._labels[clips[:, : self.num_support : self.shot]]
    label = np.repeat(np.arange(self.way, dtype=np.int32), self.query)
    return {
        'clips': clips,
        'label': np.where(mask[:, None], label, 0).astype(np.int32),
        'way': np.where(mask[:, None], way, 0).astype(np.int32),
        'mask': mask.astype(np.float32),
        'index': np.where(mask, start + np.arange(rows), 0).astype(np.int32),
    }

  def used(self, start: int = 0, stop: int | None = None) -> np.ndarray:
    """The clips of a range of episodes, each once: sorted int32."""
    stop = self.num if stop is None else stop
    if stop <= start:
      return np.zeros(0, np.int32)
    return np.unique([self.episode(i) for i in range(start, stop)])

  def write(self, path: str | os.PathLike):
    """Writes a line of positions per episode; `read` takes them back."""
    if not self.num:
      raise ValueError('episodes without end cannot be written down.')
    lines = [
        HEADER,
        f'# of the list: {self.clips.name}, {len(self.clips.records)} clips',
        f'# sha256 of that list: {self.clips.hash}',
        f'# way {self.way} shot {self.shot} query {self.query}',
        '# A line is an episode: positions in the list from 0, support first.',
    ]
    for number in range(self.num):
      lines.append(' '.join(str(i) for i in self.episode(number)))
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    partial.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    partial.replace(path)

  @functools.cached_property
  def _groups(self) -> dict[int, np.ndarray]:
    """Label -> positions of its clips, in list order."""
    labels = self._labels
    return {
        int(label): np.flatnonzero(labels == label)
        for label in np.unique(labels)
    }

  @functools.cached_property
  def _labels(self) -> np.ndarray:
    return np.asarray([r.label for r in self.clips.records], np.int32)


def read(
    path: str | os.PathLike, clips: ClipList, class_names: list[str]
) -> EpisodeList:
  """Episodes as `EpisodeList.write` wrote them.

  Args:
    path: the file.
    clips: the list that they were drawn from.
    class_names: by label.

  Raises:
    UserError: no such file, not such a file, episodes of another list, or
      lines that are no episode.
  """
  try:
    lines = pathlib.Path(path).read_text(encoding='utf-8').splitlines()
  except (OSError, UnicodeDecodeError) as e:
    reason = getattr(e, 'strerror', None) or 'it is not text'
    raise UserError(f'cannot read the episodes {path}: {reason}.') from e
  head = dict(_fields(lines))
  if lines[:1] != [HEADER] or not {'sha256', 'way'} <= head.keys():
    raise UserError(
        f'{path} is not a file of episodes: it should begin with {HEADER!r}.'
    )
  if head['sha256'] != clips.hash:
    raise UserError(
        f'the episodes {path} are of another list than {clips.name} '
        f'({clips.origin}): that one has the hash {head["sha256"][:12]}, this '
        f'one {clips.hash[:12]}.'
    )
  way, shot, query = head['way']
  rows = [
      _row(path, number, line, clips, (way, shot, query))
      for number, line in enumerate(lines, 1)
      if line.strip() and not line.startswith('#')
  ]
  if not rows:
    raise UserError(f'the file {path} holds no episode.')
  return EpisodeList(
      clips,
      class_names,
      way,
      shot,
      query,
      num=len(rows),
      listing=np.asarray(rows, np.int32),
  )


def _fields(lines: list[str]):
  """('sha256', hash) and ('way', (N, K, Q)) of the lines at the top."""
  for line in lines[1:]:
    words = line.split()
    if line.startswith('# sha256'):
      yield 'sha256', words[-1]
    elif words[:2] == ['#', 'way'] and all(w.isdigit() for w in words[2::2]):
      yield 'way', tuple(int(w) for w in words[2::2])


def _row(path, number: int, line: str, clips: ClipList, sizes) -> list[int]:
  """The positions in a line, checked."""
  way, shot, query = sizes
  where = f'line {number} of {path}'
  words = line.split()
  if len(words) != way * (shot + query) or not all(
      w.isdigit() and int(w) < len(clips.records) for w in words
  ):
    raise UserError(
        f'{where} is no episode: it should have {way * (shot + query)} '
        f'positions from 0 to {len(clips.records) - 1}.'
    )
  row = [int(w) for w in words]
  labels = np.asarray([clips.records[i].label for i in row])
  support = labels[: way * shot].reshape(way, shot)
  asked = labels[way * shot :].reshape(way, query)
  one_class = np.concatenate([support, asked], axis=1) == support[:, :1]
  if not one_class.all() or len(set(support[:, 0].tolist())) < way:
    raise UserError(
        f'{where} is no episode: it should have {shot} clips of each of {way} '
        f'classes, then {query} of each in the same order.'
    )
  if len(set(row)) < len(row):
    raise UserError(f'{where} names a clip twice.')
  return row
