"""Joins a list of clips with its files and their probes, ready to be read."""

import dataclasses
import os
from collections.abc import Container

from data_pipelines import randomness
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.stores.tfds import Store
from data_pipelines.video import read as decode
from data_pipelines.video.probes import Probe

# Images were extracted from a film at some rate of their own, so lists may
# count one or two more at the end than there are.
_TOLERATED_PICTURES = 2


@dataclasses.dataclass(frozen=True)
class Source:
  """Holds one list of clips, each with a file and a probe.

  `class_names` are K names in label order; `store` gives the encoded clips, and
  `probes` what is known of each file, by the store's keys.
  """

  clips: ClipList
  class_names: list[str]
  store: Store
  probes: dict[str, Probe]

  @property
  def name(self) -> str:
    """Returns 'train', 'val', or a test list's name."""
    return self.clips.name

  @property
  def records(self) -> tuple[ClipRecord, ...]:
    """Returns the clips in order; a batch's 'index' counts them."""
    return self.clips.records

  @property
  def hash(self) -> str:
    """Returns the SHA-256 of the list."""
    return self.clips.hash

  def __len__(self) -> int:
    return len(self.records)

  def media(self, index: int) -> str | os.PathLike | bytes:
    """Returns the path of a clip's file, or its contents."""
    return self.store.media(self.store.stored(self.records[index]))

  def probe(self, index: int) -> Probe:
    """Returns what is known of a clip's file."""
    return self.probes[self.store.stored(self.records[index])]

  def span(self, index: int) -> tuple[int, int]:
    """Returns (first frame, number of frames) of a clip within its file."""
    first, stop = frames_of(
        self.records[index], self.probe(index), self.store.counts_from
    )
    return first, stop - first

  def instead(
      self, seed: int, index: int, without: Container[int]
  ) -> int | None:
    """Draws another clip of its class that is not in `without`, if any."""
    order = randomness.generator(seed, 'instead', index)
    label = self.records[index].label
    for other in order.permutation(len(self)).tolist():
      if other not in without and self.records[other].label == label:
        return other
    return None


def frames_of(
    record: ClipRecord, probe: Probe, counts_from: int | None = None
) -> tuple[int, int]:
  """Returns (first, stop): the frames of a file that a record's clip spans.

  `counts_from`, for numbered images: the number of the image that the record
  calls frame 0; None = the first image there is.

  Raises:
    VideoError: the file is broken, or has no such frames.
  """
  if probe.piece:
    first, stop = probe.piece
  elif record.first is None and record.stop is None:
    return decode.range_indices(probe, record.start, record.end)
  else:
    shift = 0
    if probe.images and counts_from is not None:
      shift = probe.first_image - counts_from
    first = 0 if record.first is None else record.first - shift
    stop = probe.num_frames if record.stop is None else record.stop - shift
    if probe.images and 0 < stop - probe.num_frames <= _TOLERATED_PICTURES:
      stop = probe.num_frames
  decode.check_frames(probe, first, stop)
  return first, stop
