"""EV-CLIP's checkpoints: what is left out, what is refused."""

import numpy as np
import pytest

from data_pipelines.errors import WeightsError
from evclip_jax.methods.ev_clip import checkpoint
from tests.weights.trees import draw


def state(prompt):
  """Draws the flat leaves of generators."""
  sizes = checkpoint.PromptSizes(prompt, 128, 4, 16, bias=False)
  return draw(checkpoint.shapes(sizes))


def test_the_rest_of_a_checkpoint_is_left_out():
  flat = state('mask')
  source = checkpoint.to_original(flat, 'image_prompt_learner.')
  rest = (
      'image_prompt_learner.enc.trunk.norm.weight',
      'image_prompt_learner.enc.heads.video.1.weight',
      'image_prompt_learner.dec.block1.1.attn_mask',
      'image_prompt_learner.dec.block1.1.attn.relative_position_index',
      'image_encoder.conv1.weight',
      'text_encoder.ln_final.weight',
      'text_prompt_learner.token_prefix',
      'logit_scale',
  )
  whole = source | {name: np.zeros(2) for name in rest}
  converted = checkpoint.from_original(whole)
  assert converted.flat.keys() == flat.keys()
  assert len(converted.ignored) == len(rest)


@pytest.mark.parametrize(
    'name',
    ['dec.dec_s.projection2spatial.0.weight', 'dec.dec_t.context_scale'],
)
def test_what_is_missing_unknown_or_in_the_other_place_is_named(name):
  source = checkpoint.to_original(state('both'))
  moved = 'dec.dec_t.logit_scale', source.pop('dec.dec_s.logit_scale')
  with pytest.raises(WeightsError, match=moved[0]):
    checkpoint.from_original(source | dict([moved]))
  source['dec.dec_s.logit_scale'] = moved[1]
  assert checkpoint.from_original(source).mapped[name]
  with pytest.raises(WeightsError, match='dec.gate'):
    checkpoint.from_original(source | {'dec.gate': np.zeros(2)})
  shape = 'are not|becomes|wanted two axes, none of length 0'
  with pytest.raises(WeightsError, match=f'{name}.*({shape})'):
    checkpoint.from_original(source | {name: np.zeros((0, 0))})
  del source[name]
  with pytest.raises(WeightsError, match=f'{name}|context_scale'):
    checkpoint.from_original(source)
