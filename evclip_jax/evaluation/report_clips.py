"""Chooses clips of a list for its report: thumbnails, mistakes and hits."""

import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.views.view import squares
from evclip_jax.evaluation import look
from evclip_jax.methods.base import Method
from evclip_jax.reporting.pictures import ClipPicture

# Most clips with a thumbnail, so that the page can still be mailed.
_SMALL = 300
_SMALL_PIXELS = 72
# Number of mistakes, and of hits, to show.
_OF_EACH = 3


def watched(
    batches: Iterable[dict], data: Any, side: int, kept: dict[int, bytes]
) -> Iterator[dict]:
  """Passes on the batches of a list, and makes thumbnails of its clips.

  `kept` gets {position in the list: JPEG file} of the middle view of clips
  spread over the list. `side` is data.crop_pixels.
  """
  most = min(data.num_clips, _SMALL)
  chosen = {int(i) for i in np.linspace(0, data.num_clips - 1, most)}
  for batch in batches:
    rows = zip(batch['index'], batch['view'], batch['mask'], strict=True)
    for row, (index, view, mask) in enumerate(rows):
      if mask and view == data.num_views // 2 and int(index) in chosen:
        video, _ = squares(batch['video'][row], side)
        kept[int(index)] = _small(video[len(video) // 2])
    yield batch


def telling(details: dict[str, Any]) -> dict[str, list[int]]:
  """Chooses telling clips of a list that was scored clip by clip.

  Returns:
    Heading -> rows of the arrays of `details`: the wrong answers with the least
    probability of the right class, then the right ones with the least.
  """
  logs, labels = (details['arrays'][k] for k in ('log_probabilities', 'labels'))
  own = logs[np.arange(len(labels)), labels]
  order = np.argsort(own, kind='stable')
  right = logs[order].argmax(axis=1) == labels[order]
  found = {
      'the worst mistakes': order[~right][:_OF_EACH].tolist(),
      'the least sure hits': order[right][:_OF_EACH].tolist(),
  }
  return {title: rows for title, rows in found.items() if rows}


def pictures(
    method: Method, looker: look.Looker, data: Any, details: dict[str, Any]
) -> dict[str, list[ClipPicture]]:
  """Returns pictures of telling clips of a scored list, by heading."""
  if data.episodes is None:
    chosen = telling(details)
    found = _clips(looker, data, details, sum(chosen.values(), []))
  else:
    # Show the episode with the greatest loss.
    number = int(details['losses'].argmax())
    batch = data.episodes.batch(number, 1)
    wrong = details['arrays']['answer'][number] != batch['label'][0]
    chosen = {
        'mistakes of the worst episode': np.flatnonzero(wrong)[:_OF_EACH],
        'hits of the worst episode': np.flatnonzero(~wrong)[:_OF_EACH],
    }
    rows = np.concatenate(list(chosen.values()))
    found = _queries(looker, method.episodic, data, batch, rows)
  read, seen, names = found
  # All were made in one pass; sort them under their headings.
  shown = (
      one.picture(key, names, method, names[label])
      for (_, label, key), one in zip(read, seen, strict=True)
  )
  return {
      title: list(itertools.islice(shown, len(rows)))
      for title, rows in chosen.items()
      if len(rows)
  }


def _clips(looker, data, details, rows: list[int]):
  """Looks at rows of the list's arrays: (clips, what is seen, class names)."""
  arrays = details['arrays']
  read = [data.clip(int(arrays['index'][row])) for row in rows]
  seen = looker(np.stack([clip for clip, *_ in read]), score=False)
  # Show the scores over all views, which counted.
  logs = arrays['log_probabilities'][rows].astype(np.float64)
  seen = [
      dataclasses.replace(one, probabilities=shares)
      for one, shares in zip(seen, np.exp(logs), strict=True)
  ]
  return read, seen, details['class_names']


def _queries(looker, episodic: bool, data, batch, rows: np.ndarray):
  """Looks at queries of an episode, beside its support; returns as `_clips`."""
  names = [data.class_names[k] for k in batch['way'][0]]
  labels, clips, examples = batch['label'][0], batch['clips'][0], None
  if episodic:
    support = np.stack([data.clip(int(i))[0] for i in clips[: -len(labels)]])
    support = support.reshape(len(names), -1, *support.shape[1:])
    examples = looker.examples(support)
  read = [data.clip(int(clips[i - len(labels)])) for i in rows]
  read = [(c, labels[i], k) for i, (c, _, k) in zip(rows, read, strict=True)]
  seen = looker(np.stack([clip for clip, *_ in read]), names, examples)
  return read, seen, names


def _small(frame: np.ndarray) -> bytes:
  image = Image.fromarray(np.asarray(frame))
  image.thumbnail((_SMALL_PIXELS, _SMALL_PIXELS))
  image.save(file := io.BytesIO(), 'JPEG', quality=70)
  return file.getvalue()
