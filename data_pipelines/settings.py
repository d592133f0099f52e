"""Defines the keys of config.data: defaults, allowed values, meanings."""

import math
import numbers
from typing import Any, NamedTuple

import ml_collections

from data_pipelines.errors import UserError


class Key(NamedTuple):
  """Describes a config key.

  `default` is {} for a group of a user's own keys. `allowed` is a tuple of
  choices; or an int, the minimum; or 1.0, for 0 to 1; None = not checked here.
  """

  default: Any
  meaning: str
  allowed: tuple[Any, ...] | float | None = None

# fmt: off
KEYS = {
    'name': Key('ucf101',
        "A data set ('ucf101', 'hmdb51', ...), 'folder' or 'demo'."),
    'root': Key('', 'The folder that holds the videos.'),
    'train_list': Key('', "A list file; '' = the data set's own."),
    'val_list': Key('', 'The same, for choosing a checkpoint.'),
    'test_list': Key('', 'The same, for scoring.'),
    'tests': Key({},
        'Several named test lists in place of one: name -> list file.'),
    'path_rule': Key('',
        "For mirrors: 'REGEX=>REPLACEMENT' rewrites each path of a list."),
    'on_missing': Key('error',
        'What to do with listed clips that are missing.', ('error', 'skip')),
    'most_missing': Key(0.2,
        'The share of a list that on_missing=skip may leave out.', 1.0),
    'on_broken': Key('error',
        'What to do with clips that cannot be decoded.', ('error', 'skip')),
    'label_kind': Key('verb',
        'What a class of EPIC-Kitchens is; an action is both.',
        ('verb', 'noun', 'action')),
    'shots': Key(0,
        'Training clips per class, drawn from the list; 0 = all.', 0),
    'val_shots': Key(0,
        'Clips per class held out of the training list, to choose a checkpoint '
        'or a rate by, if there is no val_list; 0 = none.', 0),
    'few_shot_short': Key('error',
        "A class with fewer clips than shots: 'keep' uses what there is.",
        ('error', 'keep')),
    'class_names': Key('',
        "A file with a class name per line, in label order; '' = from the "
        "data. With class_scope='per_list' also, separated by commas: a JSON "
        "file {'train': [...], 'test': [...]}, LIST=FILE for one list, "
        "'clip_fsar/<data set>' for CLIP-FSAR's lists."),
    'class_scope': Key('shared',
        'Whether all lists share one numbering of classes, or each numbers its '
        'own as base and novel lists of EZ-CLIP and CLIP-FSAR do.',
        ('shared', 'per_list')),
    'novel_classes': Key('',
        "Classes kept out of training; lists 'base' and 'novel' replace "
        "'test'. 'half' = the second half in label order, 'first_half', or a "
        'file of class names.'),
    'others': Key({},
        'Other data sets to score, each against its own classes: name -> '
        "{'name', 'root', 'splits', 'test_list', 'class_names', 'tfds_dir'}."),
    'score_own': Key(True,
        "Whether the data set's own test lists are scored as well."),
    'tfds_dir': Key('',
        "A folder made by python -m data_pipelines.build; '' = files."),
    'preprocess': Key('ev_clip',
        'The recipe that turns videos into pixels, a module in '
        'data_pipelines/views. Keys below name the recipes that use them.',
        ('ev_clip', 'ez_clip', 'clip_fsar')),
    'num_frames': Key(8, 'T, frames per clip.', 1),
    'window_frames': Key(32,
        'Frames of the video over which those are spread (ev_clip).', 1),
    'train_temporal': Key('center',
        'Where the window lies in training (ev_clip), or the frame in each of '
        'T segments (ez_clip).', ('center', 'random')),
    'frame_rule': Key('segment',
        'Which frames (clip_fsar): one drawn from each of T segments, in '
        'scoring as well; in scoring the middle ones; or evenly spaced ones '
        '(Kinetics).', ('segment', 'segment_center', 'interval')),
    'resize': Key('squeeze',
        'Whether frames become resize_height x resize_width pixels, or keep '
        'their aspect ratio, with a shorter side of resize_height '
        '(ev_clip).', ('squeeze', 'short_side')),
    'resize_height': Key(256,
        'Height, or shorter side, in pixels (ev_clip).', 1),
    'resize_width': Key(340, 'Width in pixels (ev_clip, squeeze).', 1),
    'crop_pixels': Key(224, 'P, the side of the square crop.', 1),
    'trunk_pixels': Key(0,
        'S, the side of a second square of the same part of each frame, for '
        'the video trunk (ev_clip); 0 = what encoder.name was trained with, '
        'or the square of crop_pixels.', 0),
    'flip': Key(True,
        'Mirror half of the training clips (ez_clip). False where left and '
        'right are different classes.'),
    'query_augment': Key(False,
        'Mirror half of the training queries (clip_fsar, Kinetics).'),
    'workers': Key(0,
        'Processes that read clips (about 200 MB each): 0 = one per core, at '
        'most 16.', 0),
    'decoder': Key('pyav',
        "What decodes videos; 'decord' = decord where a test of the file shows "
        'it to be exact, else PyAV.', ('pyav', 'decord')),
    'prefetch': Key(2, 'Batches decoded ahead.', 0),
}
# fmt: on


def make(**values) -> ml_collections.ConfigDict:
  """Makes config.data with these values and defaults for all others.

  Raises:
    UserError: an unknown setting, or a value that is not one of its choices.
  """
  for name, value in values.items():
    if name not in KEYS:
      raise UserError(
          f'{name}={value!r}: there is no such setting; use some of '
          f'{", ".join(KEYS)}.'
      )
    check(name, KEYS[name], value)
  data = ml_collections.ConfigDict()
  for name, key in KEYS.items():
    value = values.get(name, key.default)
    group = isinstance(key.default, dict)
    data[name] = ml_collections.ConfigDict(value) if group else value
  check_sizes(data)
  return data.lock()


def check(name: str, key: Key, value: Any):
  """Raises UserError unless the value of a key is allowed."""
  if isinstance(key.allowed, int):
    whole = isinstance(key.default, int)
    if not isinstance(value, numbers.Integral if whole else numbers.Real):
      raise UserError(f'{name}={value!r}: use a {"whole " * whole}number.')
    if not key.allowed <= value < math.inf:
      finite = '' if math.isfinite(value) else 'a finite number, '
      raise UserError(f'{name}={value}: use {finite}{key.allowed} or more.')
  if isinstance(key.allowed, float) and not 0 <= value <= key.allowed:
    raise UserError(f'{name}={value}: use a number from 0 to {key.allowed:g}.')
  if isinstance(key.allowed, tuple) and value not in key.allowed:
    choices = ', '.join(map(str, key.allowed))
    raise UserError(f'{name}={value!r}: use one of {choices}.')


def check_sizes(data: ml_collections.ConfigDict):
  """Raises UserError for sizes of config.data that do not fit together."""
  if data.trunk_pixels and data.preprocess != 'ev_clip':
    raise UserError(
        f'data.preprocess={data.preprocess} makes no second square for the '
        f'video trunk (data.trunk_pixels={data.trunk_pixels}): use ev_clip.'
    )
  width = data.resize_width
  if data.resize == 'short_side':
    width = data.resize_height
  smallest = min(data.resize_height, width)
  if data.preprocess == 'ev_clip' and data.crop_pixels > smallest:
    raise UserError(
        f'data.crop_pixels={data.crop_pixels} does not fit into frames of '
        f'{data.resize_height}x{width} (data.resize_height, '
        'data.resize_width).'
    )
