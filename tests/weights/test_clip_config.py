"""Activation and heads of CLIPs that others trained, compared with numpy."""

import json
import math

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.weights import clip_names, load, own_file, published
from tests.models import small
from tests.weights.states import huggingface_state

# A width of 128 in 4 heads of 32, unlike any of OpenAI's.
VISION = {'hidden_size': 128, 'num_attention_heads': 4}
TEXT = {'hidden_size': 32, 'num_attention_heads': 2, 'eos_token_id': 19}


def openai_state():
  return clip_names.to_original(small.flat(small.VIT))


def save(path, tensors):
  own_file.write_tensors(path, tensors, {})
  return path


def config_of(path, value, name='config.json'):
  path.with_name(name).write_text(json.dumps(value))


def load_file(path, **said):
  return load.load_clip('', str(path), str(path.parent / 'cache'), **said)


ACTIVATIONS = {
    'quick_gelu': lambda x: x / (1 + np.exp(-1.702 * x)),
    'gelu': lambda x: x * (1 + np.vectorize(math.erf)(x / 2**0.5)) / 2,
    'gelu_tanh': lambda x: (
        x * (1 + np.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2
    ),
}


def norm(x, state, name):
  x = x - x.mean(-1, keepdims=True)
  x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
  return x * state[f'{name}.weight'] + state[f'{name}.bias']


def blocks(x, state, prefix, heads, activation, causal):
  """Computes the blocks of a tower on [N, D] from OpenAI's tensors."""
  n, width = x.shape
  for i in range(2):
    p = f'{prefix}transformer.resblocks.{i}.'
    y = norm(x, state, f'{p}ln_1')
    qkv = y @ state[f'{p}attn.in_proj_weight'].T
    qkv = (qkv + state[f'{p}attn.in_proj_bias']).reshape(n, 3, heads, -1)
    out = np.zeros_like(x)
    for h in range(heads):
      q, k, v = qkv[:, :, h].swapaxes(0, 1)
      scores = q @ k.T / math.sqrt(width // heads)
      if causal:
        scores[np.triu_indices(n, 1)] = -np.inf
      weights = np.exp(scores - scores.max(-1, keepdims=True))
      weights /= weights.sum(-1, keepdims=True)
      out[:, h * width // heads : (h + 1) * width // heads] = weights @ v
    x = x + out @ state[f'{p}attn.out_proj.weight'].T
    x = x + state[f'{p}attn.out_proj.bias']
    y = norm(x, state, f'{p}ln_2')
    y = y @ state[f'{p}mlp.c_fc.weight'].T + state[f'{p}mlp.c_fc.bias']
    y = ACTIVATIONS[activation](y) @ state[f'{p}mlp.c_proj.weight'].T
    x = x + y + state[f'{p}mlp.c_proj.bias']
  return x


def by_hand(image, tokens, activation, vision_heads, text_heads):
  """Computes features of an image [16, 16, 3] and of a text in float64."""
  state = {n: x.astype(np.float64) for n, x in openai_state().items()}
  rows = [
      np.einsum(
          'ijc,dcij->d', image[r : r + 8, c : c + 8],
          state['visual.conv1.weight'],
      )
      for r in (0, 8)
      for c in (0, 8)
  ]
  x = np.stack([state['visual.class_embedding'], *rows])
  x = x + state['visual.positional_embedding']
  x = norm(x, state, 'visual.ln_pre')
  x = blocks(x, state, 'visual.', vision_heads, activation, causal=False)
  image = norm(x[0], state, 'visual.ln_post') @ state['visual.proj']
  y = state['token_embedding.weight'][tokens] + state['positional_embedding']
  y = blocks(y, state, '', text_heads, activation, causal=True)
  y = norm(y[tokens.argmax()], state, 'ln_final')
  return image, y @ state['text_projection']


def said(loaded):
  found = loaded.sizes
  return found.activation, found.vision_heads, found.text_heads


@pytest.mark.parametrize('activation', ACTIVATIONS)
def test_settings_and_configs_determine_the_computation(activation, tmp_path):
  path = save(tmp_path / 'a.safetensors', openai_state())
  config_of(path, {'vision_config': VISION, 'text_config': TEXT})
  loaded = load_file(path, activation=activation)
  assert said(loaded) == (activation, 4, 2)
  clip, images, tokens = Clip(loaded.sizes), small.images(1), small.tokens(1)
  wanted = by_hand(images[0], tokens[0], *said(loaded))
  found = (
      small.encode_images(clip, loaded.params, images)[0],
      small.encode_text(clip, loaded.params, tokens)[0],
  )
  for ours, theirs in zip(found, wanted, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        ('quick_gelu', 'quick_gelu'),
        ('gelu', 'gelu'),
        ('gelu_pytorch_tanh', 'gelu_tanh'),
        ('gelu_new', 'gelu_tanh'),
    ],
)
def test_a_folder_of_hugging_face(theirs, ours, tmp_path, capsys):
  path = save(tmp_path / 'model.safetensors', huggingface_state())
  act = {'hidden_act': theirs}
  config_of(path, {'vision_config': VISION | act, 'text_config': TEXT | act})
  for _ in range(2):  # converted, then from the cache
    loaded = load_file(tmp_path)
    assert said(loaded) == (ours, 4, 2)
    assert f'config.json beside it says activation={ours}' in (
        capsys.readouterr().err
    )


TANH = {'act_kwargs': {'approximate': 'tanh'}}


def open_clip(vision=None, text=None, **model):
  vision = {'width': 128, 'head_width': 32} | (vision or {})
  text = {'width': 32, 'heads': 2} | (text or {})
  return {'model_cfg': {'vision_cfg': vision, 'text_cfg': text} | model}


@pytest.mark.parametrize(
    ('config', 'ours'),
    [
        (open_clip(), 'gelu'),
        (open_clip()['model_cfg'], 'gelu'),
        (open_clip(quick_gelu=True), 'quick_gelu'),
        (open_clip(TANH, TANH), 'gelu_tanh'),
    ],
)
def test_a_folder_of_open_clip(config, ours, tmp_path):
  path = save(tmp_path / 'open_clip_model.safetensors', openai_state())
  config_of(path, config, 'open_clip_config.json')
  assert said(load_file(tmp_path)) == (ours, 4, 2)


def test_of_two_configs_the_one_of_the_naming_counts(tmp_path):
  path = save(tmp_path / 'model.safetensors', huggingface_state())
  config_of(path, {'vision_config': VISION, 'text_config': TEXT})
  config_of(path, open_clip(), 'open_clip_config.json')
  assert load_file(path).sizes.activation == 'quick_gelu'
  other = save(tmp_path / 'b.safetensors', openai_state())
  assert load_file(other).sizes.activation == 'gelu'


def test_a_config_added_or_changed_later_counts(tmp_path):
  path = save(tmp_path / 'model.safetensors', openai_state())
  first = load_file(path, activation='quick_gelu')
  assert first.sizes.vision_heads == 2
  hashes = {first.hash}
  for activation, heads in (('gelu', 4), ('quick_gelu', 4), ('gelu', 8)):
    config_of(path, {
        'vision_config': VISION | {
            'hidden_act': activation, 'num_attention_heads': heads
        },
        'text_config': TEXT | {'hidden_act': activation},
    })
    loaded = load_file(path)
    assert said(loaded) == (activation, heads, 2)
    hashes.add(loaded.hash)
  assert len(hashes) == 4


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'vision_config': {'hidden_act': 'relu'}}, 'quick_gelu and relu'),
        ({'vision_config': {'hidden_act': 'gelu'}}, 'gelu and quick_gelu'),
        ({'text_config': {'layer_norm_eps': 1e-6}}, 'layer_norm_eps is 1e-06'),
        ({'vision_config': {'layer_norm_eps': 1e-12}}, 'layer_norm_eps'),
        ({'text_config': {'eos_token_id': 7}}, 'eos_token_id is 7'),
        ({'vision_config': {'hidden_size': 768}}, 'of another model'),
        ({'vision_config': {'num_attention_heads': 5}}, '5 vision_heads'),
        ({'vision_config': {'num_attention_heads': 2.0}}, r'2\.0 vision_heads'),
        ({'model_type': 'siglip', 'vision_config': {}}, "'siglip'"),
        ({'vision_config': 7}, 'not the config of a CLIP'),
        (open_clip(text={'no_causal_mask': True}), 'no_causal_mask is True'),
        (open_clip(text={'pool_type': 'last'}), "pool_type is 'last'"),
        (open_clip({'pool_type': 'avg'}), "pool_type is 'avg'"),
        (open_clip({'global_average_pool': True}), 'global_average_pool'),
        (open_clip({'norm_kwargs': {'eps': 1e-6}}), 'eps is 1e-06'),
        (open_clip({'timm_model_name': 'eva02'}), 'timm_model_name'),
        (open_clip({'width': 768}), 'of another model'),
        (open_clip({'head_width': 25}), '5 vision_heads cannot share'),
    ],
)
def test_what_is_not_computed_is_refused(config, message, tmp_path):
  path = save(tmp_path / 'model.safetensors', openai_state())
  config_of(path, config)
  with pytest.raises(UserError, match=f'config.json.*{message}'):
    load_file(path)


@pytest.mark.parametrize('config', [None, '{', '[]', '{"seed": 1, "data": {}}'])
def test_a_file_without_a_config_needs_the_activation(config, tmp_path):
  path = save(tmp_path / 'model.safetensors', openai_state())
  if config:
    (tmp_path / 'config.json').write_text(config)
  with pytest.raises(UserError, match=r'(?s)model\.saf.*clip\.activation'):
    load_file(path)


def test_published_weights_need_no_activation_but_other_files_do(
    tmp_path, monkeypatch, capsys
):
  monkeypatch.setitem(sizes.TABLE, 'small', small.VIT)
  path = save(tmp_path / 'model.safetensors', openai_state())
  entry = published.Published('https://x/y', None, path.name)
  with monkeypatch.context() as known:
    known.setitem(published.CLIP, 'small', entry)
    loaded = load.load_clip('small', '', str(tmp_path))
  assert said(loaded) == ('quick_gelu', 2, 1)
  assert 'assumed activation=quick_gelu, as in small' in capsys.readouterr().err
  # LAION's ViT-B/16 has OpenAI's sizes and a plain GELU.
  with pytest.raises(UserError, match=r'clip\.activation'):
    load.load_clip('small', str(path), str(tmp_path))
  # A config takes precedence over a name.
  config_of(path, open_clip())
  loaded = load.load_clip('small', str(path), str(tmp_path))
  assert said(loaded) == ('gelu', 4, 2)


@pytest.mark.parametrize('width', [80, 1280])
def test_unknown_heads_are_asked_for(width, tmp_path, monkeypatch):
  wanted = small.sizes.vit(
      width, 1, patch=8, embed_dim=16, image_resolution=16, **small.TEXT
  )
  state = clip_names.to_original(small.flat(wanted))
  path = save(tmp_path / 'model.safetensors', state)
  with pytest.raises(UserError, match=r'clip\.vision_heads'):
    load_file(path, activation='gelu')
  loaded = load_file(path, activation='gelu', vision_heads=16)
  assert loaded.sizes.vision_heads == 16
  with pytest.raises(UserError, match='7 heads cannot share'):
    load_file(path, activation='gelu', vision_heads=7)
