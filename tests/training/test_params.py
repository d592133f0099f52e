"""Splitting and merging trees of two scalars."""

import numpy as np
import pytest

from evclip_jax.training import params

TREE = {
    'clip': {'proj': np.ones(2)},
    'method': {'mask': {'scale': np.ones(())}},
}


def test_split_and_merge_round_trip():
  trainable, frozen = params.split(TREE, ('method/.*',))
  assert list(trainable) == ['method/mask/scale']
  assert list(frozen) == ['clip/proj']
  assert params.merge(frozen, trainable) == TREE


def test_a_pattern_matches_in_full_only():
  with pytest.raises(ValueError, match='matches no parameter'):
    params.split(TREE, ('mask',))


def test_nothing_trains_without_patterns():
  trainable, frozen = params.split(TREE, ())
  assert trainable == {} and len(frozen) == 2


def test_table_counts():
  text = params.table(*params.split(TREE, ('method/.*',)))
  assert text.startswith('trainable 1 of 3 parameters in 1 tensors')
