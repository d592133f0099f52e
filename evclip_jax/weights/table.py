"""Converts tensors of other code bases to our parameter tree, and back.

A table of rules `original name -> (path, layout)` serves both directions, also
for trained weights and gradients.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class Layout:
  """Holds a change of layout and its inverse."""

  name: str
  forward: Callable[[np.ndarray], np.ndarray]
  backward: Callable[[np.ndarray], np.ndarray]


KEEP = Layout('keep', lambda x: x, lambda x: x)
# Linear: [out, in] -> [in, out].
LINEAR = Layout('linear', np.transpose, np.transpose)
# Convolution: [O, I, H, W] -> [H, W, I, O].
CONV2D = Layout(
    'conv2d',
    lambda x: x.transpose(2, 3, 1, 0),
    lambda x: x.transpose(3, 2, 0, 1),
)
# Convolution also in time: [O, I, T, H, W] -> [T, H, W, I, O].
CONV3D = Layout(
    'conv3d',
    lambda x: x.transpose(2, 3, 4, 1, 0),
    lambda x: x.transpose(4, 3, 0, 1, 2),
)


@dataclasses.dataclass(frozen=True)
class Rule:
  """Maps tensor names to paths.

  Attributes:
    original: regular expression for whole names in the file.
    path: path in our tree; \\1, \\2 stand for the groups of `original`.
    layout: how the layout changes.
  """

  original: str
  path: str
  layout: Layout = KEEP


def dense(original: str, path: str) -> tuple[Rule, Rule]:
  """Returns the rules of a linear layer's weight and bias."""
  return (
      Rule(original + r'\.weight', path + '/kernel', LINEAR),
      Rule(original + r'\.bias', path + '/bias'),
  )


def norm(original: str, path: str) -> tuple[Rule, Rule]:
  """Returns the rules of a norm's weight and bias."""
  return (
      Rule(original + r'\.weight', path + '/scale'),
      Rule(original + r'\.bias', path + '/bias'),
  )


def leaf_shapes(
    tree: Mapping[str, Any], prefix: str = ''
) -> dict[str, tuple[int, ...]]:
  """Returns path -> shape of a nested tree of arrays or ShapeDtypeStructs."""
  out = {}
  for name, value in tree.items():
    if isinstance(value, Mapping):
      out |= leaf_shapes(value, f'{prefix}{name}/')
    else:
      out[prefix + name] = tuple(value.shape)
  return out


def without(
    prefix: str, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Removes a prefix from the names that have it.

  Raises:
    WeightsError: two tensors would have the same name.
  """
  out: dict[str, np.ndarray] = {}
  for name, tensor in tensors.items():
    short = name.removeprefix(prefix)
    if short in out:
      raise WeightsError(f'the tensor {short!r} is there twice.')
    out[short] = tensor
  return out


def joined(
    parts: Mapping[str, Mapping[str, np.ndarray]],
    order: Sequence[str],
    axis: int,
) -> dict[str, np.ndarray]:
  """Joins tensors that others keep apart, such as query, key and value.

  Args:
    parts: name of the whole -> name of the part -> tensor.
    order: names of the parts, in their order along the axis.
    axis: the axis to join.

  Raises:
    WeightsError: a part is missing, or is of another shape.
  """
  for name, found in parts.items():
    if found.keys() != set(order):
      raise WeightsError(
          f'{name!r} has only the parts {sorted(found)}; wanted '
          f'{", ".join(order)}.'
      )
    shapes = {np.shape(tensor) for tensor in found.values()}
    if len(shapes) > 1 or () in shapes:
      raise WeightsError(
          f'the parts of {name!r} have the shapes {sorted(shapes)}; wanted one.'
      )
  return {
      name: np.concatenate([found[part] for part in order], axis)
      for name, found in parts.items()
  }


@dataclasses.dataclass(frozen=True)
class Converted:
  """Holds a checkpoint of another code base with our names and layout.

  Attributes:
    sizes: the architecture that the tensors show (a frozen dataclass of
      numbers, strings and tuples), or None if none is needed.
    flat: path such as 'visual/conv1/kernel' -> float32 array.
    mapped: original name -> path.
    ignored: original names that are not needed.
    notes: lines about what was chosen or assumed.
    assumed: fields of `sizes` that neither the file nor its config contains.
    kind, label: the kind of file, such as 'openai-clip', and its description.
    part: the branch of `flat`: 'clip', 'encoder', 'method' or 'several'.
  """

  sizes: Any
  flat: dict[str, np.ndarray]
  mapped: dict[str, str] = dataclasses.field(default_factory=dict)
  ignored: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()
  assumed: tuple[str, ...] = ()
  kind: str = ''
  label: str = ''
  part: str = ''


def convert(
    state: Mapping[str, np.ndarray],
    rules: Iterable[Rule],
    ignore: Iterable[str],
    shapes: Mapping[str, tuple[int, ...]],
    sizes: Any = None,
) -> Converted:
  """Converts a state dict to a flat tree in float32.

  Args:
    state: original name -> tensor of any float dtype.
    rules: the table.
    ignore: regular expressions of original names that are not needed.
    shapes: path -> shape of every leaf of the model.
    sizes: the architecture, for the result.

  Raises:
    WeightsError: not exactly one rule matches a name, the model does not have a
      path, a path is filled twice or never, or a shape is wrong.
  """
  compiled = [(re.compile(rule.original), rule) for rule in rules]
  ignore = [re.compile(pattern) for pattern in ignore]
  flat, mapped, ignored = {}, {}, []
  for name, tensor in state.items():
    if any(pattern.fullmatch(name) for pattern in ignore):
      ignored.append(name)
      continue
    hits = [(m, rule) for p, rule in compiled if (m := p.fullmatch(name))]
    if not hits:
      raise WeightsError(f'no rule for the tensor {name!r} {_shape(tensor)}.')
    if len(hits) > 1:
      raise WeightsError(
          f'{len(hits)} rules match the tensor {name!r}: '
          + ', '.join(rule.original for _, rule in hits)
      )
    match, rule = hits[0]
    path = match.expand(rule.path)
    if path not in shapes:
      raise WeightsError(
          f'the tensor {name!r} would become {path!r}, which this architecture '
          'does not have.'
      )
    if path in flat:
      raise WeightsError(f'two tensors would fill {path!r}; one is {name!r}.')
    flat[path] = _in_layout(name, tensor, rule.layout, path, shapes[path])
    mapped[name] = path
  missing = [path for path in shapes if path not in flat]
  if missing:
    raise WeightsError(
        f'{len(missing)} of {len(shapes)} parameters of the architecture are '
        f'not in the file, such as {", ".join(map(repr, missing[:3]))}.'
    )
  return Converted(sizes, flat, mapped, tuple(ignored))


def _in_layout(
    name: str,
    tensor: np.ndarray,
    layout: Layout,
    path: str,
    shape: tuple[int, ...],
) -> np.ndarray:
  """Returns a tensor in our layout, in float32, after a check of its shape."""
  tensor = np.asarray(tensor)
  if tensor.dtype.kind in 'biuc':
    raise WeightsError(
        f'the tensor {name!r} is {tensor.dtype}; {path!r} wants floats.'
    )
  value = laid_out(tensor, layout)
  if value is None or tuple(value.shape) != tuple(shape):
    becomes = 'nothing' if value is None else _shape(value)
    raise WeightsError(
        f'the tensor {name!r} {_shape(tensor)} becomes {becomes} '
        f'({layout.name}), but {path!r} is {tuple(shape)}.'
    )
  return np.ascontiguousarray(value, np.float32).reshape(value.shape)


def laid_out(tensor: np.ndarray, layout: Layout) -> np.ndarray | None:
  """Returns a tensor in our layout; None if it has other axes."""
  try:
    return layout.forward(np.asarray(tensor))
  except (ValueError, IndexError):
    return None


def check_tree(
    flat: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
):
  """Checks that a flat tree has exactly the leaves of the model.

  Raises:
    WeightsError: a leaf is missing, unknown or of another shape.
  """
  for path in sorted({*flat, *shapes}):
    there = _shape(flat[path]) if path in flat else 'missing'
    wanted = str(tuple(shapes[path])) if path in shapes else 'unknown'
    if there != wanted:
      raise WeightsError(
          f'{path!r} is {there} in the file and {wanted} in this architecture.'
      )


def to_original(
    flat: Mapping[str, np.ndarray], rules: Iterable[Rule]
) -> dict[str, np.ndarray]:
  """Returns leaves (weights or gradients) with the original's names.

  Args:
    flat: path -> array; any subset of the model's leaves.
    rules: the table of `convert`. Its names must be literal except for plain
      groups such as (\\d+) or (a|b), each of which must be in the path.

  Raises:
    ValueError: not exactly one rule leads to a path.
  """
  inverted = [_invert(rule) for rule in rules]
  state = {}
  for path, value in flat.items():
    hits = {
        (m.expand(template), layout)
        for pattern, template, layout in inverted
        if (m := pattern.fullmatch(path))
    }
    if len(hits) != 1:
      raise ValueError(f'{len(hits)} rules lead to the path {path!r}.')
    name, layout = hits.pop()
    state[name] = layout.backward(np.asarray(value))
  return state


def leads_to(path: str, rules: Iterable[Rule]) -> bool:
  """Returns whether any rule leads to a path."""
  return any(_invert(rule)[0].fullmatch(path) for rule in rules)


def _invert(rule: Rule) -> tuple[re.Pattern, str, Layout]:
  """Returns a pattern for paths, a template for names, and the layout."""
  # Groups in parentheses, which are not nested.
  groups = re.findall(r'(?<!\\)\([^()]*\)', rule.original)
  template = rule.original
  for number, group in enumerate(groups, start=1):
    template = template.replace(group, f'\\g<g{number}>', 1)
  pattern, seen = '', []
  for part in re.split(r'(\\\d)', rule.path):
    if re.fullmatch(r'\\\d', part):
      number = int(part[1:])
      # A repeated group must match the same text.
      pattern += f'(?P=g{number})' if number in seen else (
          f'(?P<g{number}>{groups[number - 1][1:-1]})'
      )
      seen.append(number)
    else:
      pattern += re.escape(part)
  return re.compile(pattern), template.replace('\\.', '.'), rule.layout


def _shape(tensor: Any) -> str:
  return str(tuple(np.shape(tensor)))
