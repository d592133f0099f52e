"""Whether a list numbers classes from 0 or from 1."""

from collections.abc import Callable

from data_pipelines.errors import UserError
from data_pipelines.lists.locate import ClassTable, Located


def first(
    located: Located, table: ClassTable, class_of: Callable[[str], str]
) -> int:
  """The number of the first class in a list.

  Where the folders of the clips tell their classes, these decide. Otherwise
  a 0 or a number as high as the number of classes does; else what the list's
  grammar says, else 0.

  Args:
    located: the list.
    table: the classes.
    class_of: the class of a clip by its path, '' if it does not say.

  Raises:
    UserError: some numbers agree with neither.
  """
  known = {}
  numbered = []
  numbers = set()
  for item, key in located.pairs():
    if isinstance(item.label, int):
      numbers.add(item.label)
      name = class_of(key)
      if name not in known:
        known[name] = table.label(name) if name else None
      if known[name] is not None:
        numbered.append((item, name, known[name]))
  if not numbered:
    return _by_range(numbers, len(table.raw), located.listing.first_number)
  ones = sum(item.label == label + 1 for item, _, label in numbered)
  number = int(ones > len(numbered) / 2)
  for item, name, label in numbered:
    in_range = number <= item.label < len(table.raw) + number
    if in_range and item.label != label + number:
      raise UserError(
          f'{located.listing.where(item)}: the label is {item.label}, but the '
          f'class {name!r} has the number {label + number} ({table.origin}). '
          'For a list with a numbering of its own: data.class_scope=per_list.'
      )
  return number


def _by_range(numbers: set[int], classes: int, usual: int | None) -> int:
  if 0 in numbers:
    return 0
  if classes in numbers:
    return 1
  return usual or 0
