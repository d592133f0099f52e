"""Draws N-way K-shot episodes as positions of clips in a list, no pixels.

Episode number i depends on the seed, the list and i alone. So any episode is as
cheap to reach as the first, and processes need not communicate. The order
within an episode is fixed: the K support clips of the first class, of the
second, ...; then the Q queries of the first class, and so on.
"""

import dataclasses
import functools
import hashlib

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeList:
  """Draws `num` episodes (0 = endlessly many) from a list of clips.

  Each has N = `way` classes with K = `shot` support and Q = `query` query clips
  per class.

  Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py: N classes without
    replacement, then K + Q distinct clips of each.
  Differs: the original ignores the number of the episode, so all its processes
    draw the same ones; and it shuffles support and query clips, which changes
    no score.
  """

  clips: ClipList
  class_names: list[str]
  way: int
  shot: int
  query: int
  seed: int = 0
  num: int = 0

  def __post_init__(self):
    for name in ('way', 'shot', 'query'):
      if getattr(self, name) < 1:
        raise UserError(
            f'episodes need {name} of 1 or more, not {getattr(self, name)}.'
        )
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
    """Returns V = N * (K + Q)."""
    return self.way * (self.shot + self.query)

  @property
  def num_support(self) -> int:
    """Returns N * K; the clips after these are queries."""
    return self.way * self.shot

  @functools.cached_property
  def hash(self) -> str:
    """Returns the SHA-256 of what decides the episodes and their number."""
    parts = [self.clips.hash, self.way, self.shot, self.query, self.num]
    parts += [self.clips.name, self.seed]
    return hashlib.sha256(repr(parts).encode()).hexdigest()

  def episode(self, number: int) -> np.ndarray:
    """Draws the clips of one episode, int32 [V], in their fixed order."""
    # With the list's name, so that lists of equal size draw independently.
    stream = f'episode of {self.clips.name}'
    generator = randomness.generator(self.seed, stream, number)
    groups, size = list(self._groups.values()), self.shot + self.query
    chosen = generator.choice(len(groups), self.way, replace=False)
    drawn = np.stack([
        generator.choice(groups[k], size, replace=False) for k in chosen
    ])
    support, query = drawn[:, : self.shot], drawn[:, self.shot :]
    return np.concatenate([support.ravel(), query.ravel()]).astype(np.int32)

  def batch(self, start: int, rows: int) -> dict[str, np.ndarray]:
    """Draws episodes start .. start + rows - 1; beyond `num` they have mask 0.

    Returns:
      'clips' int32 [rows, V], positions in the list; 'label' int32 [rows,
      N * Q], 0 .. N-1, of each query; 'way' int32 [rows, N], each class's
      label in the list; 'mask' float32 [rows]; 'index' int32 [rows], the
      episodes' numbers.
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

  @functools.cached_property
  def _groups(self) -> dict[int, np.ndarray]:
    """Maps labels, in order, to the positions of their clips in the list."""
    labels = self._labels
    return {int(k): np.flatnonzero(labels == k) for k in np.unique(labels)}

  @functools.cached_property
  def _labels(self) -> np.ndarray:
    return np.asarray([r.label for r in self.clips.records], np.int32)
