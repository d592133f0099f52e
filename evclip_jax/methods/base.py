"""Defines a method, a frozen dataclass of pure functions, and finds methods."""

import dataclasses
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from data_pipelines.views.view import squares
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.pixels import CONSTANTS, normalise
from evclip_jax.weights.trunks import Trunk

# Files of this folder that are not methods.
_SHARED = (
    'adapters', 'base', 'batch_moments', 'class_texts', 'heads',
    'learned_words', 'losses', 'mixing', 'original_checkpoint',
    'trained_weights',
)

Params = dict[str, Any]
Batch = dict[str, jax.Array]


class VideoFeatures(flax.struct.PyTreeNode):
  """Holds a method's features of a batch of clips.

  Attributes:
    clip: [B, E] one vector per clip, not normalised.
    frames: [B, T, E] one vector per frame, not normalised.
    maps: pictures to show by name, such as {'mask': [B, H, W]} in [0, 1).
    statistics: path -> new value of the leaves in `Method.statistics`, in
      training; otherwise empty.
  """

  clip: jax.Array
  frames: jax.Array
  maps: dict[str, jax.Array] = flax.struct.field(default_factory=dict)
  statistics: dict[str, jax.Array] = flax.struct.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Backbones:
  """Holds the pretrained networks on which a method is built.

  Attributes:
    clip: the CLIP model, with weights in params['clip'], or None.
    encoder: the video trunk, with weights in params['encoder'], or None. It
      tells which frames it takes (`sizes.resolution`; `constants`, mean and std
      of its pixels; None = any), the shape of its features (`sizes.channels`,
      `steps`, `grid`) and whether it has stochastic depth (`drops_paths`).
    num_frames: T, frames per clip.
    num_support: support clips of a training episode; 0 without episodes.
  """

  clip: Clip | None
  encoder: Trunk | None
  num_frames: int
  num_support: int = 0


@dataclasses.dataclass(frozen=True)
class Method:
  """Defines one adaptation method by its functions.

  `params` is always the full tree {'clip', 'encoder', 'method'}. `rngs` has the
  step's keys 'drop_path', 'dropout' and 'pixels', or is None if nothing random
  may happen.

  Attributes:
    init: (rng) -> the method's own subtree, params['method']; {} if none.
    pixels: (uint8 [B, T, H, W, 3], rng) -> normalised float32, same shape.
      `rng` is the step's key 'pixels' in training, which flips, colour changes
      and mixing of clips use; None in scoring, which does none of these.
    video: (params, pixels, rngs, train) -> VideoFeatures.
    class_texts: (class names) -> M lists of K strings, one list per template.
    prompt_set: the name of the class texts in captions.
    start: (result of `init`, all other parameters, texts -> ids [n, L]) -> the
      method's initial subtree, if that depends on CLIP; None = `init`'s.
    text: (params, tokens [M, K, L]) -> class embeddings [M, K, E].
    score: (params, features, classes [M, K, E], batch) -> logits [B, K]. When
      clips are scored, features have `clip` and `frames` only.
    loss: (params, features, classes, batch, rngs) -> (scalar, {name: scalar}),
      means over the rows with batch['mask'] 1 of the global batch.
    targets: (labels [B], K, rng) -> soft targets float32 [B, K] in training,
      for mixed clips or smoothed labels, with the key that `pixels` got; `loss`
      finds them in batch['target']. None = the labels are the targets.
    loss_is_a_mean: True if the loss is a mean over independent rows, so that a
      batch may be processed in parts (train.accumulate).
    trainable: patterns of the paths that train, matched in full.
    dead: patterns of trainable paths that no gradient can reach, such as
      weights that the original has and never uses.
    statistics: patterns of the paths that training changes without a gradient,
      such as the running means of batch norms (`VideoFeatures.statistics`).
    texts_in_parts: False if `text` must get all classes at once.
    text_trains: True if `text` depends on trained leaves. Then `loss` gets the
      tokens [M, K, L] in place of `classes` and embeds the texts it needs,
      and the class embeddings are computed once per evaluation, not per run.
    fit: (flat subtree from a file) -> the same adapted to this model, for
      weights trained with, say, another number of frames; None = unchanged.
    episodic: True if its batches are episodes (`batch.EPISODES`): then `video`
      takes pixels [E, V, T, H, W, 3] as well as plain clips, `score` returns
      [E, NQ, N] and `loss` is a mean over episodes.
    frozen: (params, pixels, rngs, train) -> {name: [B, ...]}, the features of
      frozen networks, if the trained part needs nothing else of the clips. It
      reads no leaves of the method, `video` must take its result in place of
      pixels (train.bank_views), and `pixels` must not mix clips. None = the
      trained part needs the pixels.
    differs: how this is not the authors' network, for the run card.
    looks: (params, pixels) -> {name: [B, T, h, w]}, pictures per frame that
      need a pass of their own, such as attention maps; None = there are none.
  """

  init: Callable[[jax.Array], Params]
  pixels: Callable[[jax.Array, jax.Array | None], jax.Array]
  video: Callable[[Params, jax.Array, dict | None, bool], VideoFeatures]
  class_texts: Callable[[list[str]], list[list[str]]]
  text: Callable[[Params, jax.Array], jax.Array]
  score: Callable[[Params, VideoFeatures, jax.Array, Batch], jax.Array]
  loss: Callable[
      [Params, VideoFeatures, jax.Array, Batch, dict | None],
      tuple[jax.Array, dict[str, jax.Array]],
  ]
  prompt_set: str = ''
  start: Callable[[Params, Params, Callable], Params] | None = None
  targets: Callable[[jax.Array, int, jax.Array], jax.Array] | None = None
  loss_is_a_mean: bool = False
  trainable: tuple[str, ...] = ('method/.*',)
  dead: tuple[str, ...] = ()
  statistics: tuple[str, ...] = ()
  texts_in_parts: bool = True
  text_trains: bool = False
  fit: Callable[[Params], Params] | None = None
  episodic: bool = False
  frozen: (
      Callable[[Params, jax.Array, dict | None, bool], dict[str, jax.Array]]
      | None
  ) = None
  differs: str = ''
  looks: Callable[[Params, jax.Array], dict[str, jax.Array]] | None = None


def names() -> list[str]:
  """Lists the methods in this folder by module name."""
  package = importlib.import_module('evclip_jax.methods')
  found = (m.name for m in pkgutil.iter_modules(package.__path__))
  return sorted(name for name in found if name not in _SHARED)


def load(name: str) -> ModuleType:
  """Imports the module of a method.

  It has `Settings` (a frozen dataclass with defaults) and `make(settings,
  backbones, class_names) -> Method` (class names of training, in label order).
  It may have

  - `RECIPE`: config key -> the value that its authors use;
  - `uses_encoder(settings)`: whether it needs a video trunk (default False),
    `uses_clip(settings)`: a CLIP (True), `trains(settings)`: whether it trains
    anything (True); missing ones are added to the module;
  - `SCORING`: names of settings that affect scores but not training;
  - `EPISODIC = True`: its batches are episodes.

  Raises:
    UserError: there is no such file in `evclip_jax/methods`.
  """
  if name not in names():
    raise UserError(
        f'method.name={name!r} is not a method. Found: {", ".join(names())}.'
    )
  module = f'evclip_jax.methods.{name}'
  found = importlib.util.find_spec(module)
  if found.submodule_search_locations is not None:
    module += '.method'
  loaded = importlib.import_module(module)
  vars(loaded).setdefault('uses_encoder', lambda settings: False)
  for what in ('uses_clip', 'trains'):
    vars(loaded).setdefault(what, lambda settings: True)
  return loaded


def check_classes(names: list[str], known: tuple[str, ...], what: str):
  """Raises UserError if the classes of a list are not those of training.

  Args:
    names: the list's classes.
    known: the training classes.
    what: the part that knows only those, such as 'a linear head'.
  """
  if tuple(names) != known:
    others = [repr(name) for name in names if name not in known][:3]
    raise UserError(
        f'a method with {what} knows only the {len(known)} classes of its '
        f'training, and the list has {len(names)}'
        + (f', such as {", ".join(others)}' if others else ' in another order')
        + '.\n  Score it with a method that reads class names, such as ev_clip.'
    )


def encode_frames(
    clip: Clip, params: Params, pixels: jax.Array, hooks: Hooks | None = None
) -> jax.Array:
  """Encodes CLIP's square of frames [..., H, W, 3] to [..., E]."""
  pixels = squares(pixels, clip.sizes.image_resolution)[0]
  images = pixels.reshape(-1, *pixels.shape[-3:])
  images = clip.images(params['clip'], images, hooks)
  return images.reshape(*pixels.shape[:-3], -1)


def trunk_features(
    encoder: Trunk,
    params_encoder: Params,
    pixels: jax.Array,
    constants: str,
    drop_path_rng: jax.Array | None = None,
) -> jax.Array:
  """Computes a trunk's features [B, t, h, w, C], without gradients.

  Args:
    encoder: the trunk.
    params_encoder: its weights.
    pixels: [B, T, S, S, 3], normalised by the method.
    constants: how, a key of `CONSTANTS`.
    drop_path_rng: turns stochastic depth on, if the trunk has any.
  """
  pixels = trunk_pixels(encoder, pixels, constants)
  return jax.lax.stop_gradient(
      encoder.features(params_encoder, pixels, drop_path_rng)
  )


def trunk_pixels(
    encoder: Trunk, pixels: jax.Array, constants: str
) -> jax.Array:
  """Renormalises clips with a trunk's own constants; see `trunk_features`."""
  if encoder.constants is None:
    return pixels
  mean, std = (jnp.asarray(x, jnp.float32) for x in CONSTANTS[constants])
  own_mean, own_std = (jnp.asarray(x) for x in encoder.constants)
  return (pixels * std + mean - own_mean) / own_std


def frozen_frames(clip: Clip) -> dict[str, Callable]:
  """Returns `Method.frozen` and `Method.video` for an unchanged image tower."""

  def frozen(params, pixels, rngs, train):
    frames = encode_frames(clip, params, pixels)
    return {'frames': jax.lax.stop_gradient(frames)}

  def video(params, pixels, rngs, train):
    if not isinstance(pixels, dict):
      pixels = frozen(params, pixels, rngs, train)
    frames = pixels['frames']
    return VideoFeatures(frames.mean(axis=-2), frames)

  return {'frozen': frozen, 'video': video}


def plain_pixels(settings: Any) -> Callable:
  """Returns a `Method.pixels` that normalises by the setting `pixels`.

  Raises:
    UserError: the setting is not a key of `CONSTANTS`.
  """
  check_choices(settings, pixels=CONSTANTS)
  return pixels_of(settings.pixels)


def pixels_of(constants: str) -> Callable:
  """Returns a `Method.pixels` that normalises by a key of `CONSTANTS`."""
  return lambda frames, rng: normalise(frames, *CONSTANTS[constants])


def check_vit(clip: Clip, method: str):
  """Raises UserError if CLIP's image tower is not a vision transformer."""
  if clip.sizes.vision != 'vit':
    raise UserError(
        f'{method} reaches into transformer blocks, which a ResNet does not '
        'have: set clip.name to a ViT.'
    )


def check_choices(settings: Any, **allowed: Iterable[Any]):
  """Raises UserError if a setting has none of its allowed values."""
  for setting, values in allowed.items():
    value = getattr(settings, setting)
    if value not in values:
      raise UserError(
          f'method.settings.{setting}={value!r}: use one of '
          f'{", ".join(map(str, values))}.'
      )
