"""Finds in the data the clips that lists name, and reports missing ones."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import Listing
from data_pipelines.stores.tfds import Store

# Key of a clip -> name of its class; '' if the key does not tell.
ClassOf = Callable[[str], str]
# How many missing clips a message names.
_SHOWN = 3


def folder_of(key: str) -> str:
  """Returns the name of the folder that contains a clip, or ''."""
  return ''.join(key.split('/')[-2:-1])


def path_rule(rule: str, key: str = 'data.path_rule') -> Callable[[str], str]:
  r"""Makes a function that rewrites the paths of lists.

  The rule is 'regex=>replacement' for `re.sub`, such as r'^(.+)\.mp4=>\1.webm';
  '' leaves paths as they are.

  Raises:
    UserError: no arrow, or a regular expression that Python refuses.
  """
  if not rule:
    return lambda path: path
  pattern, arrow, replacement = rule.partition('=>')
  if not arrow or not pattern:
    raise UserError(
        f'{key}={rule!r}: wanted REGEX=>REPLACEMENT, such as '
        r"'^(.+)\.avi$=>videos/\1.mp4'."
    )
  try:
    regex = re.compile(pattern)
    # The replacement is checked too, even if nothing matches.
    regex.sub(replacement, '')
  except (re.error, IndexError) as e:
    raise UserError(f'{key}={rule!r}: bad regular expression: {e}.') from e
  return lambda path: regex.sub(replacement, path)


def rewrite(listing: Listing, rule: Callable[[str], str]) -> Listing:
  """Returns the list with every path rewritten."""
  items = (dataclasses.replace(i, path=rule(i.path)) for i in listing.items)
  return dataclasses.replace(listing, items=tuple(items))


def locate(
    listings: Sequence[Listing],
    store: Store,
    class_of: ClassOf,
    data,
    report_folder: str | pathlib.Path | None = None,
    roles: Sequence[str] = ('train',),
    advice: str = '',
) -> list[Listing]:
  """Adds the key of its clip to every item, and removes missing clips.

  `class_of` is used to name classes that have lost all clips. If clips are
  missing, 'missing-<role>.txt' is written to `report_folder`. Without the role
  'train', training clips may be missing, since nobody reads them. `advice`
  replaces the message's advice on missing clips.

  Raises:
    UserError: clips are missing. The message says how many of each list, names
      the first ones, and the files that name all of them.
  """
  found, faults, keys, usable = [], [], {}, True
  for listing in listings:
    unread = listing.role == 'train' and 'train' not in roles
    kept, missing = [], []
    for item in listing.items:
      clip = item.clip or store.find(item.path, listing.by_name)
      clip = clip or (item.path if unread else '')
      (kept if clip else missing).append(dataclasses.replace(item, clip=clip))
    if missing:
      told = _tell_missing(listing, missing, store, report_folder)
      share = len(missing) / len(listing.items)
      allowed = kept and share <= data.most_missing
      if data.on_missing != 'error' and allowed:
        print(f'note: {told}{_lost_classes(kept, missing, class_of)}')
      else:
        if data.on_missing != 'error' and kept:
          told += (
              f'\n  {share:.0%} is more than data.most_missing='
              f'{data.most_missing:g} allows.'
          )
        faults.append(told)
        keys[listing.key] = None
        usable = usable and bool(kept)
    gone = (*listing.missing, *(item.path for item in missing))
    found.append(dataclasses.replace(listing, items=tuple(kept), missing=gone))
  if faults:
    skip = data.on_missing == 'skip'
    way = 'data.most_missing=1' if skip else 'data.on_missing=skip'
    way = f', or leave them out: {way}' if usable else ''
    advice = advice or (
        'Complete the data, rewrite the paths (data.path_rule), or give a list '
        f'of the clips that exist ({", ".join(keys)}){way}.'
    )
    raise UserError('\n'.join([*faults, f'  {advice}']))
  return found


def _tell_missing(listing, missing, store, report_folder) -> str:
  shown = ', '.join(
      item.path + f' (line {item.line})' * (item.line > 0)
      for item in missing[:_SHOWN]
  )
  shown += ', ...' * (len(missing) > _SHOWN)
  if report_folder is not None:
    report = pathlib.Path(report_folder) / f'missing-{listing.role}.txt'
    whole_file.write(report, ''.join(f'{item.path}\n' for item in missing))
    shown += f' (all in {report})'
  return (
      f'{len(missing)} of {len(listing.items)} clips of the {listing.role} '
      f'list {listing.file} are not in {store}: {shown}.'
  )


def _lost_classes(kept, missing, class_of: ClassOf) -> str:
  """Names the classes that have lost all their clips."""

  def said(item):
    if isinstance(item.label, str):
      return item.label
    name = item.class_name or class_of(item.clip or item.path)
    return name or ('' if item.label is None else f'number {item.label}')

  there = {'', *map(said, kept)}
  lost = [n for n in dict.fromkeys(map(said, missing)) if n not in there]
  if not lost:
    return ''
  shown = ', '.join(lost[:10]) + ', ...' * (len(lost) > 10)
  return f'\n  Classes that have lost all their clips ({len(lost)}): {shown}.'
