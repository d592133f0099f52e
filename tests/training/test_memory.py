"""How many rows fit into a device, from a compiler's figures made up here."""

import types

import pytest

from evclip_jax.training import costs


class Compiled:
  """4 rows need 8 GB of temporaries beside 1 GB of weights."""

  def memory_analysis(self):
    return types.SimpleNamespace(
        argument_size_in_bytes=10**9,
        output_size_in_bytes=10**8,
        alias_size_in_bytes=10**8,
        temp_size_in_bytes=8 * 10**9,
    )


@pytest.mark.parametrize('size, rows', [(16, 7), (20, 9), (1, 0)])
def test_rows_that_fit(size, rows):
  assert costs.rows_that_fit(Compiled(), 4, size * 10**9) == rows


def test_a_key_says_what_a_device_has():
  assert costs.device_bytes(0.5) == 5 * 10**8
