"""Maps tensors of another code base to our parameter tree, by a table.

A table is a list of rules `original name -> (path, layout)`. It is read in both
directions, so that gradients and trained weights can be shown in the original
naming and layout.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class Layout:
  """A change of layout and its inverse."""

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
# Convolution in time too: [O, I, T, H, W] -> [T, H, W, I, O].
CONV3D = Layout(
    'conv3d',
    lambda x: x.transpose(2, 3, 4, 1, 0),
    lambda x: x.transpose(4, 3, 0, 1, 2),
)


@dataclasses.dataclass(frozen=True)
class Rule:
  """One line of a table.

  Attributes:
    original: regular expression that matches a whole name in the file.
    path: where the tensor goes in our tree; \\1, \\2 stand for the groups of
      `original`.
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
  """Returns path -> shape of a nested tree of arrays, or of their shapes."""
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
  """Takes a prefix off the names that have it.

  Raises:
    WeightsError: two tensors would have one name.
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
  """Joins what others keep apart, such as query, key and value.

  Args:
    parts: name of the whole -> name of a part -> tensor.
    order: of the parts along the axis.
    axis: of all of them.

  Raises:
    WeightsError: a part is missing.
  """
  for name, found in parts.items():
    if found.keys() != set(order):
      raise WeightsError(
          f'of {name!r} there are only {sorted(found)}, wanted '
          f'{", ".join(order)}.'
      )
  return {
      name: np.concatenate([found[part] for part in order], axis)
      for name, found in parts.items()
  }


@dataclasses.dataclass(frozen=True)
class Converted:
  """A checkpoint of another code base in our naming and layout.

  Attributes:
    sizes: the architecture read from the tensor shapes (a frozen dataclass of
      numbers, strings and tuples), or None where the shapes say it all.
    flat: path such as 'visual/conv1/kernel' -> float32 array.
    mapped: original name -> path.
    ignored: original names that the table lists as not needed.
    notes: lines on what was chosen or assumed on the way.
    assumed: fields of `sizes` that neither the file nor a config beside says.
    kind, label: of the file, such as 'openai-clip', and the same in words.
    part: what `flat` is of: 'clip', 'encoder', 'method' or 'several'.
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
    state: original name -> tensor, any float dtype.
    rules: the table.
    ignore: regular expressions of original names that are not needed.
    shapes: path -> shape of every leaf the model has.
    sizes: the architecture, for the result.

  Raises:
    WeightsError: a name that no rule or more than one matches, a path the
      model does not have, a path filled twice or never, a wrong shape.
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
  """The tensor in our layout, float32 and of the shape the model has."""
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
  """Returns a tensor in our layout; None if that is for other axes."""
  try:
    return layout.forward(np.asarray(tensor))
  except (ValueError, IndexError):
    return None


def check_tree(
    flat: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
):
  """Checks that a flat tree has the model's leaves and no others.

  Raises:
    WeightsError: naming the first leaf that is missing, unknown or of another
      shape.
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
  """Returns a flat tree (weights or gradients) in the original naming.

  Args:
    flat: path -> array; any subset of the model's leaves.
    rules: the table `convert` used. Its names must be literal but for plain
      groups such as (\\d+) or (a|b), and each group must be in the path.

  Raises:
    ValueError: a path that no rule or more than one leads to.
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
  """Returns whether a rule of a table leads to a path."""
  return any(_invert(rule)[0].fullmatch(path) for rule in rules)


def _invert(rule: Rule) -> tuple[re.Pattern, str, Layout]:
  """The pattern of a rule's paths, the template of its names, its layout."""
  # The parenthesised groups, which are not nested.
  groups = re.findall(r'(?<!\\)\([^()]*\)', rule.original)
  template = rule.original
  for number, group in enumerate(groups, start=1):
    template = template.replace(group, f'\\g<g{number}>', 1)
  pattern, seen = '', []
  for part in re.split(r'(\\\d)', rule.path):
    if re.fullmatch(r'\\\d', part):
      number = int(part[1:])
      # A group met again must repeat what it matched the first time.
      pattern += f'(?P=g{number})' if number in seen else (
          f'(?P<g{number}>{groups[number - 1][1:-1]})'
      )
      seen.append(number)
    else:
      pattern += re.escape(part)
  return re.compile(pattern), template.replace('\\.', '.'), rule.layout


def _shape(tensor: Any) -> str:
  return str(tuple(np.shape(tensor)))
