"""Lists that number classes of their own (data.class_scope=per_list).

CLIP-FSAR's train, val and test lists all begin with class 0, and mean other
classes by it; so do EZ-CLIP's base and novel lists. Here a list's numbers
become its own table of names.
"""

import dataclasses

from data_pipelines.errors import UserError
from data_pipelines.lists import classes
from data_pipelines.lists.items import Item
from data_pipelines.lists.locate import Located


def number(located: Located, names: dict[str, list[str]]) -> Located:
  """Gives a list its own table of classes.

  Names come from `names`, else from the list, else from the folders of its
  clips. Classes without a clip stay only if `names` has them.

  Args:
    located: the list, with the numbers or names it came with.
    names: see `class_names.read_per_list`.

  Returns:
    The list with `listing.classes`, and a name of them as every label.

  Raises:
    UserError: a number without a name, or numbers and folders that disagree.
  """
  listing = located.listing
  given = names.get(listing.split) or names.get(located.name) or names.get('')
  said = [_said(item, key) for item, key in located.pairs()]
  numbers = [i.label for i in listing.items if isinstance(i.label, int)]
  if numbers and len(numbers) < len(said):
    raise UserError(
        f'{listing.file}: some classes are numbers and some are names.'
    )
  if given:
    where = 'data.class_names'
    shown = tuple(given)
  elif numbers:
    raw = _by_number(listing, said, sorted(filter(None, names)))
    shown = tuple(classes.clean(n) for n in raw.values())
    position = {k: p for p, k in enumerate(raw)}
    where = str(listing.file)
  else:
    shown = tuple(classes.clean(n) for n in sorted(set(said)))
    where = str(listing.file)
  classes.check_distinct(list(shown), where)
  first = listing.first_number or 0
  spelt = {classes.same(name): name for name in shown}

  def label(item: Item, name: str) -> str:
    if numbers and not given:
      return shown[position[item.label]]
    if numbers:
      if not 0 <= item.label - first < len(shown):
        raise UserError(
            f'{listing.where(item)}: the class {item.label} has no name: '
            f'data.class_names has {len(shown)} for this list.'
        )
      return shown[item.label - first]
    if classes.same(name) not in spelt:
      raise UserError(
          f'{listing.where(item)}: the class {name!r} is not one of the '
          f'{len(shown)} classes ({where}).'
      )
    return spelt[classes.same(name)]

  items = tuple(
      dataclasses.replace(item, label=label(item, name))
      for item, name in zip(listing.items, said, strict=True)
  )
  listing = dataclasses.replace(listing, items=items, classes=shown)
  return dataclasses.replace(located, listing=listing)


def _said(item: Item, key: str) -> str:
  """The class's name as the list or the clip's folder has it."""
  if isinstance(item.label, str):
    return item.label
  if item.class_name:
    return item.class_name
  return key.rsplit('/', 2)[-2] if '/' in key else ''


def _by_number(
    listing, said: list[str], splits: list[str]
) -> dict[int, str]:
  """The name of each number, in the order of the numbers."""
  found = {}
  for item, name in zip(listing.items, said, strict=True):
    found.setdefault(item.label, {}).setdefault(classes.same(name), item)
  for label, spellings in sorted(found.items()):
    item = next(iter(spellings.values()))
    if '' in spellings and splits and listing.split:
      raise UserError(
          f'{listing.where(item)}: the class {label} has no name: '
          f'data.class_names has those of {" and ".join(splits)} only. Write '
          f'those of this list, in the order of the numbers, in a JSON file '
          f'{{"{listing.split}": [names]}}; published names go on in it: '
          'data.class_names=clip_fsar/<data set>,FILE.json.'
      )
    if '' in spellings:
      raise UserError(
          f'{listing.where(item)}: the class {label} has no name: neither the '
          'list nor a folder says it. Give data.class_names, a JSON file '
          '{"train": [names], "test": [names]} in the order of the numbers.'
      )
    if len(spellings) > 1:
      raise UserError(
          f'{listing.where(item)}: the number {label} stands for several '
          f'folders ({", ".join(sorted(spellings)[:3])}). Give '
          'data.class_names.'
      )
  names = dict(zip((i.label for i in listing.items), said, strict=True))
  return {label: names[label] for label in sorted(names)}
