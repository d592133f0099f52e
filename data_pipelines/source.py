"""Clips that can be read: a list, where its files are, and their probes."""

import dataclasses
import os
from typing import Protocol

from data_pipelines import decode
from data_pipelines.clip_lists.records import ClipList, ClipRecord
from data_pipelines.video_files.probe import Probe


class Media(Protocol):
  """Where encoded clips come from."""

  def media(self, key: str) -> str | os.PathLike | bytes:
    """The path of a clip's file, or its contents."""


@dataclasses.dataclass(frozen=True)
class Source:
  """One list of clips, all of them examined.

  Attributes:
    clips: the list.
    class_names: K names in label order.
    store: where the encoded clips come from.
    probes: what is known of each file, by its path in the records.
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
    path = self.records[index].path
    return self.store.media(path), self.probes[path]

  def span(self, index: int) -> tuple[int, int]:
    """(first frame, frames) of a clip; less than the file for a piece."""
    record = self.records[index]
    probe = self.probes[record.path]
    first, stop = decode.range_indices(probe, record.start, record.end)
    return first, stop - first
