"""Maps tensors of another code base to our parameter tree, by a table.

A table is a list of rules `source name -> (target path, transform)`. It is
read in both directions, so that gradients and trained weights can be shown in
the original naming and layout.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from data_pipelines.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class Transform:
  """A layout change and its inverse."""

  name: str
  forward: Callable[[np.ndarray], np.ndarray]
  backward: Callable[[np.ndarray], np.ndarray]


KEEP = Transform('keep', lambda x: x, lambda x: x)
# Linear: [out, in] -> [in, out].
LINEAR = Transform('linear', np.transpose, np.transpose)
# Convolution: [O, I, H, W] -> [H, W, I, O].
CONV2D = Transform(
    'conv2d',
    lambda x: x.transpose(2, 3, 1, 0),
    lambda x: x.transpose(3, 2, 0, 1),
)
# Convolution in time too: [O, I, T, H, W] -> [T, H, W, I, O].
CONV3D = Transform(
    'conv3d',
    lambda x: x.transpose(2, 3, 4, 1, 0),
    lambda x: x.transpose(4, 3, 0, 1, 2),
)


@dataclasses.dataclass(frozen=True)
class Rule:
  """One line of a table.

  Attributes:
    source: regular expression that matches a whole source name.
    target: path in our tree; \\1, \\2 stand for the groups of `source`.
    transform: how the layout changes.
  """

  source: str
  target: str
  transform: Transform = KEEP


@dataclasses.dataclass(frozen=True)
class Report:
  """What happened to each tensor of a file.

  Attributes:
    mapped: source name -> target path.
    ignored: source names that the table lists as not needed.
  """

  mapped: dict[str, str]
  ignored: tuple[str, ...]


def convert(
    state: Mapping[str, np.ndarray],
    rules: Iterable[Rule],
    ignore: Iterable[str],
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[dict[str, np.ndarray], Report]:
  """Converts a state dict to a flat tree in float32.

  Args:
    state: source name -> tensor, any float dtype.
    rules: the table.
    ignore: regular expressions of source names that are not needed.
    shapes: target path -> shape of every leaf the model has.

  Returns:
    Target path -> float32 array, and the report.

  Raises:
    WeightsError: a name that no rule or more than one matches, a target the
      model does not have, a target filled twice or never, a wrong shape.
  """
  rules = tuple(rules)
  ignore = [re.compile(p) for p in ignore]
  compiled = [(re.compile(r.source), r) for r in rules]
  tree, mapped, ignored = {}, {}, []
  for name, tensor in state.items():
    hits = [(m, r) for p, r in compiled if (m := p.fullmatch(name))]
    if any(p.fullmatch(name) for p in ignore):
      ignored.append(name)
      continue
    if not hits:
      raise WeightsError(f'no rule for the tensor {name!r} {_shape(tensor)}.')
    if len(hits) > 1:
      raise WeightsError(
          f'{len(hits)} rules match the tensor {name!r}: '
          + ', '.join(r.source for _, r in hits)
      )
    match, rule = hits[0]
    path = match.expand(rule.target)
    if path not in shapes:
      raise WeightsError(
          f'the tensor {name!r} would become {path!r}, which this architecture '
          'does not have.'
      )
    if path in tree:
      raise WeightsError(f'two tensors would fill {path!r}; one is {name!r}.')
    tree[path] = _transformed(name, tensor, rule.transform, path, shapes[path])
    mapped[name] = path
  missing = [p for p in shapes if p not in tree]
  if missing:
    raise WeightsError(
        f'{len(missing)} of {len(shapes)} parameters of the architecture are '
        f'not in the file, such as {", ".join(map(repr, missing[:3]))}.'
    )
  return tree, Report(mapped, tuple(ignored))


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


def _transformed(
    name: str,
    tensor: np.ndarray,
    transform: Transform,
    path: str,
    shape: tuple[int, ...],
) -> np.ndarray:
  """The tensor in our layout, float32 and of the shape the model has."""
  tensor = np.asarray(tensor)
  if tensor.dtype.kind in 'biuc':
    raise WeightsError(
        f'the tensor {name!r} is {tensor.dtype}; {path!r} wants floats.'
    )
  try:
    value = transform.forward(tensor)
  except ValueError:
    # It has fewer or more axes than the layout change is for.
    value = None
  if value is None or tuple(value.shape) != tuple(shape):
    becomes = 'nothing' if value is None else _shape(value)
    raise WeightsError(
        f'the tensor {name!r} {_shape(tensor)} becomes {becomes} '
        f'({transform.name}), but {path!r} is {tuple(shape)}.'
    )
  return np.ascontiguousarray(value, np.float32).reshape(value.shape)


def to_source(
    tree: Mapping[str, np.ndarray], rules: Iterable[Rule]
) -> dict[str, np.ndarray]:
  """Writes a flat tree (weights or gradients) in the original naming.

  Args:
    tree: target path -> array; any subset of the model's leaves.
    rules: the table `convert` used. Sources must be literal but for plain
      groups such as (\\d+) or (a|b), and each group must be in the target.

  Raises:
    ValueError: a path that no rule or more than one leads to.
  """
  inverted = [_invert(rule) for rule in rules]
  state = {}
  for path, value in tree.items():
    hits = {
        (m.expand(template), rule.transform)
        for pattern, template, rule in inverted
        if (m := pattern.fullmatch(path))
    }
    if len(hits) != 1:
      raise ValueError(f'{len(hits)} rules lead to the path {path!r}.')
    name, transform = hits.pop()
    state[name] = transform.backward(np.asarray(value))
  return state


def _invert(rule: Rule) -> tuple[re.Pattern, str, Rule]:
  """The pattern of a rule's targets and the template of its sources."""
  groups = _groups(rule.source)
  template = rule.source
  for number, group in enumerate(groups, start=1):
    template = template.replace(group, f'\\{number}', 1)
  template = template.replace('\\.', '.')
  pattern, order = '', []
  for part in re.split(r'(\\\d)', rule.target):
    if re.fullmatch(r'\\\d', part):
      number = int(part[1:])
      # A group met again must repeat what it matched the first time.
      pattern += f'(?P=g{number})' if number in order else (
          f'(?P<g{number}>{groups[number - 1][1:-1]})'
      )
      order.append(number)
    else:
      pattern += re.escape(part)
  for number in range(len(groups), 0, -1):
    template = template.replace(f'\\{number}', f'\\g<g{number}>')
  return re.compile(pattern), template, rule


def _groups(source: str) -> list[str]:
  """The parenthesised groups of a pattern, without nesting."""
  return re.findall(r'(?<!\\)\([^()]*\)', source)


def _shape(tensor) -> str:
  return str(tuple(np.shape(tensor)))
