"""The table: its six refusals, and the way there and back."""

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

RULES = (
    Rule(r'blocks\.(\d+)\.(fc1|fc2)\.weight', r'blocks.\1/\2/kernel', LINEAR),
    Rule(r'blocks\.(\d+)\.(fc1|fc2)\.bias', r'blocks.\1/\2/bias'),
    Rule(r'stem\.weight', 'stem/kernel', CONV2D),
    Rule(r'patches\.weight', 'patches/kernel', CONV3D),
    Rule(r'scale', 'scale'),
)
IGNORE = (r'.*\.num_batches_tracked',)


def state():
  numbers = np.random.default_rng(0)
  shapes = {
      'blocks.0.fc1.weight': (3, 2),
      'blocks.0.fc1.bias': (3,),
      'blocks.11.fc2.weight': (2, 3),
      'stem.weight': (4, 3, 2, 2),
      'patches.weight': (5, 3, 2, 4, 4),
      'scale': (),
  }
  return {
      name: numbers.normal(size=shape).astype(np.float32)
      for name, shape in shapes.items()
  }


SHAPES = {
    'blocks.0/fc1/kernel': (2, 3),
    'blocks.0/fc1/bias': (3,),
    'blocks.11/fc2/kernel': (3, 2),
    'stem/kernel': (2, 2, 3, 4),
    'patches/kernel': (2, 4, 4, 3, 5),
    'scale': (),
}


def test_layouts_and_what_became_of_each():
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


def test_the_way_back_is_the_same_bits():
  tensors = state()
  tree = convert(tensors, RULES, IGNORE, SHAPES).flat
  back = to_original(tree, RULES)
  assert back.keys() == tensors.keys()
  for name, tensor in tensors.items():
    np.testing.assert_array_equal(back[name], tensor, name)


def test_half_precision_becomes_float32():
  tensors = {name: x.astype(np.float16) for name, x in state().items()}
  tree = convert(tensors, RULES, IGNORE, SHAPES).flat
  np.testing.assert_array_equal(
      tree['scale'], tensors['scale'].astype(np.float32)
  )


def test_an_unmatched_name_is_refused():
  tensors = state() | {'head.weight': np.zeros((2, 2))}
  with pytest.raises(WeightsError, match=r"no rule.*'head\.weight' \(2, 2\)"):
    convert(tensors, RULES, IGNORE, SHAPES)


def test_a_name_that_two_rules_match_is_refused():
  rules = (*RULES, Rule(r'sc.le', 'other'))
  with pytest.raises(WeightsError, match=r"2 rules match .*'scale'.*sc\.le"):
    convert(state(), rules, IGNORE, SHAPES)


def test_a_target_that_the_model_lacks_is_refused():
  tensors = state() | {'blocks.12.fc1.bias': np.zeros(3)}
  with pytest.raises(WeightsError, match='blocks.12/fc1/bias.*does not have'):
    convert(tensors, RULES, IGNORE, SHAPES)


def test_a_target_filled_twice_is_refused():
  rules = (*RULES, Rule(r'logit_scale', 'scale'))
  tensors = state() | {'logit_scale': np.zeros(())}
  with pytest.raises(WeightsError, match="two tensors would fill 'scale'"):
    convert(tensors, rules, IGNORE, SHAPES)


def test_a_target_never_filled_is_refused():
  tensors = state()
  del tensors['scale'], tensors['stem.weight']
  with pytest.raises(WeightsError, match=r"2 of 6 .*'stem/kernel', 'scale'"):
    convert(tensors, RULES, IGNORE, SHAPES)


@pytest.mark.parametrize('shape', [(3, 3), (2, 3), (6,), (3, 2, 1)])
def test_another_shape_is_refused_with_both_shapes_and_the_rule(shape):
  tensors = state() | {'blocks.0.fc1.weight': np.zeros(shape, np.float32)}
  with pytest.raises(WeightsError, match=r'linear.*is \(2, 3\)') as caught:
    convert(tensors, RULES, IGNORE, SHAPES)
  assert str(shape) in str(caught.value)


def test_too_few_axes_for_a_layout_are_refused():
  # Its shape is the wanted one, but it cannot have been in that layout.
  tensors = state() | {'stem.weight': np.zeros((4, 3), np.float32)}
  shapes = SHAPES | {'stem/kernel': (4, 3)}
  with pytest.raises(WeightsError, match=r'becomes nothing \(conv2d\)'):
    convert(tensors, RULES, IGNORE, shapes)


def test_whole_numbers_are_no_weights():
  tensors = state() | {'scale': np.asarray(3)}
  with pytest.raises(WeightsError, match="'scale' is int64"):
    convert(tensors, RULES, IGNORE, SHAPES)


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
