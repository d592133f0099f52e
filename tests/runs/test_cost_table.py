"""What methods cost, counted on networks of which only the shapes exist."""

import pytest

from configs import demo as demo_config
from data_pipelines.errors import UserError
from evclip_jax.runs import cost_table
from evclip_jax.training import params

pytestmark = pytest.mark.usefixtures('packaged_sizes')


def test_costs_of_a_method_are_counted_without_weights():
  small, large = cost_table.rows(('st_adapter',), ('tiny', 'ViT-B/32'), 2, 3)
  # 12 bottlenecks of 384 and a linear head.
  assert large['trained weights'] == 12 * (768 * 384 * 2 + 384 * 5 + 768) + (
      768 * 3 + 3
  )
  assert large['times ViT-B/32'] == 1 > small['times ViT-B/32']
  # 2 frames of 4.4 GMACs (CLIP's ViT-B/32), and the adapters.
  assert 2 * 2 * 4.3 < large['inference GFLOPs per clip'] < 2 * 2 * 5
  ratio = large['training GFLOPs per clip'] / large['inference GFLOPs per clip']
  assert 1.8 < ratio < 2.3


def demo(method):
  """A small config of the demo's tiny networks."""
  config = demo_config.get_config(method).unlock()
  config.compare = ()
  config.batch_size = config.episodes.per_step = 4
  config.episodes.way, config.episodes.query = 2, 1
  config.data.num_frames = 2
  return config


def test_batches_that_fit_are_found_without_weights():
  config = demo('st_adapter')
  config.mesh.data = 2
  found = cost_table.memory(config, 3)
  assert found['devices_used'] == 2
  first, each = (found[f'gigabytes_{k}'] for k in ('first', 'per_row'))
  assert first > each > 0 and found['gflops_per_clip'] > 0
  rows = found['rows_that_fit']['16 GB']
  assert first + (rows - 1) * each <= 0.95 * 16 < first + rows * each
  with pytest.raises(UserError, match="'zero_shot' trains nothing"):
    cost_table.memory(demo('zero_shot'), 3)


def shared(method, counts):
  """Returns rows of the demo's tiny networks, and MB of what they train."""
  config = demo(method)
  trained = params.count(cost_table.shapes(config, ('a',) * 3).trainable)
  return cost_table.device_rows(config, counts, 3), trained * 4e-6


def test_devices_share_the_work():
  rows, gradients = shared('clip_fsar', (1, 4))
  assert [row['devices'] for row in rows] == [1, 4, 4]
  one, copied, split = rows
  assert one['MB exchanged'] == 0
  for row in copied, split:
    # Texts and tables of positions, which each device makes for itself, are
    # much beside tiny networks; with ViT-B/16 it is less than 0.1 %.
    assert 0.99 < row['of one device'] < 1.2
    assert row['GB per device'] < one['GB per device']
  assert gradients <= copied['MB exchanged'] < gradients + 0.5


def test_devices_exchange_gradients_and_no_maps_of_masks():
  (copied, _), gradients = shared('ev_clip', (4,))
  # Two frames of one clip have 1.2 MB.
  assert gradients <= copied['MB exchanged'] < gradients + 0.5
