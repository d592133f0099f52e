"""The schema of a run: every key, its default and what it means.

A file in `configs/` starts from `experiment.new(method)`, which is this schema
plus one method's settings, changes some values and returns it locked. Every
key can be overridden on the command line: `--config.data.shots=4`.
"""

import hashlib
import json
from typing import Any

import ml_collections

from evclip_jax.errors import UserError

# Keys that may differ between two sittings of the same run: they change how
# it is carried out or watched, never what it computes.
FREE_KEYS = (
    'cache_dir',
    'compare',
    'data.prefetch',
    'data.root',
    'data.workers',
    'eval',
    'mesh',
    'train.log_every_steps',
    'train.checkpoint_every_epochs',
)


def base() -> ml_collections.ConfigDict:
  """The schema with its defaults, unlocked."""
  c = ml_collections.ConfigDict()
  # Chooses every random number of the run and nothing else: never a list.
  c.seed = 1
  # Which official split of the data set (1, 2 or 3) is used.
  c.split = 1
  # Clips per optimizer step over all devices together.
  c.batch_size = 64
  # Where downloaded weights are kept; '' = ~/.cache/evclip_jax.
  c.cache_dir = ''

  c.data = _data()
  c.clip = ml_collections.ConfigDict()
  # A published name (python -m evclip_jax.download --list) or 'tiny'.
  c.clip.name = 'ViT-B/16'
  # '' = the published weights of `name`; a file; another published name; or
  # 'random:SEED' to try things without weights.
  c.clip.weights = ''
  # The BPE vocabulary: '' = downloaded or packaged; or a file.
  c.clip.vocab = ''

  c.encoder = ml_collections.ConfigDict()
  # The video trunk of methods that use one.
  c.encoder.name = 'omnivore_swinS'
  c.encoder.weights = ''

  c.compute = ml_collections.ConfigDict()
  # 'float32' or 'bfloat16'. Parameters, optimizer, losses stay float32.
  c.compute.dtype = 'float32'
  # Recompute CLIP's blocks in the backward pass: less memory, more time.
  c.compute.remat = False

  c.mesh = ml_collections.ConfigDict()
  # Devices along the batch axis; 0 = all there are.
  c.mesh.data = 0
  # Spread the large frozen weights over the devices instead of copying them.
  c.mesh.shard_frozen = False

  c.method = ml_collections.ConfigDict()
  # A file name in evclip_jax/methods.
  c.method.name = ''
  # A file with trained weights of this method to start from (ours, or the
  # original code's); '' = the method's own initialisation.
  c.method.weights = ''
  c.method.settings = ml_collections.ConfigDict()

  c.optimizer = _optimizer()

  c.train = ml_collections.ConfigDict()
  c.train.epochs = 500
  c.train.eval_every_epochs = 5
  c.train.checkpoint_every_epochs = 5
  c.train.log_every_steps = 1
  # Which checkpoint is reported: 'last'; 'best_val'; 'best_on_test' (the
  # original's protocol: optimistic, and the output says so); 'auto' =
  # best_val if there is validation data, else last.
  c.train.select = 'auto'

  c.eval = ml_collections.ConfigDict()
  # Clips per evaluation step; 0 = batch_size.
  c.eval.batch_size = 0
  # Views per video: temporal windows x spatial crops, probabilities averaged.
  c.eval.clips = 1
  c.eval.crops = 1

  # Variants run one after the other and shown in one table, in this order:
  # {'name': ..., 'method': ..., 'settings': {...}}. Empty = one ordinary run.
  c.compare = ()
  return c


def _optimizer() -> ml_collections.ConfigDict:
  o = ml_collections.ConfigDict()
  # 'adamw', or 'adam_l2' (the decay is part of the gradient).
  o.name = 'adamw'
  o.learning_rate = 4e-4
  o.weight_decay = 0.05
  # Patterns of the paths of leaves without decay, matched in full.
  o.no_decay = ()
  o.b1 = 0.9
  o.b2 = 0.999
  o.eps = 1e-8
  # Longest gradient over all leaves together; 0 = any.
  o.clip_norm = 0.0
  # 'delayed_cosine', 'warmup_cosine' or 'relative_steps': see `schedules`.
  o.schedule = 'delayed_cosine'
  o.warmup_epochs = 1
  # Where the warm-up stays (delayed_cosine) or begins (relative_steps).
  o.warmup_learning_rate = 2e-5
  # warmup_cosine: the rate is set every so many steps.
  o.rate_every_steps = 1
  # relative_steps: from which epochs on which shares of learning_rate hold.
  o.stair_epochs = (0,)
  o.stair_rates = (1.0,)
  # relative_steps: count epochs twice, as CLIP-FSAR's code does.
  o.epochs_count_twice = False
  return o


def _data() -> ml_collections.ConfigDict:
  d = ml_collections.ConfigDict()
  # 'ucf101', 'folder' or 'demo'.
  d.name = 'ucf101'
  # The folder that holds the videos.
  d.root = ''
  # List files; '' = the data set's own lists (folder data: see README).
  d.train_list = ''
  d.val_list = ''
  d.test_list = ''
  # Several named test lists instead of one: name -> list file.
  d.tests = ml_collections.ConfigDict()
  # Training clips per class, drawn from the training list; 0 = all.
  d.shots = 0
  # A class with fewer clips than `shots`: 'error', or 'keep' what there is.
  d.few_shot_short = 'error'
  # A file with one class name per line, in label order; '' = from the data.
  d.class_names = ''
  # A prepared TFDS folder (python -m data_pipelines.build); '' = read files.
  d.tfds_dir = ''
  # T frames spread over a window of consecutive frames.
  d.num_frames = 8
  d.window_frames = 32
  # Where the window lies in training: 'center' or 'random'.
  d.train_temporal = 'center'
  d.resize_height = 256
  d.resize_width = 340
  d.crop_pixels = 224
  # A clip that cannot be decoded: 'error' or 'skip'.
  d.on_broken = 'error'
  # Decoding threads; 0 = one per core.
  d.workers = 0
  # Batches decoded ahead.
  d.prefetch = 2
  return d


def to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Plain nested dict, ready for JSON (tuples become lists)."""
  return json.loads(json.dumps(config.to_dict()))


def from_dict(values: dict[str, Any]) -> ml_collections.ConfigDict:
  """A locked config from what `to_dict` gave."""
  config = ml_collections.ConfigDict(_tuples(values))
  return config.lock()


def flat(config: ml_collections.ConfigDict | dict) -> dict[str, Any]:
  """{'a.b.c': value} over all leaves."""
  values = config if isinstance(config, dict) else to_dict(config)
  out = {}
  for key, value in values.items():
    if isinstance(value, dict):
      out |= {f'{key}.{k}': v for k, v in flat(value).items()}
    else:
      out[key] = value
  return out


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
  """Keys in which two configs (as plain dicts) would compute differently."""
  a, b = flat(a), flat(b)
  keys = [
      k
      for k in sorted({*a, *b})
      if not any(k == f or k.startswith(f + '.') for f in FREE_KEYS)
  ]
  return [k for k in keys if a.get(k) != b.get(k)]


def digest(config: ml_collections.ConfigDict) -> str:
  """Hash of everything that decides what a run computes."""
  kept = flat(config)
  for key in list(kept):
    if any(key == f or key.startswith(f + '.') for f in FREE_KEYS):
      del kept[key]
  text = json.dumps(kept, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def check(config: ml_collections.ConfigDict):
  """Raises UserError for values that no run could use."""
  _check_choice(config, 'data.train_temporal', ('center', 'random'))
  _check_choice(config, 'data.on_broken', ('error', 'skip'))
  _check_choice(config, 'data.few_shot_short', ('error', 'keep'))
  _check_choice(config, 'compute.dtype', ('float32', 'bfloat16'))
  _check_choice(
      config, 'train.select', ('auto', 'last', 'best_val', 'best_on_test')
  )
  for key in (
      'batch_size',
      'data.num_frames',
      'data.window_frames',
      'data.resize_height',
      'data.resize_width',
      'data.crop_pixels',
      'eval.clips',
      'eval.crops',
      'train.epochs',
      'train.eval_every_epochs',
      'train.checkpoint_every_epochs',
      'train.log_every_steps',
      'optimizer.rate_every_steps',
  ):
    _check_at_least(config, key, 1)
  for key in ('data.shots', 'data.workers', 'mesh.data', 'eval.batch_size'):
    _check_at_least(config, key, 0)
  if config.eval.crops not in (1, 3):
    raise UserError(f'eval.crops={config.eval.crops}: use 1 or 3.')
  smallest = min(config.data.resize_height, config.data.resize_width)
  if config.data.crop_pixels > smallest:
    raise UserError(
        f'data.crop_pixels={config.data.crop_pixels} does not fit into frames '
        f'of {config.data.resize_height}x{config.data.resize_width} '
        '(data.resize_height, data.resize_width).'
    )


def _check_choice(config, key: str, allowed: tuple[str, ...]):
  value = _get(config, key)
  if value not in allowed:
    raise UserError(f'{key}={value!r}: use one of {", ".join(allowed)}.')


def _check_at_least(config, key: str, least: int):
  value = _get(config, key)
  if value < least:
    raise UserError(f'{key}={value}: use {least} or more.')


def _get(config, key: str):
  for part in key.split('.'):
    config = config[part]
  return config


def _tuples(value):
  """Lists become tuples, as config files write them."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(value) if isinstance(value, list) else value
