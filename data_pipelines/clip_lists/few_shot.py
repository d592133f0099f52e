"""K clips per class, drawn as the original draws them."""

import dataclasses
import random

from data_pipelines.clip_lists.records import ClipList, ClipRecord
from evclip_jax.errors import UserError


def select(
    clips: ClipList,
    shots: int,
    seed: int,
    short: str = 'error',
    class_names: list[str] | None = None,
) -> ClipList:
  """The few-shot training list.

  A list that is a selection already comes back unchanged, unless a class has
  more than `shots` clips: one of EV-CLIP, or what a run wrote down. Any other
  list is drawn from, also if it has exactly `shots` of every class: EV-CLIP's
  selections are such draws from ViFi-CLIP's few-shot lists.

  Args:
    clips: the whole training list; its order matters.
    shots: clips per class (data.shots); 0 = all of them.
    seed: the run's seed.
    short: what to do with a class that has fewer: 'error', or 'keep' what
      there is (data.few_shot_short).
    class_names: for messages.

  Returns:
    The list itself, or a selection from it.

  Raises:
    UserError: a class has too few clips.
  """
  counts = clips.counts()
  if shots == 0:
    return clips
  few = [label for label, n in counts.items() if n < shots]
  if few and short == 'error':
    name = class_names[few[0]] if class_names else f'label {few[0]}'
    raise UserError(
        f'{len(few)} of {len(counts)} classes have fewer than '
        f'data.shots={shots} training clips in {clips.origin}, such as '
        f'{name!r} with {counts[few[0]]}.\n  Use fewer shots, or '
        'data.few_shot_short=keep to train with what there is.'
    )
  if clips.selected and max(counts.values(), default=0) <= shots:
    return clips
  drawn = draw(clips.records, shots, seed)
  origin = f'{shots} clips per class of {clips.origin}, seed {seed}'
  return dataclasses.replace(
      clips, records=tuple(drawn), origin=origin, selected=True
  )


def draw(
    records: tuple[ClipRecord, ...], shots: int, seed: int
) -> list[ClipRecord]:
  """Draws `shots` records per label without replacement.

  Args:
    records: in list order; classes come in order of first appearance.
    shots: at least 1. A class with fewer records keeps all, in order.
    seed: of Python's generator.

  Returns:
    The selection, class after class.

  Source: EV-CLIP, dassl/data/datasets/base_dataset.py,
    generate_fewshot_dataset, run right after random.seed(seed).
  Differs: none. From the ViFi-CLIP lists, seed 1 gives the published
    selections in their order.
  """
  # Not evclip_jax.randomness: published selections come from this generator.
  generator = random.Random(seed)
  groups = {}
  for record in records:
    groups.setdefault(record.label, []).append(record)
  out = []
  for group in groups.values():
    out += generator.sample(group, shots) if len(group) >= shots else group
  return out
