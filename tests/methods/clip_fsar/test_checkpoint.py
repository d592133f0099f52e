"""CLIP-FSAR's checkpoints: names and layout, both ways."""

import re

import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from data_pipelines.errors import UserError, WeightsError
from evclip_jax import convert
from evclip_jax.methods import trained_weights
from evclip_jax.methods.clip_fsar import checkpoint
from evclip_jax.models.clip.sizes import TABLE
from evclip_jax.weights import clip_names, files, own_file
from tests.models import small
from tests.weights.trees import draw

HEAD = checkpoint.HeadSizes(embed_dim=16, depth=2, hidden=8)


def tree(sizes=small.RESNET):
  """Returns flat leaves of a head and a tower, all different."""
  return draw(checkpoint.shapes(HEAD)) | {
      f'clip/{path}': value
      for path, value in small.flat(sizes).items()
      if path.startswith('visual/')
  }


@pytest.mark.parametrize(
    ('clip', 'embed_dim', 'entries', 'numbers'),
    [('RN50', 1024, 351, 46_711_649), ('ViT-B/16', 512, 164, 89_342_465)],
)
def test_a_whole_model_has_the_originals_tensors(
    clip, embed_dim, entries, numbers
):
  head = checkpoint.shapes(checkpoint.HeadSizes(embed_dim, 1, 2048))
  visual = {
      f'clip/{path}': shape
      for path, shape in clip_names.shapes(TABLE[clip]).items()
      if path.startswith('visual/')
  }
  shapes = head | visual
  source = checkpoint.CHECKPOINT.to_original(
      {path: np.broadcast_to(np.float32(0), s) for path, s in shapes.items()}
  )
  counters = sum(name.endswith('running_mean') for name in source)
  assert len(source) + counters == entries
  trained = {n: x for n, x in source.items() if 'running' not in n}
  assert sum(x.size for x in trained.values()) == numbers
  last = source['head.context2.layers.0.1.net.3.weight']
  assert last.shape == (embed_dim, 2048)
  assert source['head.scale'].shape == (1,)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('head.scale'), 'method/scale'),
        (lambda s: s.pop('head.backbone.conv2.weight'), 'clip/visual/conv2'),
        (lambda s: s.update({'head.gate': np.ones(2)}), 'head.gate|gate'),
        (
            lambda s: s.pop('head.context2.layers.0.1.net.0.weight'),
            'not a whole CLIP-FSAR head',
        ),
    ],
)
def test_other_tensors_are_refused(change, message):
  source = checkpoint.CHECKPOINT.to_original(tree())
  change(source)
  with pytest.raises(WeightsError, match=message):
    checkpoint.CHECKPOINT.from_original(source)


def test_a_head_alone_does_not_stand_for_a_trained_tower(tmp_path):
  flat = {p: x for p, x in tree().items() if p.startswith('method/')}
  path = tmp_path / 'head.safetensors'
  own_file.write_tensors(path, flat, {})
  before = unflatten_dict(tree(), sep='/')
  with pytest.raises(UserError, match='clip/visual/.* is missing in the file'):
    trained_weights.load_trained(
        str(path), 'clip_fsar', before, ('method/.*', 'clip/visual/.*')
    )
  trained_weights.load_trained(str(path), 'clip_fsar', before)


def exported(tmp_path, flat):
  """Writes a run's export; returns its path and one for the result."""
  run = tmp_path / 'run.safetensors'
  own_file.write_tensors(run, flat, {'kind': 'trained', 'method': 'clip_fsar'})
  return run, tmp_path / 'back.safetensors'


@pytest.mark.parametrize('tower', [True, False])
def test_a_run_without_a_trained_scale_goes_there_and_back(tmp_path, tower):
  flat = {
      p: x
      for p, x in tree().items()
      if p != 'method/scale' and (tower or p.startswith('method/'))
  }
  run, back = exported(tmp_path, flat)
  convert.convert_file(run, back, 'torch-names')
  own = tmp_path / 'own.safetensors'
  convert.convert_file(back, own)
  found = files.read_tensors(own).tensors
  assert found.keys() == {*flat, 'method/scale'}
  np.testing.assert_array_equal(found['method/scale'], [1])
  for path, value in flat.items():
    np.testing.assert_array_equal(found[path], value)


@pytest.mark.parametrize(
    ('lacks', 'message'),
    [
        (r'method/temporal/.*', 'depth=0 or loss=video_text'),
        (r'method/temporal/.*|clip/.*', 'depth=0 or loss=video_text'),
        ('.*/(mean|var)', 'batch_norm=frozen'),
    ],
)
def test_what_the_original_does_not_have_is_named(tmp_path, lacks, message):
  flat = {p: x for p, x in tree().items() if not re.fullmatch(lacks, p)}
  run, back = exported(tmp_path, flat)
  with pytest.raises(UserError, match=message):
    convert.convert_file(run, back, 'torch-names')
  assert not back.exists()
