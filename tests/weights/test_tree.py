"""Nested and flat trees."""

import pytest

from evclip_jax.weights.tree import flatten, unflatten

NESTED = {'b': {'resblocks.0': {'kernel': 1, 'bias': 2}, 'scale': 3}, 'a': 4}
FLAT = {
    'b/resblocks.0/kernel': 1,
    'b/resblocks.0/bias': 2,
    'b/scale': 3,
    'a': 4,
}


def test_flatten_keeps_the_order():
  assert list(flatten(NESTED).items()) == list(FLAT.items())


def test_unflatten_is_the_inverse():
  assert unflatten(FLAT) == NESTED


def test_empty_branches_vanish():
  assert flatten({'a': {}, 'b': {'c': {}}}) == {}


@pytest.mark.parametrize('flat', [{'a': 1, 'a/b': 2}, {'a/b': 1, 'a': 2}])
def test_a_leaf_cannot_be_a_branch(flat):
  with pytest.raises(ValueError, match='leaf'):
    unflatten(flat)
