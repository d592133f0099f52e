"""What of a download goes into a TFDS folder, known before any work."""

import collections
import dataclasses
import hashlib
import itertools
import json
import os
from typing import Any

from data_pipelines.datasets.description import (
  Description,
  find_layout,
  official_listing,
)
from data_pipelines.errors import UserError
from data_pipelines.lists import locate, numbering, path_rule
from data_pipelines.lists.clips import ClipRecord
from data_pipelines.lists.items import Listing
from data_pipelines.stores.files import FileTree

CLIPS_PER_SHARD = 256
# Fields of an item that the folder keeps otherwise.
_ELSEWHERE = ('path', 'line')


@dataclasses.dataclass(frozen=True)
class Clip:
  """One clip to store.

  Attributes:
    record: a whole file, or a piece of a film; its label is -1 if nothing
      says it.
    lists: its places in the official lists it is in, with what these say of
      it, such as {'train1': {'place': 17, 'label': 3}}. 'again' holds the
      further places in a list that repeats it.
  """

  record: ClipRecord
  lists: dict[str, dict[str, Any]]

  @property
  def key(self) -> str:
    """What it is called in the folder."""
    return self.record.key


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a download holds.

  Attributes:
    store: its videos.
    raw_names: class names in label order.
    clips: what will be stored, in the order of their keys.
    list_lengths: lines of the official lists, such as {'train1': 9537}.
    missing: clips of these lists that are not there.
    absent: official lists that are not there.
    clips_per_shard: how many go into one file. A number, not a size: which
      clip goes where is known before any is read.
  """

  store: FileTree
  raw_names: list[str]
  clips: list[Clip]
  list_lengths: dict[str, int]
  missing: list[str]
  absent: list[str]
  clips_per_shard: int = CLIPS_PER_SHARD

  def digest(self) -> str:
    """Changes if anything that would be stored does, as far as names tell."""
    sizes = {p: _size(self.store.media(p)) for p in self._paths()}
    clips = [(c.record.line, c.lists, sizes[c.record.path]) for c in self.clips]
    facts = [self.raw_names, self.list_lengths, clips, self.clips_per_shard]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

  def _paths(self) -> list[str]:
    return list(dict.fromkeys(clip.record.path for clip in self.clips))


def make(
    what: Description,
    root: str,
    rule: str = '',
    clips_per_shard: int = CLIPS_PER_SHARD,
) -> Plan:
  """Looks for the clips and lists of a download; reads no video.

  Args:
    what: the data set.
    root: folder of the download.
    rule: as data.path_rule.
    clips_per_shard: see `Plan`.

  Raises:
    UserError: no data there, lists that do not fit, or a clip of an unknown
      class.
  """
  layout = find_layout(what, root, rule)
  store = what.open_store(layout.videos)
  rewrite = path_rule.parse(rule, '--path_rule')
  listings, absent = {}, []
  for split, role in itertools.product(what.splits, what.roles):
    listing = None
    if layout.lists:
      listing = official_listing(what, layout.lists, role, split)
    if listing:
      listings[f'{role}{split}'] = path_rule.rewrite(listing, rewrite)
    else:
      absent.append(what.list_title(role, split))
  table = _table(what, layout, store)
  clips, missing = {}, {}
  for name, listing in listings.items():
    _add(clips, missing, what, table, store, name, listing)
  if not what.only_listed:
    listed = {clip.record.path for clip in clips.values()}
    for path in store.keys:
      if path not in listed:
        clips[path] = Clip(ClipRecord(path, _label(what, table, path)), {})
  if not clips:
    raise UserError(
        f'there is nothing to build: none of the clips in the official lists '
        f'of {what.title} is in {store}.\n  {what.wanted}'
    )
  return Plan(
      store,
      list(table.raw),
      sorted(clips.values(), key=lambda clip: clip.key),
      {name: len(listing.items) for name, listing in listings.items()},
      list(missing),
      absent,
      clips_per_shard,
  )


def _add(
    clips: dict[str, Clip],
    missing: dict[str, None],
    what: Description,
    table: locate.ClassTable,
    store: FileTree,
    name: str,
    listing: Listing,
):
  """Adds the clips of one list, or its place to clips already known."""
  found = []
  for place, item in enumerate(listing.items):
    key = store.find(item.path)
    if key is None:
      missing[item.path] = None
    else:
      found.append((place, item, key))
  located = locate.Located(
      name,
      dataclasses.replace(listing, items=tuple(item for _, item, _ in found)),
      tuple(key for _, _, key in found),
  )
  first = numbering.first(located, table, what.class_of)
  records = locate.to_clips(
      located, table, what.class_of, first, what.repeats
  ).records
  for (place, item, _), record in zip(found, records, strict=True):
    clip = clips.setdefault(record.key, Clip(record, {}))
    said = {'place': place} | _said(item)
    if name in clip.lists:
      clip.lists[name].setdefault('again', []).append(said)
    else:
      clip.lists[name] = said


def _said(item) -> dict[str, Any]:
  """What an item says beside its path, as far as it says anything."""
  defaults = {f.name: f.default for f in dataclasses.fields(item)}
  return {
      name: value
      for name, value in dataclasses.asdict(item).items()
      if name not in _ELSEWHERE
      and value is not None
      and value != defaults[name]
  }


def _table(what, layout, store) -> locate.ClassTable:
  table = what.read_classes(layout.lists)
  if table is not None:
    return table
  counts = collections.Counter(what.class_of(key) for key in store.keys)
  if '' in counts:
    file = what.class_file or 'the file of the class names'
    raise UserError(
        f'{file} of {what.title} was not found beside the lists '
        f'({layout.lists}).\n  {what.wanted}'
    )
  return locate.ClassTable.of(sorted(counts), 'the class folders, sorted')


def _size(file: str) -> int:
  try:
    return os.stat(file).st_size
  except OSError:
    # It is stored as broken.
    return -1


def _label(what, table, path: str) -> int:
  name = what.class_of(path)
  label = table.label(name) if name else -1
  if label is None:
    raise UserError(
        f'{path} lies in the class {name!r}, which {table.origin} does not '
        'name.'
    )
  return label
