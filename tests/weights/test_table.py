"""Tables of names: conversions both ways, and refusals."""

import numpy as np
import pytest

from data_pipelines.errors import WeightsError
from evclip_jax.weights.table import (
  CONV2D,
  CONV3D,
  KEEP,
  LINEAR,
  Rule,
  check_tree,
  convert,
  to_original,
)
from tests.weights.trees import assert_same, draw

RULES = (
    Rule(r'blocks\.(\d+)\.(fc1|fc2)\.weight', r'blocks.\1/\2/kernel', LINEAR),
    Rule(r'blocks\.(\d+)\.(fc1|fc2)\.bias', r'blocks.\1/\2/bias'),
    Rule(r'stem\.weight', 'stem/kernel', CONV2D),
    Rule(r'patches\.weight', 'patches/kernel', CONV3D),
    Rule(r'scale', 'scale'),
)
IGNORE = (r'.*\.num_batches_tracked',)


def state():
  return draw({
      'blocks.0.fc1.weight': (3, 2),
      'blocks.0.fc1.bias': (3,),
      'blocks.11.fc2.weight': (2, 3),
      'stem.weight': (4, 3, 2, 2),
      'patches.weight': (5, 3, 2, 4, 4),
      'scale': (),
  })


FIRST = 'blocks.0.fc1.weight'
SHAPES = {
    'blocks.0/fc1/kernel': (2, 3),
    'blocks.0/fc1/bias': (3,),
    'blocks.11/fc2/kernel': (3, 2),
    'stem/kernel': (2, 2, 3, 4),
    'patches/kernel': (2, 4, 4, 3, 5),
    'scale': (),
}


def test_layouts_names_and_the_way_back():
  tensors = state() | {'bn.num_batches_tracked': np.asarray(3)}
  converted = convert(tensors, RULES, IGNORE, SHAPES)
  tree = converted.flat
  assert {p: x.shape for p, x in tree.items()} == SHAPES
  assert all(x.dtype == np.float32 for x in tree.values())
  assert all(x.flags.c_contiguous for x in tree.values())
  linear = tensors['blocks.11.fc2.weight']
  assert tree['blocks.11/fc2/kernel'][2, 1] == linear[1, 2]
  stem = tensors['stem.weight']
  assert tree['stem/kernel'][1, 0, 2, 3] == stem[3, 2, 1, 0]
  patches = tensors['patches.weight']
  assert tree['patches/kernel'][1, 3, 2, 0, 4] == patches[4, 0, 1, 3, 2]
  assert converted.mapped['blocks.0.fc1.bias'] == 'blocks.0/fc1/bias'
  assert converted.ignored == ('bn.num_batches_tracked',)
  # The way back gives the same bits.
  assert_same(to_original(tree, RULES), state())


@pytest.mark.parametrize(
    ('changes', 'more', 'message'),
    [
        ({'head.weight': (2, 2)}, (), r"no rule.*'head\.weight' \(2, 2\)"),
        ({}, (Rule('sc.le', 'x'),), r"2 rules match .*'scale'.*sc\.le"),
        ({'blocks.12.fc1.bias': 3}, (), 'blocks.12/fc1/bias.*does not have'),
        ({'a': ()}, (Rule('a', 'scale'),), "two tensors would fill 'scale'"),
        ({'scale': None, 'stem.weight': None}, (), r"2 of 6 .*'stem/.*'scale'"),
        # Wrong shapes, and the wrong number of axes.
        ({FIRST: (3, 3)}, (), r'\(3, 3\).*linear.*is \(2, 3\)'),
        ({FIRST: (2, 3)}, (), r'\(2, 3\).*linear.*is \(2, 3\)'),
        ({FIRST: (6,)}, (), r'\(6,\).*linear.*is \(2, 3\)'),
        ({FIRST: (3, 2, 1)}, (), r'\(3, 2, 1\).*linear.*is \(2, 3\)'),
        ({'stem.weight': (4, 3)}, (), r'becomes nothing \(conv2d\)'),
    ],
)
def test_refusals(changes, more, message):
  tensors = state() | {
      name: None if shape is None else np.zeros(shape, np.float32)
      for name, shape in changes.items()
  }
  tensors = {n: x for n, x in tensors.items() if x is not None}
  with pytest.raises(WeightsError, match=message):
    convert(tensors, (*RULES, *more), IGNORE, SHAPES)


def test_half_precision_becomes_float32_and_whole_numbers_are_no_weights():
  tensors = {name: x.astype(np.float16) for name, x in state().items()}
  tree = convert(tensors, RULES, IGNORE, SHAPES).flat
  np.testing.assert_array_equal(
      tree['scale'], tensors['scale'].astype(np.float32)
  )
  with pytest.raises(WeightsError, match="'scale' is int64"):
    convert(state() | {'scale': np.asarray(3)}, RULES, IGNORE, SHAPES)


def test_the_way_back_needs_exactly_one_rule():
  with pytest.raises(ValueError, match="0 rules lead to the path 'head'"):
    to_original({'head': np.zeros(2)}, RULES)
  rules = (*RULES, Rule(r'logit_scale', 'scale', KEEP))
  with pytest.raises(ValueError, match="2 rules lead to the path 'scale'"):
    to_original({'scale': np.zeros(())}, rules)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'scale': None}, "'scale' is missing"),
        ({'extra': np.zeros(2)}, "'extra' is .2,. in the file and unknown"),
        ({'scale': np.zeros(2)}, r"'scale' is \(2,\) in the file and \(\)"),
    ],
)
def test_a_tree_is_compared_with_the_model(change, message):
  tree = convert(state(), RULES, IGNORE, SHAPES).flat
  check_tree(tree, SHAPES)
  changed = {n: x for n, x in (tree | change).items() if x is not None}
  with pytest.raises(WeightsError, match=message):
    check_tree(changed, SHAPES)
