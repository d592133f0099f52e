"""Counts what methods cost on several networks, from shapes alone."""

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
from evclip_jax.training import costs, devices, params, session, steps
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
# Memory of common devices in GB.
_CARDS = (16, 24, 40, 80)


def rows(
    methods: Sequence[str] = METHODS,
    clips: Sequence[str] = CLIPS,
    num_frames: int = 8,
    num_classes: int = 101,
) -> list[dict[str, Any]]:
  """Returns what each method, with its recipe, costs on each published CLIP.

  Each pair has a dict with its trained weights, also relative to those on the
  second CLIP, and the GFLOPs per clip of training and of inference that the
  compiler counts before it optimises.
  """
  out = []
  total = len(methods) * len(clips)
  with log.progress(total, 'costs', unit='program') as bar:
    for name in methods:
      own = []
      for clip in clips:
        config = experiment.on_data('ucf101', name)
        config.clip.name, config.data.num_frames = clip, num_frames
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
    shared: dict | None = None,
) -> session.Session:
  """Builds a session whose weights are only shapes, by `num_devices` (0 = all).

  Networks that are not published are loaded; `shared` is as in `session.build`.
  """
  module, settings = base.load(config.method.name), experiment.settings(config)
  loaded = {}
  for part, (table, shapes_of) in _NETWORKS.items():
    name = config[part].name
    if not getattr(module, f'uses_{part}')(settings):
      continue
    if name not in table:
      # Packaged networks and other people's files.
      loaded[part] = session.networks(config, shared)[part]
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
  config = experiment.choose_variant(config)
  run = _session(config, num_classes, 1)
  training, inference = (
      costs.flops_of(lower(), 1) / config.batch_size / 1e9 or None
      for lower in programs_of(config, run)
  )
  return {
      'trained weights': params.count(run.trainable),
      'training GFLOPs per clip': training,
      'inference GFLOPs per clip': inference,
  }


def _session(config, num_classes: int, num_devices: int) -> session.Session:
  names = [f'class {k}' for k in range(num_classes)]
  return shapes(config, names, num_devices)


def programs_of(
    config: ml_collections.ConfigDict,
    run: session.Session,
    rows: int = 0,
    parts: int = 1,
    steps_per_epoch: int = 1,
) -> tuple[Callable, Callable]:
  """Returns functions that lower the training and the scoring step of `shapes`.

  `rows` are the clips, or episodes, of a batch; 0 = the config's. `parts` and
  `steps_per_epoch` are as for `Session.train_step`.
  """
  method, weights = run.method, run.trainable | run.statistics
  num_classes = len(run.class_names)
  length = run.clip.sizes.context_length if run.clip else 1
  size = len(method.class_texts(run.class_names)), num_classes, length
  tokens = jax.ShapeDtypeStruct(size, jnp.int32)
  tree = params.merge(run.frozen, weights)
  classes = jax.eval_shape(method.text, tree, tokens)
  own = config.episodes.per_step if method.episodic else config.batch_size
  batch = batch_lib.shapes(config, num_classes, rows or own, method.episodic)
  optimizer, step = run.train_step(config, steps_per_epoch, parts)
  given = run.trainable, run.statistics
  state = jax.eval_shape(lambda t, s: steps.new_state(t, optimizer, s), *given)
  text = tokens if method.text_trains else classes
  # Placed like real arrays, or the programs would differ a little.
  everywhere, split = devices.replicated(run.mesh), devices.batched(run.mesh)
  state, weights, text = _placed((state, weights, text), everywhere)
  frozen = jax.tree.map(_placed, run.frozen, run.shardings)
  batch = _placed(batch, split)
  return (
      lambda: step.lower(state, frozen, text, batch),
      lambda: run.see_step.lower(weights, frozen, batch),
  )


def _placed(shapes, sharding):
  def place(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

  return jax.tree.map(place, shapes)


def memory(
    config: ml_collections.ConfigDict, num_classes: int
) -> dict[str, Any]:
  """Estimates which batches fit on devices of several sizes; runs nothing.

  The training step is compiled for one and for two rows (clips or episodes) on
  each device; each further row is taken to need as much again. 5 % of a device
  are left free. UserError if the method trains nothing.

  Returns:
    'gigabytes_first' and 'gigabytes_per_row' of a device, 'gflops_per_clip',
    and 'rows_that_fit': {'16 GB': the most rows on each device, ...}.
  """
  size, need = devices.make_mesh(config.mesh.data).size, []
  run = _session(config, num_classes, size)
  if not run.trainable:
    raise UserError(
        f'--memory-only: the method {config.method.name!r} trains nothing.'
    )
  for rows in (size, 2 * size):
    lower, _ = programs_of(config, run, rows)
    compiled = lower().compile()
    need.append(costs.program_bytes(compiled))
  first, each = need[0], max(need[1] - need[0], 1)
  batch = batch_lib.shapes(config, num_classes, rows, run.method.episodic)
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
  mesh.shard_frozen. Nothing runs, so a CPU can stand for the devices. For the
  bytes that they exchange, see `costs.exchanged_bytes`.
  """
  out = []
  config = identity.from_dict(identity.to_dict(config)).unlock()
  with log.progress(2 * len(counts), 'devices', unit='program') as bar:
    for split in (False, True):
      config.mesh.shard_frozen = split
      for number in counts:
        if number > 1 or not split:
          run = _session(config, num_classes, number)
          lower, _ = programs_of(config, run)
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
