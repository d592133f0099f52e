"""What methods cost on CLIPs of several sizes: shapes only, no weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax.traverse_util import unflatten_dict

from data_pipelines.errors import UserError
from evclip_jax.config import experiment
from evclip_jax.methods import base
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.reporting import log
from evclip_jax.training import batch as batch_lib
from evclip_jax.training import costs, devices, optimizer, params, steps
from evclip_jax.weights import trunks

METHODS = ('ev_clip', 'ez_clip', 'st_adapter', 'aim', 'vifi_clip')
CLIPS = ('ViT-B/32', 'ViT-B/16', 'ViT-L/14')
TRUNKS = (
    'omnivore_swinT',
    'omnivore_swinS',
    'omnivore_swinB',
    'videoprism_base',
    'videoprism_large',
)


class Shapes(NamedTuple):
  """A method and the shapes of its weights, as flat dicts."""

  method: base.Method
  trainable: dict[str, jax.ShapeDtypeStruct]
  statistics: dict[str, jax.ShapeDtypeStruct]
  frozen: dict[str, jax.ShapeDtypeStruct]


def rows(
    methods: Sequence[str] = METHODS,
    clips: Sequence[str] = CLIPS,
    num_frames: int = 8,
    num_classes: int = 101,
) -> list[dict[str, Any]]:
  """Returns what each method costs on each CLIP.

  Args:
    methods: names in evclip_jax/methods, with the settings and the batch of
      their recipes.
    clips: published names.
    num_frames: of a clip, the same for all.
    num_classes: of the texts and heads.

  Returns:
    A dict per pair: trained weights, how many times those of the method on the
    second CLIP, GFLOPs per clip of training and of inference as the compiler
    counts them before it optimises.
  """
  out = []
  total = len(methods) * len(clips)
  with log.progress(total, 'costs', unit='program') as bar:
    for name in methods:
      own = []
      for clip in clips:
        config = experiment.on_data('ucf101', name)
        config.clip.name, config.data.num_frames = clip, num_frames
        config = experiment.choose_variant(config)
        own.append({'method': name, 'CLIP': clip, **_row(config, num_classes)})
        bar.update(1)
      reference = own[min(1, len(own) - 1)]
      for row in own:
        times = row['trained weights'] / reference['trained weights']
        out.append(row | {f'times {reference["CLIP"]}': times})
  return out


def trunk_rows(
    names: Sequence[str] = TRUNKS, num_frames: int = 8, num_classes: int = 101
) -> list[dict[str, Any]]:
  """Returns what EV-CLIP on ViT-B/16 costs on each video trunk; see `rows`."""
  out = []
  with log.progress(len(names), 'trunks', unit='program') as bar:
    for name in names:
      config = experiment.on_data('ucf101', 'ev_clip')
      config.encoder.name, config.data.num_frames = name, num_frames
      config = experiment.choose_variant(config)
      sizes = trunks.shapes(trunks.TABLE[name]).values()
      count = sum(int(np.prod(shape)) for shape in sizes)
      out.append({
          'trunk': name,
          'weights of the trunk': count,
          'their float32 MB': count * 4 / 1e6,
          **_row(config, num_classes),
      })
      bar.update(1)
  return out


def shapes(
    config: ml_collections.ConfigDict, class_names: Sequence[str]
) -> Shapes:
  """Returns a config's method on networks of which only the shapes exist.

  Raises:
    UserError: clip.name or encoder.name is not a published name.
  """
  module, settings = base.load(config.method.name), experiment.settings(config)
  dtype = jnp.dtype(config.compute.dtype)
  clip = Clip(
      _sizes(clip_sizes.TABLE, config.clip.name, 'clip.name'),
      dtype,
      config.compute.remat,
  )
  tree, encoder = {'clip': clip.shapes()}, None
  if module.uses_encoder(settings):
    found = _sizes(trunks.TABLE, config.encoder.name, 'encoder.name')
    encoder = trunks.network(found, dtype)
    flat = {
        path: jax.ShapeDtypeStruct(shape, jnp.float32)
        for path, shape in trunks.shapes(found).items()
    }
    tree['encoder'] = unflatten_dict(flat, sep='/')
  support = config.episodes.way * config.episodes.shot
  backbones = base.Backbones(clip, encoder, config.data.num_frames, support)
  method = module.make(settings, backbones, tuple(class_names))
  if own := jax.eval_shape(method.init, jax.random.key(0)):
    tree['method'] = own
  trainable, rest = params.split(tree, method.trainable)
  return Shapes(method, trainable, *params.split(rest, method.statistics))


def _sizes(table, name: str, key: str) -> Any:
  if name not in table:
    raise UserError(
        f'{key}={name!r}: costs are counted on published networks: '
        f'{", ".join(table)}.'
    )
  return table[name]


def _row(config, num_classes: int) -> dict[str, Any]:
  names = [f'class {k}' for k in range(num_classes)]
  found = shapes(config, names)
  method, frozen = found.method, found.frozen
  mesh = devices.make_mesh(1)
  placed = devices.frozen_shardings(mesh, frozen, shard=False)
  texts = method.class_texts(names)
  length = clip_sizes.TABLE[config.clip.name].context_length
  tokens = jax.ShapeDtypeStruct((len(texts), len(names), length), jnp.int32)
  weights = found.trainable | found.statistics
  classes = jax.eval_shape(
      lambda w, f, t: method.text(params.merge(f, w), t),
      weights,
      frozen,
      tokens,
  )
  batch = {
      name: jax.ShapeDtypeStruct(np.shape(x), x.dtype)
      for name, x in batch_lib.synthetic(
          config.batch_size,
          config.data.num_frames,
          config.data.crop_pixels,
          num_classes,
          0,
          config.data.trunk_pixels,
      ).items()
  }

  def count(step, *given):
    flops = costs.flops_of(step.lower(*given), 1)
    return flops / config.batch_size / 1e9 or None

  schedule = optimizer.make_schedule(config.optimizer, config.train.epochs, 1)
  update = optimizer.make_optimizer(config.optimizer, schedule)
  state = jax.eval_shape(
      lambda t, s: steps.new_state(t, update, s),
      found.trainable,
      found.statistics,
  )
  train = steps.make_train_step(
      method, update, schedule, mesh, placed, config.seed
  )
  evaluate = steps.make_eval_step(method, mesh, placed)
  text = tokens if method.text_trains else classes
  return {
      'trained weights': params.count(found.trainable),
      'training GFLOPs per clip': count(train, state, frozen, text, batch),
      'inference GFLOPs per clip': count(
          evaluate, weights, frozen, classes, batch
      ),
  }
