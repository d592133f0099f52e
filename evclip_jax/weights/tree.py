"""Nested dicts of arrays and their flat form with '/'-joined paths."""

from collections.abc import Mapping
from typing import Any


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
  """The leaves of a nested dict by path.

  {'mlp': {'kernel': a}, 'scale': b} becomes {'mlp/kernel': a, 'scale': b}.
  Anything that is not a mapping is a leaf; empty mappings vanish.
  """
  flat = {}
  # A stack of (prefix, iterator) rather than recursion keeps the order.
  stack = [('', iter(tree.items()))]
  while stack:
    prefix, items = stack[-1]
    for name, value in items:
      path = f'{prefix}{name}'
      if isinstance(value, Mapping):
        stack.append((f'{path}/', iter(value.items())))
        break
      flat[path] = value
    else:
      stack.pop()
  return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
  """The inverse of `flatten`.

  Raises:
    ValueError: if a path is also the beginning of another, as in
      {'a': x, 'a/b': y}.
  """
  tree: dict[str, Any] = {}
  for path, value in flat.items():
    *parents, name = path.split('/')
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
      if not isinstance(node, dict):
        raise ValueError(f'{path!r} lies below a leaf of the tree.')
    if name in node:
      raise ValueError(f'{path!r} is both a leaf and a branch of the tree.')
    node[name] = value
  return tree
