"""Lists that name clips otherwise than a mirror of the data set does."""

import dataclasses
import re
from collections.abc import Callable

from data_pipelines.errors import UserError
from data_pipelines.lists.grammars import Listing

_ARROW = '=>'


def parse(text: str, key: str = 'data.path_rule') -> Callable[[str], str]:
  r"""A function that rewrites the path of one clip.

  Args:
    text: 'regex=>replacement' for `re.sub`, such as r'^(.+)\.mp4=>\1.webm';
      '' = paths stay.
    key: the config key, for messages.

  Raises:
    UserError: no arrow, or a regular expression that Python refuses.
  """
  if not text:
    return lambda path: path
  pattern, arrow, replacement = text.partition(_ARROW)
  if not arrow or not pattern:
    raise UserError(
        f'{key}={text!r}: wanted REGEX=>REPLACEMENT, such as '
        r"'^(.+)\.avi$=>videos/\1.mp4'."
    )
  try:
    regex = re.compile(pattern)
    # The replacement is checked too, even if nothing matches.
    regex.sub(replacement, '')
  except (re.error, IndexError) as e:
    raise UserError(f'{key}={text!r} is no regular expression: {e}.') from e
  return lambda path: regex.sub(replacement, path)


def rewrite(listing: Listing, rule: Callable[[str], str]) -> Listing:
  """The list with every path rewritten."""
  items = (dataclasses.replace(i, path=rule(i.path)) for i in listing.items)
  return dataclasses.replace(listing, items=tuple(items))
