"""Handles parameter trees as flat dicts: splits, merges, casts, counts."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

Flat = dict[str, Any]

# Leaves of the frozen networks that layers cast to the compute dtype anyway; a
# ResNet's last projection stays in float32.
_CAST = re.compile(r'(clip|encoder)/(?!.*attnpool/c_proj/).*/kernel')


def split(params: Mapping, patterns: Iterable[str]) -> tuple[Flat, Flat]:
  """Splits a tree into trainable and frozen leaves, as flat dicts.

  For params = {'clip': {'proj': a}, 'method': {'mask': {'scale': b}}} and
  patterns = ('method/.*',), which must match whole '/'-joined paths, it returns
  ({'method/mask/scale': b}, {'clip/proj': a}). ValueError if a pattern matches
  no path.
  """
  leaves = flatten_dict(params, sep='/')
  chosen = set()
  for pattern in patterns:
    hits = {p for p in leaves if re.fullmatch(pattern, p)}
    if not hits:
      raise ValueError(
          f'the pattern {pattern!r} matches no parameter. The trees are: '
          + ', '.join(sorted({p.split('/')[0] for p in leaves}))
      )
    chosen |= hits
  trainable = {p: v for p, v in leaves.items() if p in chosen}
  frozen = {p: v for p, v in leaves.items() if p not in chosen}
  return trainable, frozen


def merge(*halves: Flat) -> dict[str, Any]:
  """Merges flat dicts with disjoint paths into a nested tree."""
  return unflatten_dict({p: v for h in halves for p, v in h.items()}, sep='/')


def in_dtype(frozen: Flat, dtype: Any) -> Flat:
  """Casts frozen leaves that each step would cast anyway; saves memory too."""
  return {
      path: leaf.astype(dtype) if _CAST.fullmatch(path) else leaf
      for path, leaf in frozen.items()
  }


def count(leaves: Mapping[str, Any]) -> int:
  """Counts the weights in a flat dict."""
  return sum(int(np.prod(np.shape(v))) for v in leaves.values())


def table(trainable: Flat, frozen: Flat) -> str:
  """Formats counts of trainable parameters, logged at the start of a run."""
  total = count(trainable) + count(frozen)
  lines = [
      f'trainable {count(trainable):,} of {total:,} parameters '
      f'in {len(trainable)} tensors'
  ]
  groups: dict[str, int] = {}
  for path, value in trainable.items():
    group = '/'.join(path.split('/')[:3])
    groups[group] = groups.get(group, 0) + int(np.prod(np.shape(value)))
  width = max((len(g) for g in groups), default=0)
  lines += [f'  {g:<{width}}  {n:>12,}' for g, n in groups.items()]
  return '\n'.join(lines)
