"""What methods cost on CLIPs of several sizes: shapes only, no weights."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax.traverse_util import unflatten_dict

from data_pipelines.errors import UserError
from evclip_jax.config import experiment, identity
from evclip_jax.methods import base
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.reporting import log
from evclip_jax.training import batch as batch_lib
from evclip_jax.training import (
  costs,
  devices,
  optimizer,
  params,
  session,
  steps,
)
from evclip_jax.weights import clip_names, load, trunks

METHODS = ('ev_clip', 'ez_clip', 'st_adapter', 'aim', 'vifi_clip')
CLIPS = ('ViT-B/32', 'ViT-B/16', 'ViT-L/14')
TRUNKS = (
    'omnivore_swinT',
    'omnivore_swinS',
    'omnivore_swinB',
    'videoprism_base',
    'videoprism_large',
)
_NETWORKS = {
    'clip': (clip_sizes.TABLE, clip_names.shapes),
    'encoder': (trunks.TABLE, trunks.shapes),
}
# Memory of usual devices, in GB.
_CARDS = (16, 24, 40, 80)


def rows(
    methods: Sequence[str] = METHODS,
    clips: Sequence[str] = CLIPS,
    num_frames: int = 8,
    num_classes: int = 101,
) -> list[dict[str, Any]]:
  """Returns what each method, by its recipe, costs on each published CLIP.

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
    config: ml_collections.ConfigDict,
    class_names: Sequence[str],
    num_devices: int = 1,
) -> session.Session:
  """Returns a session on networks of which, if published, only shapes exist."""
  module, settings = base.load(config.method.name), experiment.settings(config)
  loaded = {}
  for part, (table, shapes_of) in _NETWORKS.items():
    name = config[part].name
    if not getattr(module, f'uses_{part}')(settings):
      continue
    if name not in table:
      # The packaged ones, and files of others.
      loaded[part] = session.networks(config)[part]
      continue
    flat = {
        path: jax.ShapeDtypeStruct(shape, jnp.float32)
        for path, shape in shapes_of(table[name]).items()
    }
    tree = unflatten_dict(flat, sep='/')
    loaded[part] = load.Loaded(table[name], tree, '', '')
  method, backbones = session.make_method(config, class_names, loaded)
  tree = {name: x.params for name, x in loaded.items()}
  if own := jax.eval_shape(method.init, jax.random.key(0)):
    tree['method'] = own
  trainable, rest = params.split(tree, method.trainable)
  statistics, frozen = params.split(rest, method.statistics)
  dtype, mesh = jnp.dtype(config.compute.dtype), devices.make_mesh(num_devices)
  frozen = jax.eval_shape(lambda x: params.in_dtype(x, dtype), frozen)
  shardings = devices.frozen_shardings(mesh, frozen, config.mesh.shard_frozen)
  return session.Session(
      method=method,
      tokenizer=None,
      clip=backbones.clip,
      hashes={},
      sources={},
      mesh=mesh,
      trainable=trainable,
      statistics=statistics,
      frozen=frozen,
      shardings=shardings,
      class_names=list(class_names),
  )


def _row(config, num_classes: int) -> dict[str, Any]:
  run, *programs = programs_of(config, num_classes, 1)
  training, inference = (
      costs.flops_of(lower(), 1) / config.batch_size / 1e9 or None
      for lower in programs
  )
  return {
      'trained weights': params.count(run.trainable),
      'training GFLOPs per clip': training,
      'inference GFLOPs per clip': inference,
  }


def programs_of(
    config: ml_collections.ConfigDict, num_classes: int, num_devices: int
) -> tuple[session.Session, Callable, Callable]:
  """Returns what `shapes` does, and what lowers its training and scoring."""
  names = [f'class {k}' for k in range(num_classes)]
  run = shapes(config, names, num_devices)
  method, weights = run.method, run.trainable | run.statistics
  length = run.clip.sizes.context_length if run.clip else 1
  size = len(method.class_texts(names)), num_classes, length
  tokens = jax.ShapeDtypeStruct(size, jnp.int32)
  classes = jax.eval_shape(
      lambda w, f, t: method.text(params.merge(f, w), t),
      weights,
      run.frozen,
      tokens,
  )
  rows = config.episodes.per_step if method.episodic else config.batch_size
  batch = batch_lib.shapes(config, num_classes, rows, method.episodic, None)
  schedule = optimizer.make_schedule(config.optimizer, config.train.epochs, 1)
  update = optimizer.make_optimizer(config.optimizer, schedule)
  state = jax.eval_shape(
      lambda t, s: steps.new_state(t, update, s), run.trainable, run.statistics
  )
  step = run.train_step(update, schedule, config.seed)
  text = tokens if method.text_trains else classes
  return (
      run,
      lambda: step.lower(state, run.frozen, text, batch),
      lambda: run.see_step.lower(weights, run.frozen, batch),
  )


def memory(
    config: ml_collections.ConfigDict, num_classes: int
) -> dict[str, Any]:
  """Says which batches fit devices of several sizes; runs nothing.

  The training step is compiled for one and for two rows (clips or episodes) on
  each device; memory grows by the same for each further one. Of a device 5 %
  are left free. UserError if the method trains nothing.

  Returns:
    'gigabytes_first' and 'gigabytes_per_row' of a device, 'gflops_per_clip',
    and 'rows_that_fit': {'16 GB': the most rows on each device, ...}.
  """
  size, need = devices.make_mesh(config.mesh.data).size, []
  own = identity.from_dict(identity.to_dict(config)).unlock()
  for rows in (1, 2):
    own.batch_size = own.episodes.per_step = rows * size
    run, lower, _ = programs_of(own, num_classes, size)
    if not run.trainable:
      raise UserError(
          f'--memory-only: the method {config.method.name!r} trains nothing.'
      )
    compiled = lower().compile()
    need.append(costs.program_bytes(compiled))
  first, each = need[0], max(need[1] - need[0], 1)
  batch = batch_lib.shapes(
      own, num_classes, 2 * size, run.method.episodic, None
  )
  flops = costs.flops_of(compiled, size) / batch_lib.count(batch)
  return {
      'devices_used': size,
      'gigabytes_first': first / 1e9,
      'gigabytes_per_row': each / 1e9,
      'gflops_per_clip': flops / 1e9,
      'rows_that_fit': {
          f'{gb} GB': max(int((0.95e9 * gb - first) // each) + 1, 0)
          for gb in _CARDS
      },
  }


def device_rows(
    config: ml_collections.ConfigDict,
    counts: Sequence[int],
    num_classes: int = 101,
) -> list[dict[str, Any]]:
  """Returns what a training step costs when devices share its batch.

  The step is compiled for each number of devices, with and without
  mesh.shard_frozen; nothing runs, so that the devices of a CPU do. Of bytes
  that all of them exchange each result of a collective counts once.
  """
  out = []
  config = identity.from_dict(identity.to_dict(config)).unlock()
  with log.progress(2 * len(counts), 'devices', unit='program') as bar:
    for split in (False, True):
      config.mesh.shard_frozen = split
      for number in counts:
        if number > 1 or not split:
          _, lower, _ = programs_of(config, num_classes, number)
          compiled = lower().compile()
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
