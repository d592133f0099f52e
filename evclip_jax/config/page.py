"""Prints docs/config.md, from the schema: python -m evclip_jax.config.page."""

import dataclasses
import re

from evclip_jax.config import schema
from evclip_jax.methods import base

_INTRO = """# Every key of a config

Written by `python -m evclip_jax.config.page > docs/config.md`; do not edit.

A file in `configs/` starts from these values, adds its method's `RECIPE` and
changes some. Every key can be set on the command line: `--config.data.shots=4`;
lists and tuples in Python syntax, in quotes.
"""

_RECIPES = """## Recipes

What the authors of a method train it with (`RECIPE` in its file), and what a
row of a comparison starts from; a config file or a flag may override it.
"""
_RECIPE_KEYS = (
    'batch_size',
    'train.epochs',
    'optimizer.name',
    'optimizer.learning_rate',
    'optimizer.weight_decay',
    'optimizer.schedule',
)


def text() -> str:
  """Returns the page as Markdown."""
  parts = [_INTRO]
  groups: dict[str, list[tuple[str, ...]]] = {}
  for key, (default, meaning, allowed) in schema.KEYS.items():
    if isinstance(allowed, int):
      allowed = f'{allowed} or more'
    elif isinstance(allowed, float):
      allowed = f'0 to {allowed:g}'
    elif allowed is not None:
      allowed = ', '.join(map(str, allowed))
    group, dot, _ = key.partition('.')
    row = key, repr(default), allowed or '', meaning
    groups.setdefault(group if dot else '', []).append(row)
  for group, rows in groups.items():
    parts.append(f'## {group or "The run"}\n')
    parts.append(_table(('key', 'default', 'allowed', 'meaning'), rows))
  parts.append(_RECIPES)
  parts.append(_table(('method', *_RECIPE_KEYS), list(_recipes()), 1))
  parts.append(
      '## Settings of the methods\n\n`method.settings.KEY` has the fields of '
      '`Settings` in the file of each method.\n'
  )
  for name in base.names():
    parts.append(f'### {name}\n')
    rows = list(_settings(base.load(name).Settings))
    parts.append(_table(('key', 'default', 'meaning'), rows))
  return '\n'.join(parts)


def _recipes():
  """Yields the values of `_RECIPE_KEYS` for each method that trains."""
  for name in base.names():
    method = base.load(name)
    values = {key: schema.KEYS[key].default for key in _RECIPE_KEYS}
    values |= getattr(method, 'RECIPE', {})
    if getattr(method, 'EPISODIC', False):
      # These methods learn from episodes, not in epochs of clips.
      values |= {'batch_size': '', 'train.epochs': ''}
    if method.trains(method.Settings()):
      yield name, *(str(values[key]) for key in _RECIPE_KEYS)


def _settings(settings: type):
  """Yields key, default and meaning of a method's settings."""
  meanings = {}
  for part in reversed(settings.__mro__):
    _, _, attributes = (part.__doc__ or '').partition('Attributes:')
    for names, meaning in re.findall(
        r'\n {4}(\w[\w, ]*): (.*(?:\n {6}.*)*)', attributes
    ):
      meanings |= dict.fromkeys(names.split(', '), ' '.join(meaning.split()))
  for field in dataclasses.fields(settings):
    yield field.name, repr(field.default), meanings.get(field.name, '')


def _table(
    header: tuple[str, ...], rows: list[tuple[str, ...]], code: int = 2
) -> str:
  """Formats a Markdown table; its first `code` columns are code."""

  def line(cells):
    # A bar would end the cell.
    return '| ' + ' | '.join(c.replace('|', '\\|') for c in cells) + ' |'

  rows = [(*(f'`{cell}`' for cell in row[:code]), *row[code:]) for row in rows]
  rule = '| ' + ' | '.join('---' for _ in header) + ' |'
  return '\n'.join([line(header), rule, *map(line, rows)]) + '\n'


if __name__ == '__main__':
  print(text(), end='')
