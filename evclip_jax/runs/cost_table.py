"""What methods cost on CLIPs of several sizes: shapes only, no weights."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax.traverse_util import unflatten_dict

from data_pipelines.errors import UserError
from evclip_jax.config import experiment, identity
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
  """Returns what each method, by its recipe, costs on each published CLIP.

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


def trunk_rows(num_classes: int = 101) -> list[dict[str, Any]]:
  """Returns what EV-CLIP on ViT-B/16 costs on each video trunk; see `rows`."""
  out = []
  with log.progress(len(TRUNKS), 'trunks', unit='program') as bar:
    for name in TRUNKS:
      config = experiment.on_data('ucf101', 'ev_clip')
      config.encoder.name, config.data.num_frames = name, 8
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
  statistics, frozen = params.split(rest, method.statistics)
  frozen = jax.eval_shape(lambda x: params.in_dtype(x, dtype), frozen)
  return Shapes(method, trainable, statistics, frozen)


def _sizes(table, name: str, key: str) -> Any:
  if name not in table:
    raise UserError(
        f'{key}={name!r}: costs are counted on published networks: '
        f'{", ".join(table)}.'
    )
  return table[name]


def _row(config, num_classes: int) -> dict[str, Any]:
  found, programs = programs_of(config, num_classes, 1)

  def count(kind):
    flops = costs.flops_of(programs[kind](), 1)
    return flops / config.batch_size / 1e9 or None

  return {
      'trained weights': params.count(found.trainable),
      'training GFLOPs per clip': count('training'),
      'inference GFLOPs per clip': count('inference'),
  }


def programs_of(
    config: ml_collections.ConfigDict, num_classes: int, num_devices: int
) -> tuple[Shapes, dict[str, Callable[[], jax.stages.Lowered]]]:
  """Returns the shapes of a config's weights, and what lowers its steps."""
  names = [f'class {k}' for k in range(num_classes)]
  found = shapes(config, names)
  method, frozen = found.method, found.frozen
  mesh = devices.make_mesh(num_devices)
  placed = devices.frozen_shardings(mesh, frozen, config.mesh.shard_frozen)
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
  rows = config.episodes.per_step if method.episodic else config.batch_size
  batch = batch_lib.shapes(config, num_classes, rows, method.episodic, None)
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
  return found, {
      'training': lambda: train.lower(state, frozen, text, batch),
      'inference': lambda: evaluate.lower(weights, frozen, classes, batch),
  }


def device_rows(
    config: ml_collections.ConfigDict,
    counts: Sequence[int],
    num_classes: int = 101,
) -> list[dict[str, Any]]:
  """Returns what a training step costs when devices share its batch.

  The step is compiled for each number of devices, with and without
  mesh.shard_frozen; nothing runs, so that the devices of a CPU do.

  Returns:
    A dict each: FLOPs and memory of one device, FLOPs of all of them in those
    of the first row, and how many bytes of weights and gradients all of them
    exchange in one step: each result of a collective counts once.
  """
  out = []
  config = identity.from_dict(identity.to_dict(config)).unlock()
  with log.progress(2 * len(counts), 'devices', unit='program') as bar:
    for split in (False, True):
      config.mesh.shard_frozen = split
      for number in counts:
        if number > 1 or not split:
          compiled = programs_of(config, num_classes, number)[1]['training']()
          compiled = compiled.compile()
          flops = costs.flops_of(compiled, 1)
          first = out[0]['GFLOPs per device'] if out else flops / 1e9
          out.append({
              'devices': number,
              'frozen weights': 'split' if split else 'copied',
              'GFLOPs per device': flops / 1e9,
              'of one device': flops * number / 1e9 / first,
              'GB per device': costs.program_bytes(compiled) / 1e9,
              'MB exchanged': costs.exchanged_bytes(compiled) / 1e6,
          })
        bar.update(1)
  return out
