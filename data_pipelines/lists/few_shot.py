"""Draws K clips per class exactly as EV-CLIP does."""

import dataclasses
import random
from collections.abc import Callable

from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord, overlaps


def select(
    clips: ClipList, shots: int, seed: int, names: list[str], short: str
) -> ClipList:
  """Draws the few-shot training list.

  A list that is a selection already (EV-CLIP's, or one that a run wrote) is
  returned unchanged, unless a class has more than `shots` clips. Any other list
  is drawn from, even if it has exactly `shots` clips of every class, since the
  draw also decides the order: EV-CLIP's selections are draws from ViFi-CLIP's
  few-shot lists. The order of `clips` matters. 0 shots = all clips; `names` are
  the classes' in label order, for messages, and `short` is data.few_shot_short.

  Raises:
    UserError: a class has too few clips.
  """
  if shots == 0:
    return clips
  counts = clips.counts()
  few = [label for label, n in counts.items() if n < shots]
  if few and short == 'error':
    raise UserError(
        f'{too_few(few, counts, counts, shots, names)} in {clips.origin}.\n'
        '  Use fewer shots, or data.few_shot_short=keep to train with what '
        'there is.'
    )
  if clips.selected and max(counts.values(), default=0) <= shots:
    return clips
  origin = f'{shots} clips per class of {clips.origin}'
  return _selection(clips, shots, seed, origin)


def select_val(
    clips: ClipList,
    train: ClipList,
    shots: int,
    seed: int,
    names: list[str],
    video: Callable[[str], str] = str,
) -> ClipList:
  """Draws validation clips from the training clips that are not trained on.

  Copies of trained clips and overlapping pieces of a video are excluded too.
  `train` is the selection from `clips`; `video` maps a path to the one that
  stands for all copies of its video.

  Raises:
    UserError: a class has too few clips left.
  """
  taken = {record for _, record in overlaps(train, clips, video)}
  left = clips.replace(r for r in clips.records if r not in taken)
  counts = left.counts()
  if few := [label for label in clips.counts() if counts[label] < shots]:
    raise UserError(
        f'data.val_shots={shots}: apart from its training clips, class '
        f'{names[few[0]]!r} has {counts[few[0]]} clips left in {clips.origin}. '
        'Use fewer, a smaller data.shots, or data.val_list.'
    )
  origin = f'{shots} clips per class held out of {clips.origin}'
  val = _selection(left, shots, seed, origin)
  return dataclasses.replace(val, name='val')


def _selection(clips: ClipList, shots: int, seed: int, origin: str) -> ClipList:
  drawn = tuple(draw(clips.records, shots, seed))
  origin = f'{origin}, seed {seed}'
  return dataclasses.replace(clips, records=drawn, origin=origin, selected=True)


def too_few(few, before, after, shots: int, names: list[str]) -> str:
  """Says which of the labels `few` has too few clips, by the counts `after`."""
  return (
      f'{len(few)} of {len(before)} classes have fewer than data.shots={shots} '
      f'training clips, such as {names[few[0]]!r} with {after[few[0]]},'
  )


def draw(
    records: tuple[ClipRecord, ...], shots: int, seed: int
) -> list[ClipRecord]:
  """Draws `shots` records per label without replacement.

  Classes come in order of their first record; a class with fewer records keeps
  all of them, in their order.

  Source: EV-CLIP, dassl/data/datasets/base_dataset.py,
    generate_fewshot_dataset, run right after random.seed(seed). From the ViFi-
    CLIP lists, seed 1 gives the published selections in their order.
  Differs: none.
  """
  # Not `randomness`: published selections come from this generator.
  generator = random.Random(seed)
  groups = {}
  for record in records:
    groups.setdefault(record.label, []).append(record)
  out = []
  for group in groups.values():
    out += generator.sample(group, shots) if len(group) >= shots else group
  return out
