"""Clips that can be read: a list, where its files are, and their probes."""

import dataclasses
import os
from typing import Protocol

from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.video import read as decode
from data_pipelines.video.probes import Probe

# Pictures are taken from a film at a rate of their own. Lists may count one
# or two more at its end.
_TOLERATED_PICTURES = 2


class Media(Protocol):
  """Where encoded clips come from."""

  def media(self, key: str) -> str | os.PathLike | bytes:
    """The path of a clip's file, or its contents."""

  # The number of the picture that lists call frame 0; None = the first one
  # there is.
  counts_from: int | None

  def stored(self, record: ClipRecord) -> str:
    """The key under which a record's frames are."""


@dataclasses.dataclass(frozen=True)
class Source:
  """One list of clips, all of them examined.

  Attributes:
    clips: the list.
    class_names: K names in label order.
    store: where the encoded clips come from.
    probes: what is known of each file, by the store's keys.
  """

  clips: ClipList
  class_names: list[str]
  store: Media
  probes: dict[str, Probe]

  @property
  def name(self) -> str:
    """'train', 'val', or a test list's name."""
    return self.clips.name

  @property
  def records(self) -> tuple[ClipRecord, ...]:
    """The clips in order; a batch's 'index' counts them."""
    return self.clips.records

  @property
  def hash(self) -> str:
    """SHA-256 of the list."""
    return self.clips.hash

  def __len__(self) -> int:
    return len(self.records)

  def read(self, index: int) -> tuple[str | os.PathLike | bytes, Probe]:
    """The encoded clip (path or contents) and its probe."""
    key = self.store.stored(self.records[index])
    return self.store.media(key), self.probes[key]

  def span(self, index: int) -> tuple[int, int]:
    """(first frame, frames) of a clip; less than the file for a piece."""
    record = self.records[index]
    probe = self.probes[self.store.stored(record)]
    first, stop = frames_of(record, probe, self.store.counts_from)
    return first, stop - first


def frames_of(
    record: ClipRecord, probe: Probe, counts_from: int | None = None
) -> tuple[int, int]:
  """The frames first..stop - 1 of a file that are a record's clip.

  Args:
    record: a whole file, or a piece by seconds or frame numbers.
    probe: of the file, or of one that was cut for this record.
    counts_from: for pictures, the number of the one that the record calls
      frame 0; None = the first one there is.

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
