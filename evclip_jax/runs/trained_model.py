"""A trained run in Python: what it says of videos, files or frames."""

import concurrent.futures
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.lists import classes as class_names
from data_pipelines.loaders import clips as clip_lib
from data_pipelines.video import probe
from evclip_jax.evaluation import look
from evclip_jax.methods.base import Method
from evclip_jax.reporting.pictures import ClipPicture
from evclip_jax.runs import folder
from evclip_jax.training import session
from evclip_jax.training.checkpoints import Checkpoints

# A file, or its decoded frames.
Video = str | os.PathLike | np.ndarray
Videos = Video | Sequence[Video]


class TrainedModel:
  """Recognises actions in videos with the weights of a run.

  Videos are paths, or uint8 frames [T, H, W, 3] of any size and number in
  presentation order, one or several; [B, T, H, W, 3] are B videos. The run's
  own choice of frames and its own cropping are applied to both.

  Attributes:
    classes: the class names of the training, in label order.
    card: the run card of a finished run, else {}.
    name: of the run folder.
    config: the run's config; `mesh.data` is 0, all devices there are now.
    session: the method with its frozen weights.
    weights: flat dict of the selected trained leaves, on the devices.
    step: optimizer steps behind them; 0 if nothing was trained.
    selected_by: 'best', 'last', or 'given' if nothing was trained.
  """

  def __init__(self, workdir: str | os.PathLike, corrupt: str = ''):
    """Loads the best weights of a run, or its last ones.

    Args:
      workdir: the run folder; an unfinished run will do.
      corrupt: makes the frames worse, as data.corrupt; '' = as the run does.

    Raises:
      UserError: not a run folder, nothing trained there yet, or weights that
        are missing or not those of the training.
    """
    self.name = pathlib.Path(workdir).name
    self.config = config = folder.load_config(workdir)
    if config.compare:
      names = [c.get('name', c.get('method')) for c in config.compare]
      inner = ', '.join(map(folder.of_row, names))
      raise UserError(
          f'{workdir} holds several runs. Give the --workdir of one of them: '
          f'{workdir}/NAME with NAME in {inner}.'
      )
    with config.unlocked():
      # How many devices training had does not matter here.
      config.mesh.data = 0
      config.data.corrupt = corrupt or config.data.corrupt
    self.classes = folder.class_names(workdir)
    model = session.build(config, self.classes)
    self.session = session.start(config, model, self.classes)
    self.weights = self.session.initial()
    self.step, self.selected_by = 0, 'given'
    checkpoints = Checkpoints(workdir, model.hashes)
    for kind in ('best', 'last'):
      if (step := checkpoints.latest(kind)) is not None:
        self.step, self.selected_by = step, kind
        self.weights = checkpoints.weights(kind, self.weights)
        break
    else:
      if self.session.trainable and not config.method.weights:
        raise UserError(
            f'{workdir} has no checkpoint yet. Train with python -m '
            'evclip_jax.main, or wait for the first one.'
        )
    try:
      self.card = folder.load_card(workdir)
    except UserError:
      self.card = {}
    self._lookers = {}

  @property
  def method(self) -> Method:
    """The functions of the run's method."""
    return self.session.model.method

  def predict(
      self,
      videos: Videos,
      classes: Sequence[str] | None = None,
      support: Mapping[str, Videos] | None = None,
  ) -> list[list[tuple[str, float]]]:
    """Returns for each video all classes with probabilities, best first.

    Args:
      videos: one or several, see the class.
      classes: words to choose among; None = the classes of the training.
      support: class -> example videos, for methods that compare with examples.

    Raises:
      UserError: frames of another kind, a file that cannot be read, classes
        with the same name, examples missing or in vain.
    """
    names = self.names(classes, support)
    return [
        seen.top(names, len(names))
        for seen in self._see_all(videos, classes, support)
    ]

  def features(self, videos: Videos) -> np.ndarray:
    """Returns float32 [N, E], a vector per video, not normalised.

    Raises:
      UserError: as `predict`.
    """
    return np.stack([s.features for s in self._see_all(videos, score=False)])

  def looks(
      self,
      videos: Videos,
      classes: Sequence[str] | None = None,
      support: Mapping[str, Videos] | None = None,
  ) -> list[ClipPicture]:
    """Returns what the method looked at: frames, best classes, maps.

    The maps are the mask and attention, where the method has them.
    `pictures.draw` makes an image of each.

    Raises:
      UserError: as `predict`.
    """
    names = self.names(classes, support)
    videos = listed(videos)
    seen = self._see_all(videos, classes, support, closely=True)
    titles = [
        f'video {i}' if isinstance(v, np.ndarray) else os.path.basename(v)
        for i, v in enumerate(videos, 1)
    ]
    return [
        s.picture(title, names, self.method)
        for s, title in zip(seen, titles, strict=True)
    ]

  def names(
      self,
      classes: Sequence[str] | None = None,
      support: Mapping[str, Any] | None = None,
  ) -> list[str]:
    """Returns the classes that a prediction chooses among.

    Raises:
      UserError: one class only, two with the same name, examples and classes
        at once, or examples missing or in vain.
    """
    name = self.config.method.name
    if self.method.episodic and not support:
      raise UserError(
          f'{name} compares videos with examples: give support={{class: '
          'videos}, or --support=DIR with a folder of clips for each class.'
      )
    if support and not self.method.episodic:
      raise UserError(
          f'{name} does not compare with examples: leave support out; classes '
          'names other classes.'
      )
    if support and classes:
      raise UserError('support names the classes: leave classes out.')
    if not support and not classes:
      return self.classes
    return check_classes(list(support or classes))

  def see(
      self,
      videos: Sequence[Video],
      classes: Sequence[str] | None = None,
      support: Mapping[str, Videos] | None = None,
      closely: bool = False,
      score: bool = True,
  ) -> Iterator[look.Seen | UserError]:
    """Looks at videos, several at once, in their order.

    Args:
      videos: see the class.
      classes, support: as for `predict`.
      closely: whether to make the maps that cost passes of their own.
      score: whether probabilities are wanted.

    Yields:
      What the run sees in each, or why the file cannot be read.
    """
    config = self.config
    names = self.names(classes, support) if score else self.classes
    views = config.eval.clips * config.eval.crops
    most = max(1, (config.eval.batch_size or config.batch_size) // views)
    # A power of 2, so that few sizes are compiled.
    group_size = min(most, 1 << (len(videos) - 1).bit_length())
    looker = self._looker(group_size * views, closely)
    examples = None
    if support and score:
      examples = looker.examples(self.read_examples(support))
    with concurrent.futures.ThreadPoolExecutor() as pool:
      for start in range(0, len(videos), group_size):
        group = videos[start : start + group_size]
        results = list(pool.map(self._try, group))
        good = [r for r in results if not isinstance(r, UserError)]
        seen = iter(good and looker(good, names, examples, score))
        for result in results:
          yield result if isinstance(result, UserError) else next(seen)

  def _see_all(self, videos: Videos, *args, **kwargs) -> list[look.Seen]:
    """Looks at videos that must all be readable."""
    out = list(self.see(listed(videos), *args, **kwargs))
    for seen in out:
      if isinstance(seen, UserError):
        raise seen
    return out

  def _looker(self, rows: int, closely: bool) -> look.Looker:
    key = rows, self.config.eval.crops, closely
    if key not in self._lookers:
      self._lookers[key] = look.Looker(self.session, self.weights, *key)
    return self._lookers[key]

  def read_examples(self, support: Mapping[str, Videos]) -> np.ndarray:
    """Returns uint8 [N, K, T, P, P, 3], K as many as the smallest class has."""
    videos = [listed(v) for v in support.values()]
    shots = min(map(len, videos))
    views = [[self._read(v) for v in own[:shots]] for own in videos]
    return np.stack([np.stack([v[len(v) // 2] for v in own]) for own in views])

  def _try(self, video: Video) -> np.ndarray | UserError:
    try:
      return self._read(video)
    except UserError as e:
      return e

  def _read(self, video: Video) -> np.ndarray:
    """Returns the pixels of an evaluation, uint8 [views, T, P, P, 3]."""
    config = self.config
    spec = clip_lib.spec_of(config.data)
    views = config.eval.clips, config.eval.crops
    if isinstance(video, np.ndarray):
      view = functools.partial(clip_lib.eval_pixels, video, spec)
    else:
      path = os.path.abspath(video)
      alone = clip_lib.one_video(path, probe(path))

      def view(*place):
        clip = clip_lib.eval_clip(alone, 0, spec, *place)
        return clip_lib.read(clip, config.data.workers)

    return np.stack([view(i, *views) for i in range(views[0] * views[1])])


def listed(videos: Videos) -> list[Video]:
  """Returns one or several videos as a list, arrays checked.

  Raises:
    UserError: arrays that are not uint8 frames.
  """
  if isinstance(videos, (str, os.PathLike)):
    return [videos]
  if hasattr(videos, 'ndim'):
    frames = _checked(np.asarray(videos))
    return list(frames) if frames.ndim == 5 else [frames]
  return [one for video in videos for one in listed(video)]


def _checked(frames: np.ndarray) -> np.ndarray:
  fault = ''
  if frames.dtype != np.uint8:
    fault = (
        f'they are {frames.dtype}. Floats in 0..1 become that by '
        "(frames * 255).round().astype('uint8')."
    )
  elif frames.ndim not in (4, 5) or frames.shape[-1] != 3:
    fault = f'their shape is {frames.shape}. np.moveaxis moves axes.'
  elif frames.shape[-4] < 2:
    fault = f'their shape is {frames.shape}: one frame is no video.'
  if fault:
    raise UserError(
        'wanted uint8 frames [T, H, W, 3] or [B, T, H, W, 3] of 0..255 with T '
        f'of 2 or more, but {fault}'
    )
  return frames


def check_classes(names: Sequence[str]) -> list[str]:
  """Returns class names as prompts say them.

  Raises:
    UserError: one class only, or two with the same name.
  """
  names = [name.strip() for name in names if name.strip()]
  if len(names) < 2:
    raise UserError(
        f'classes {names}: nothing to choose. Name two or more.'
    )
  class_names.check_distinct(names, 'classes')
  return [class_names.clean(name) for name in names]
