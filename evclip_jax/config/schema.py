"""The keys of a config: default, allowed values and meaning, in one table.

A file in `configs/` starts from `experiment.new(method)`, which is this schema
plus one method's settings, changes some values and returns it locked. Every
key can be overridden on the command line: `--config.data.shots=4`.
"""

import math
import re

import ml_collections

from data_pipelines import settings
from data_pipelines.errors import UserError
from data_pipelines.settings import Key
from evclip_jax.models import corruptions

# fmt: off
KEYS = {
    'seed': Key(1, 'Seeds every random number of the run and nothing else.'),
    'split': Key(1, 'Official split of the data set: 1, 2 or 3.'),
    'batch_size': Key(64, 'Clips per step over all devices together.', 1),
    'cache_dir': Key('',
        "Folder of downloads and caches; '' = ~/.cache/evclip_jax."),
    'variants': Key((),
        'Values to set if others are as given, unless the command line does: '
        "{'when': {'clip.name': 'ViT-L/14'}, 'set': {'batch_size': 16}}."),
    'compare': Key((),
        "Rows of a table, run one after the other: {'name', 'method', "
        "'settings', 'config'}. A row of another method takes its recipe, then "
        "the row's settings and config keys. () = one run."),
    # ---- data
    **{f'data.{name}': key for name, key in settings.KEYS.items()},
    'data.corrupt': Key('',
        "Corrupts the clips that are scored, such as 'darken:3': a kind in "
        'evclip_jax/models/corruptions.py and a severity of 1 to 5.'),
    # ---- networks
    'clip.name': Key('ViT-B/16',
        "A name from python -m evclip_jax.download, or 'tiny'."),
    'clip.weights': Key('',
        "'' = the published weights of clip.name; a file; another published "
        "name; or 'random:SEED' to try things without weights."),
    'clip.activation': Key('',
        "Activation of a CLIP from a file; '' = what the file or the config "
        "beside it says; state dicts that are not OpenAI's say nothing.",
        ('', 'quick_gelu', 'gelu', 'gelu_tanh')),
    'clip.vision_heads': Key(0,
        'Heads of its image tower; 0 = what the file says.', 0),
    'clip.vocab': Key('', "A BPE vocabulary file; '' = the usual one."),
    'encoder.name': Key('omnivore_swinS',
        'The video trunk, for methods that use one.'),
    'encoder.weights': Key('', 'Like clip.weights.'),
    'encoder.vocab': Key('',
        "SentencePiece file of VideoPrism's texts; '' = the downloaded one."),
    'method.name': Key('', 'A name in evclip_jax/methods.'),
    'method.weights': Key('',
        "A file of the method's trained weights (ours or the original code's) "
        "to start from; '' = the method's own initialisation."),
    'method.settings': Key({}, "The method's own: `Settings` in its file."),
    'compute.dtype': Key('float32',
        'Type of the networks; trained weights, optimizer, losses are float32.',
        ('float32', 'bfloat16')),
    'compute.remat': Key(False,
        "Recompute whole blocks of CLIP in the backward pass: less memory, a "
        'third more time. False = recompute only what is cheap.'),
    'compute.memory_gb': Key(0.0,
        'Memory of a device in GB: a training step that needs more is refused; '
        '0 = what the device reports, and no limit on CPUs.', 0),
    'compute.compilation_cache': Key(True,
        'Keep compiled programs in <cache_dir>/compiled, or where '
        'JAX_COMPILATION_CACHE_DIR says.'),
    'mesh.data': Key(0, 'Devices along the batch axis; 0 = all.', 0),
    'mesh.shard_frozen': Key(False,
        'Spread large frozen weights over the devices.'),
    # ---- training
    'optimizer.name': Key('adamw',
        "With 'adam_l2' the decay is part of the gradient.",
        ('adamw', 'adam_l2')),
    'optimizer.learning_rate': Key(4e-4, 'The peak rate.', 0),
    'optimizer.weight_decay': Key(0.05,
        'For every leaf except no_decay.', 0),
    'optimizer.no_decay': Key((),
        'Regular expressions that match whole paths of leaves without decay.'),
    'optimizer.b1': Key(0.9, "Decay of Adam's mean of gradients.", 1.0),
    'optimizer.b2': Key(0.999, "Decay of Adam's mean of squares.", 1.0),
    'optimizer.eps': Key(1e-8, "Summand of Adam's denominator.", 0),
    'optimizer.clip_norm': Key(0.0,
        'Largest gradient norm over all leaves together; 0 = no limit.', 0),
    'optimizer.schedule': Key('delayed_cosine',
        'delayed_cosine (EV-CLIP): a constant warm-up, then half a cosine; '
        'warmup_cosine (EZ-CLIP): a rise, then half a cosine, every few steps; '
        'relative_steps (CLIP-FSAR): a rise, then stairs.',
        ('delayed_cosine', 'warmup_cosine', 'relative_steps')),
    'optimizer.warmup_epochs': Key(1, 'Length of the warm-up.', 0),
    'optimizer.warmup_learning_rate': Key(2e-5,
        'Rate of the warm-up (delayed_cosine) or at its start '
        '(relative_steps).', 0),
    'optimizer.rate_every_steps': Key(1,
        'How often the rate is set (warmup_cosine).', 1),
    'optimizer.stair_epochs': Key((0,),
        'Epochs from which stair_rates hold (relative_steps).'),
    'optimizer.stair_rates': Key((1.0,),
        'Fractions of learning_rate (relative_steps).'),
    'optimizer.epochs_count_twice': Key(False,
        "As CLIP-FSAR's code counts them (relative_steps)."),
    'optimizer.iterations_per_step': Key(1,
        'Iterations that a step stands for; it has the rate of the last '
        '(relative_steps; CLIP-FSAR: 4).', 1),
    'optimizer.iterations_per_epoch': Key(0,
        'Iterations per epoch (relative_steps); 0 = those of its steps.', 0),
    'train.epochs': Key(500, 'Passes over the training clips.', 1),
    'train.eval_every_epochs': Key(5, 'How often lists are scored.', 1),
    'train.checkpoint_every_epochs': Key(5, 'How often the state is saved.', 1),
    'train.log_every_steps': Key(1, 'How often metrics are written.', 1),
    'train.accumulate': Key(1,
        'Parts of a batch that go through the network one after the other: '
        'less memory, the same numbers. For losses that are means.', 1),
    'train.bank_views': Key(0,
        'Views of each training clip whose features are computed once, kept in '
        'the cache folder and trained on; 0 = new pixels in each epoch. For '
        'methods whose trained part sees only frozen features (see '
        'docs/speed.md).', 0),
    'train.rates': Key((),
        'Rates to try in place of optimizer.learning_rate, each in a training '
        'of its own: the best on the validation list is kept.'),
    'train.select': Key('auto',
        "Which checkpoint is reported. 'best_on_test' is the protocol of some "
        "originals: optimistic, as the output says. 'auto' = best_val if "
        'there is validation data, else last.',
        ('auto', 'last', 'best_val', 'best_on_test')),
    'eval.batch_size': Key(0, 'Clips per evaluation step; 0 = batch_size.', 0),
    'eval.clips': Key(1, 'Windows per video; probabilities are averaged.', 1),
    'eval.crops': Key(1, 'Crops per window.', (1, 3)),
    # ---- episodes, in place of batch_size and epochs
    'episodes.way': Key(5, 'Classes per episode.', 2),
    'episodes.shot': Key(1, 'Support clips per class.', 1),
    'episodes.query': Key(5, 'Query clips per class.', 1),
    'episodes.test_way': Key(0, 'way in testing; 0 = as in training.', 0),
    'episodes.test_shot': Key(0, 'shot in testing; 0 = as in training.', 0),
    'episodes.test_query': Key(1, 'query in testing.', 1),
    'episodes.per_step': Key(16, 'Episodes per step over all devices.', 1),
    'episodes.train_episodes': Key(20_000,
        'Episodes to train on, a whole number of steps.', 1),
    'episodes.epoch_episodes': Key(2_000,
        'An epoch of the schedule, rounded down to whole steps.', 1),
    'episodes.eval_every_episodes': Key(2_000,
        'How often lists are scored and the state is saved.', 1),
    'episodes.test_episodes': Key(10_000, 'Episodes per list to score.', 1),
    'episodes.score': Key(False,
        'Score lists in episodes even if a method learns from clips: by the '
        "best of an episode's classes. compare sets it where rows need it."),
    'episodes.bank': Key(True,
        'Compute the features of each scored clip only once.'),
    # ---- protocols: several runs, one result
    'protocol.name': Key('',
        "A name in evclip_jax/runs/protocols.py; '' = one run."),
    'protocol.shots': Key((2, 4, 8, 16),
        'few_shot: clips per class, one run each, 0 = all. episodes: shots to '
        'score.'),
    'protocol.seeds': Key((),
        'Seeds to average over, in every protocol; () = (1, 2, 3) in '
        "base_to_novel and seeds, the config's seed in others."),
    'protocol.splits': Key((),
        "supervised: splits to average over; () = the config's split."),
}
# fmt: on


def base() -> ml_collections.ConfigDict:
  """Returns the schema with its defaults, unlocked."""
  config = ml_collections.ConfigDict()
  for key, (default, *_) in KEYS.items():
    *groups, name = key.split('.')
    part = config
    for group in groups:
      if group not in part:
        part[group] = ml_collections.ConfigDict()
      part = part[group]
    part[name] = ml_collections.ConfigDict() if default == {} else default
  return config

# What the entries of a tuple must be, and how messages call that.
_ENTRIES = {
    'compare': (dict, 'a dict'),
    'optimizer.no_decay': (str, 'a text'),
    'optimizer.stair_epochs': (int, 'a whole number'),
    'optimizer.stair_rates': ((int, float), 'a number'),
    'protocol.seeds': (int, 'a whole number'),
    'protocol.shots': (int, 'a whole number'),
    'protocol.splits': (int, 'a whole number'),
    'train.rates': ((int, float), 'a number'),
}


def check(config: ml_collections.ConfigDict):
  """Raises UserError for values that no run could use."""
  for name, key in KEYS.items():
    value = config
    for part in name.split('.') if key.allowed is not None else ():
      value = value[part]
    settings.check(name, key, value)
  for name, (kind, called) in _ENTRIES.items():
    value = config
    for part in name.split('.'):
      value = value[part]
    # A bool is an int; nan and inf are floats.
    if not all(
        isinstance(entry, kind)
        and not isinstance(entry, bool)
        and not (isinstance(entry, float) and not math.isfinite(entry))
        for entry in value
    ):
      raise UserError(f'{name}={tuple(value)!r}: each entry must be {called}.')
  _check_optimizer(config.optimizer)
  settings.check_sizes(config.data)
  if config.data.corrupt:
    corruptions.parse(config.data.corrupt)


def _check_optimizer(config: ml_collections.ConfigDict):
  for key in ('b1', 'b2'):
    if config[key] == 1:
      raise UserError(f'optimizer.{key}=1: use a number below 1.')
  for pattern in config.no_decay:
    try:
      re.compile(pattern)
    except re.error as e:
      raise UserError(
          f'optimizer.no_decay: {pattern!r} is not a regular expression: {e}.'
      ) from e
  starts, rates = tuple(config.stair_epochs), tuple(config.stair_rates)
  if config.schedule == 'relative_steps' and (
      len(starts) != len(rates) or starts[:1] != (0,)
  ):
    raise UserError(
        f'optimizer.stair_epochs={starts} and optimizer.stair_rates={rates}: '
        'wanted as many of each, the first epoch 0.'
    )
