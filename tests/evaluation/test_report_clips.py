"""Which clips a report shows, and beside which classes."""

import types

import numpy as np

from evclip_jax.evaluation import look, report_clips


class Looker:
  """Answers the number in a clip's pixels; remembers the examples."""

  def __init__(self):
    self.seen = []

  def examples(self, clips):
    self.seen.append(clips[..., 0, 0, 0, 0].tolist())
    return 'examples'

  def __call__(self, clips, names=None, examples=None, score=True):
    shares = np.eye(len(names))[clips[:, 0, 0, 0, 0] % len(names)]
    self.seen.append((list(names), examples))
    pairs = zip(shares, clips, strict=True)
    return [look.Seen(share, None, clip, {}) for share, clip in pairs]


def clips(**values):
  """A list of 9 clips of three classes by turns."""
  return types.SimpleNamespace(
      num_clips=9,
      class_names=['a', 'b', 'c'],
      clip=lambda i: (np.full((1, 2, 2, 3), i, np.uint8), i % 3, f'{i}.mp4'),
      **values,
  )


def test_queries_are_seen_beside_the_examples_of_their_episode():
  # Two ways, two shots of 'c' and of 'a', then two queries of each.
  batch = {
      'clips': np.array([[2, 5, 0, 3, 8, 2, 6, 3]]),
      'way': np.array([[2, 0]]),
      'label': np.array([[0, 0, 1, 1]]),
  }
  episodes = types.SimpleNamespace(
      way=2, query=2, batch=lambda number, rows: batch
  )
  method = types.SimpleNamespace(
      episodic=True, pixels=lambda frames, key: frames / 255 - 0.5
  )
  looker = Looker()
  # The worst episode: its mistakes, then its hits.
  details = {
      'losses': np.array([0.1]), 'arrays': {'answer': np.array([[1, 0, 1, 1]])}
  }
  listed = clips(episodes=episodes)
  worst = report_clips.pictures(method, looker, listed, details)
  assert looker.seen[:2] == [[[2, 5], [0, 3]], (['c', 'a'], 'examples')]
  assert [c.truth for x in worst.values() for c in x] == ['c', 'c', 'a', 'a']
  assert [[c.title for c in x] for x in worst.values()] == [
      ['8.mp4'], ['2.mp4', '6.mp4', '3.mp4'],
  ]  # fmt: skip
