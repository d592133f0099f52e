"""Makes class names readable, matches spellings, and orders a run's classes.

Exactly equal names match first. Another spelling (case, underscores,
punctuation, Unicode form) matches a class only if it is unambiguous (`match`).
"""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from data_pipelines.errors import UserError
from data_pipelines.lists import text
from data_pipelines.lists.clips import ClipList

# Classes that no data set has.
_MOST = 1_000_000
_HUMP = re.compile(r'(?<=[a-z0-9])(?=[A-Z])')


@dataclasses.dataclass(frozen=True)
class Classes:
  """Holds classes in label order.

  `raw` are the names as in folders and lists, '' for a number without clips or
  name; `shown` the names as in prompts; `origin` says where the order comes
  from. `fixed`: keep all classes, with or without clips, since the user gave
  them; `untrained`: keep all if a list to be scored has a class without
  training clips. `own_numbers`: positions are the numbers in the lists from
  which the classes were inferred, whether these begin with 0 or not.
  """

  raw: tuple[str, ...]
  shown: tuple[str, ...]
  origin: str
  fixed: bool = False
  untrained: bool = False
  own_numbers: bool = False

  @classmethod
  def of(cls, raw: Sequence[str], origin: str, **values) -> 'Classes':
    """Makes classes whose prompts are the cleaned names."""
    return cls(tuple(raw), tuple(map(clean, raw)), origin, **values)

  @classmethod
  def given(cls, names: Sequence[str], origin: str) -> 'Classes':
    """Makes classes from the user's names, which stay as they are."""
    return cls(tuple(names), tuple(names), origin, fixed=True)


def clean(name: str) -> str:
  """Turns the class name of a folder or list into words: 'YoYo' -> 'Yo Yo'.

  Underscores become spaces, as in every prompt of the original. A name of one
  word is split at its inner capitals, as the original does for UCF-101. All
  else stays: 'turn-on', 'Inspect/Read recipe'.

  Source: EV-CLIP, trainers/evoclip.py (underscores) and
    dassl/data/datasets/ucf101_video.py (capitals).
  Differs: a run of capitals stays together ('TVShow'), and nothing before the
    first capital is lost; UCF-101 has neither.
  """
  words = text.readable(name).replace('_', ' ').split()
  if len(words) == 1:
    words = _HUMP.sub(' ', words[0]).split()
  return ' '.join(words)


def _composed(name: str) -> str:
  return unicodedata.normalize('NFC', name)


def _words(name: str) -> str:
  return clean(_composed(name)).casefold()


def letters(name: str) -> str:
  """Reduces a name to its letters and digits, which all spellings share."""
  folded = unicodedata.normalize('NFKC', name).casefold()
  return ''.join(c for c in folded if c.isalnum())


def match(
    found: Iterable[str], names: Sequence[str], tell: bool = False
) -> dict[str, int]:
  """Finds the class that each name means: name -> position in `names`.

  Equal names match first, then looser and looser spellings, each where exactly
  one remaining name and one remaining class share it. With `tell`, a note is
  printed if only the letters agree.

  Raises:
    UserError: two names may mean the same class, or a name two classes.
  """
  places = {name: k for k, name in enumerate(names) if name}
  found = list(filter(None, dict.fromkeys(found)))
  out = {}
  for spelling in (str, _composed, _words, letters):
    asked, known = {}, {}
    for name in found:
      if name not in out:
        asked.setdefault(spelling(name), []).append(name)
    for name in places:
      known.setdefault(spelling(name), []).append(name)
    for key in asked:
      if not key or key not in known:
        continue
      if len(asked[key]) + len(known[key]) > 2:
        several = asked[key] if len(asked[key]) > 1 else known[key]
        other = known[key][0] if len(asked[key]) > 1 else asked[key][0]
        raise UserError(
            f'{several[0]!r} and {several[1]!r} may both mean {other!r}. Write '
            'class names exactly as the folders or lists do.'
        )
      out[asked[key][0]] = places.pop(known[key][0])
  told = [n for n, k in out.items() if _words(n) != _words(names[k])]
  if told and tell:
    print(
        f'note: {len(told)} class names are spelt differently in the data, '
        f'such as {told[0]!r} for {names[out[told[0]]]!r}.'
    )
  return out


def check_distinct(
    names: Sequence[str], where: str, raw: Sequence[str] | None = None
):
  """Raises UserError if two named classes would get the same prompt.

  CLIP's tokenizer ignores case and the Unicode form. The message calls the
  classes by their `raw` names.
  """
  raw, seen = raw or names, {}
  for label, name in enumerate(names):
    prompt = _composed(clean(name)).lower()
    other = seen.setdefault(prompt, label) if prompt else label
    if other != label:
      raise UserError(
          f'{where}: classes {other} ({raw[other]!r}) and {label} '
          f'({raw[label]!r}) have the same name in a prompt, {prompt!r}. '
          'Rename one of them (data.class_names).'
      )


def with_gaps(names: dict[int, str], first: int) -> list[str]:
  """Lists names by number from `first` on; '' for missing numbers.

  Raises:
    UserError: a number that stands for something else, such as a video's.
  """
  last = max(names, default=-1)
  if last >= _MOST:
    raise UserError(
        f'the class {names[last]!r} has the number {last}: wanted numbers that '
        f'begin with 0 or 1, below {_MOST:,}.'
    )
  return [names.get(k, '') for k in range(first, last + 1)]


def compact(
    classes: Classes, lists: Mapping[str, ClipList]
) -> tuple[list[str], dict[str, ClipList]]:
  """Keeps the classes that have training clips and renumbers them.

  If `classes` are fixed, all that have a name are kept. Without a list 'train',
  those are kept that the lists to be scored have.

  Returns:
    (names as in prompts, the renumbered lists).

  Raises:
    UserError: clips to score of a class that has no training clip, or no name.
  """
  there = {k for clips in lists.values() for k in clips.counts()}
  used = set(lists['train'].counts()) if 'train' in lists else there
  strange = [classes.raw[k] for k in sorted(there - used)]
  if classes.untrained and strange and all(strange):
    print(
        f'note: {len(strange)} classes have clips to score but none to train '
        f'on, such as {strange[0]!r}; all {len(classes.raw)} classes of '
        f'{classes.origin} are kept.'
    )
    classes = dataclasses.replace(classes, fixed=True)
  if classes.fixed:
    named = {k for k, name in enumerate(classes.raw) if name}
    used = named | (used if 'train' in lists else set())
    if idle := [classes.raw[k] for k in sorted(used - there)]:
      print(
          f'note: {len(idle)} of {len(used)} classes ({classes.origin}) have '
          f'no clip in any list, such as {idle[0]!r}.'
      )
  for clips in lists.values():
    strange = [r for r in clips.records if r.label not in used]
    if strange and classes.fixed:
      raise UserError(
          f'the {clips.name} list ({clips.origin}) has {len(strange)} clips of '
          f'classes without a name in {classes.origin}, such as number '
          f'{strange[0].label} (from 0) of {strange[0].path}. Complete the '
          'names, or shorten that list.'
      )
    if strange:
      names = sorted({classes.raw[r.label] or str(r.label) for r in strange})
      same = letters(names[0])
      alike = [n for k in used if letters(n := classes.raw[k]) == same != '']
      hint = f' Write it as {alike[0]!r} everywhere.' if alike else ''
      raise UserError(
          f'the {clips.name} list ({clips.origin}) has {len(strange)} clips of '
          f'{len(names)} classes without a training clip, such as '
          f'{names[0]!r}. Shorten that list, add training clips, or name all '
          f'classes (data.class_names).{hint}'
      )
  new = {old: k for k, old in enumerate(sorted(used))}
  names = [classes.shown[old] or f'class {old}' for old in new]
  raw = [classes.raw[old] or name for old, name in zip(new, names, strict=True)]
  check_distinct(names, classes.origin, raw)
  return names, {name: clips.numbered(new) for name, clips in lists.items()}


def own(classes: Classes, clips: ClipList) -> ClipList:
  """Gives a list its own classes: those of which it has clips."""
  if clips.classes:
    return clips
  names, lists = compact(classes, {'train': clips})
  return dataclasses.replace(lists['train'], classes=tuple(names))
