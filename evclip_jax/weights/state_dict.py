"""Finds the state dict in a saved object of nested containers."""

from typing import Any

import numpy as np

from data_pipelines.errors import WeightsError
from data_pipelines.unpickle import Inert
from evclip_jax.weights.torch_globals import NumpyArray, TensorRef

# Names under which training scripts save the model, most specific first.
_STATE_NAMES = (
    'trunk', 'state_dict', 'model_state_dict', 'model_state', 'model'
)
# Shared objects can be met exponentially often, so the search is bounded.
_MOST_ENTRIES = 200_000
_MOST_LEVELS = 100

# A tensor of a torch file, perhaps not read yet.
Tensor = TensorRef | np.ndarray


def choose(
    root: Any,
) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
  """Returns the state dict in a saved object.

  This is the object itself if it is a dict of tensors, the entry 'state_dict'
  (or 'model_state_dict', 'model_state', 'model') of a training checkpoint, the
  entry 'trunk' of an Omnivore file, or all tensors of a TorchScript module.

  Args:
    root: plain containers, `TensorRef`, `NumpyArray` and `Inert`.

  Returns:
    Dotted name -> tensor; lines about what was chosen and left out; the dotted
    names of the tensors that were left out.

  Raises:
    WeightsError: there are no tensors, several candidates, or two tensors of
      the same name.
  """
  if not isinstance(root, (dict, Inert)):
    kind = 'tensor' if _is_tensor(root) else type(root).__name__
    raise WeightsError(f'it holds a {kind}, not a dict of tensors.')
  notes, everything = [], _collect(root)
  tensors = everything
  # A model saved from a wrapper can be two levels down.
  while isinstance(root, dict) and (name := _inner(root)):
    root = root[name]
    tensors = _collect(root)
    notes.append(f'took the entry {name!r} ({len(tensors)} tensors)')
  if not tensors:
    raise WeightsError('there are no tensors in it.')
  _collect(root, unique=True)
  kept = {id(t) for t in tensors.values()}
  left_out = tuple(n for n, t in everything.items() if id(t) not in kept)
  if left_out:
    groups = dict.fromkeys(name.split('.')[0] for name in left_out)
    notes.append(
        f'left out {len(left_out)} tensors under {", ".join(map(repr, groups))}'
    )
  return tensors, tuple(notes), left_out


def _inner(root: dict) -> str | None:
  """Returns the name of the state dict's entry; None if it is `root`."""
  nested = [k for k, v in root.items() if _holds_tensors(v)]
  for name in _STATE_NAMES:
    if name in nested:
      return name
  if any(_is_tensor(v) for v in root.values()):
    return None
  nested = [k for k in nested if 'optim' not in str(k)]
  if len(nested) > 1:
    raise WeightsError(
        'it has several dicts of tensors: '
        + ', '.join(map(repr, nested))
        + ".\n  Wanted only one, or one called 'state_dict'."
    )
  return nested[0] if nested else None


def _holds_tensors(value: Any) -> bool:
  """Returns whether there is a tensor at most three levels down."""
  level = [value]
  for _ in range(3):
    # Each object once, however often it is met.
    unique = {id(x): x for x in level if isinstance(x, (dict, Inert))}
    level = [v for x in unique.values() for v in _items(x).values()]
    if any(_is_tensor(v) for v in level):
      return True
  return False


def _collect(root: dict | Inert, unique: bool = False) -> dict[str, Tensor]:
  """Collects all tensors by dotted name, except those in lists.

  If they must be `unique`, raises WeightsError for two of the same name.
  """
  found: dict[str, Tensor] = {}
  # (prefix, rest of the items, identities of the objects on the way down)
  stack = [('', iter(_items(root).items()), frozenset([id(root)]))]
  steps = 0
  while stack:
    prefix, items, parents = stack[-1]
    for name, value in items:
      if not isinstance(name, (str, int)):
        name = type(name).__name__
      steps += 1
      if steps > _MOST_ENTRIES or len(stack) > _MOST_LEVELS:
        raise WeightsError(
            f'it is nested too far (more than {_MOST_ENTRIES:,} entries or '
            f'{_MOST_LEVELS} levels).'
        )
      if _is_tensor(value):
        value = value.value if isinstance(value, NumpyArray) else value
        if unique and f'{prefix}{name}' in found:
          raise WeightsError(f'two tensors in it are called {prefix}{name}.')
        found[f'{prefix}{name}'] = value
      elif isinstance(value, (dict, Inert)) and id(value) not in parents:
        path = (f'{prefix}{name}.', iter(_items(value).items()))
        stack.append((*path, parents | {id(value)}))
        break
    else:
      stack.pop()
  return found


def _items(value: dict | Inert) -> dict:
  return value.state if isinstance(value, Inert) else value


def _is_tensor(value: Any) -> bool:
  if isinstance(value, NumpyArray):
    return isinstance(value.value, np.ndarray)
  return isinstance(value, TensorRef)
