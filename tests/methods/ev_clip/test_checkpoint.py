import numpy as np
import pytest

from data_pipelines.errors import WeightsError
from evclip_jax.methods.ev_clip import checkpoint


def state(prompt, bias=False, words=None):
  sizes = checkpoint.PromptSizes(
      prompt,
      channels=128,
      num_frames=None if prompt == 'context' else 4,
      embed_dim=None if prompt == 'mask' else 16,
      bias=bias,
      words=words,
  )
  rng = np.random.default_rng(0)
  flat = {
      path: rng.normal(size=shape).astype(np.float32)
      for path, shape in checkpoint.shapes(sizes).items()
  }
  return sizes, flat


def test_the_rest_of_a_checkpoint_is_left_out():
  _, flat = state('mask')
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


def test_an_unknown_tensor_is_refused():
  _, flat = state('context')
  source = checkpoint.to_original(flat) | {'dec.gate': np.zeros(2)}
  with pytest.raises(WeightsError, match='dec.gate'):
    checkpoint.from_original(source)
