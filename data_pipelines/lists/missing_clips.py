"""Clips that lists name and the data lack: one message for all lists."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from data_pipelines.errors import UserError


class MissingClips(UserError):
  """A list names clips that are not there.

  Attributes:
    found: (what is missing, the config key of the list) of every such list.
  """

  def __init__(self, found: Sequence[tuple[str, str]]):
    """One message for all lists."""
    self.found = tuple(found)
    keys = ', '.join(dict.fromkeys(key for _, key in self.found))
    super().__init__(
        '\n'.join(text for text, _ in self.found)
        + '\n  Complete the data, give a list of the clips there are '
        f'({keys}), or leave them out: data.on_missing=skip.'
    )


@contextlib.contextmanager
def together() -> Iterator[Callable]:
  """Collects what several lists miss and raises it once, at the end.

  Yields:
    A function; `with attempt():` lets the next list be looked at when the
    clips of this one are missing.
  """
  found = []

  @contextlib.contextmanager
  def attempt():
    try:
      yield
    except MissingClips as e:
      found.extend(e.found)

  yield attempt
  if found:
    raise MissingClips(found)
