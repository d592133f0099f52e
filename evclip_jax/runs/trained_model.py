"""Loads a trained run in Python, to predict videos from files or frames."""

import collections
import concurrent.futures
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.lists import classes as class_names
from evclip_jax.evaluation import look
from evclip_jax.methods.base import Method
from evclip_jax.reporting import log
from evclip_jax.reporting.pictures import ClipPicture
from evclip_jax.runs import folder
from evclip_jax.runs.windows import Video, Videos, gathered, listed, open_film
from evclip_jax.training import session
from evclip_jax.training.checkpoints import Checkpoints


class TrainedModel:
  """Recognises actions in videos with the weights of a run.

  A video is a path, or uint8 frames [T, H, W, 3] of any size and number, in
  presentation order; [B, T, H, W, 3] are B videos. Frames are chosen and
  cropped as in the run, in windows spread over the whole video
  (`runs.windows`).

  Attributes:
    classes: the class names of the training, in label order.
    card: the run card of a finished run, else {}.
    name: the name of the run folder.
    config: the run's config, with `mesh.data` 0 for all present devices.
    session: the method with its frozen weights.
    weights: flat dict of the selected trained leaves, on the devices.
    step: the optimizer step of these weights; 0 if nothing was trained.
    selected_by: 'best_val', 'best_on_test' or 'last', as in the run card, or
      'given' if nothing was trained.
  """

  def __init__(self, workdir: str | os.PathLike, corrupt: str | None = None):
    """Loads the best weights of a run, finished or not, or else the last ones.

    `corrupt` replaces data.corrupt; '' = frames as they are, None = as in the
    run.

    Raises:
      UserError: not a run folder, nothing trained there yet, or frozen weights
        that are missing or differ from those of the training.
    """
    self.name = pathlib.Path(workdir).name
    self.config = config = folder.load_config(workdir)
    if config.compare or config.protocol.name:
      folder.refuse_several(workdir)
    with config.unlocked():
      # How many devices training had does not matter here.
      config.mesh.data = 0
      if corrupt is not None:
        config.data.corrupt = corrupt
    self.classes = folder.class_names(workdir)
    self.session = session.build(config, self.classes)
    self.weights = self.session.initial()
    self.step, self.selected_by = 0, 'given'
    checkpoints = Checkpoints(workdir, self.session.hashes)
    select = config.train.select
    rules = {'best': 'best_val' if select == 'auto' else select, 'last': 'last'}
    for kind, rule in rules.items():
      if (step := checkpoints.latest(kind)) is not None:
        self.step, self.selected_by = step, rule
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
    return self.session.method

  def predict(
      self,
      videos: Videos,
      classes: Sequence[str] | None = None,
      support: Mapping[str, Videos] | None = None,
      clips: int = 0,
  ) -> list[list[tuple[str, float]]]:
    """Returns all classes with probabilities, best first, for each video.

    Args:
      videos: one or several, see the class.
      classes: names to choose among; None = the classes of the training.
      support: class -> example videos, for methods that compare with examples.
      clips: windows to average per video; 0 = as many as cover it.

    Raises:
      UserError: videos or classes of a wrong kind, a file that cannot be read,
        classes with the same name, or examples that are missing or useless.
    """
    names = self.names(classes, support)
    return [
        seen.top(names, len(names))
        for seen in self._see_all(videos, classes, support, clips=clips)
    ]

  def features(self, videos: Videos, clips: int = 0) -> np.ndarray:
    """Returns a feature vector per video, float32 [N, E], not normalised."""
    seen = self._see_all(videos, score=False, clips=clips)
    return np.stack([s.features for s in seen])

  def looks(
      self,
      videos: Videos,
      classes: Sequence[str] | None = None,
      support: Mapping[str, Videos] | None = None,
      clips: int = 0,
  ) -> list[ClipPicture]:
    """Returns what the method looked at: frames, best classes, maps.

    Frames and maps (mask and attention, where the method has them) are of the
    middle window. `pictures.draw` makes an image of each video.
    """
    names = self.names(classes, support)
    videos = listed(videos)
    seen = self._see_all(videos, classes, support, closely=True, clips=clips)
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
      UserError: no name or only one, two that are the same, both examples and
        classes, or examples that are missing or useless.
    """
    name = self.config.method.name
    if classes is not None:
      # One name, not the letters of a word.
      classes = [classes] if isinstance(classes, str) else list(classes)
    if support is not None and not isinstance(support, Mapping):
      raise UserError(f'support={support!r:.60}: wanted {{class: videos}}.')
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
    if not support and classes is None:
      return self.classes
    what, names = 'support' if support else 'classes', [*(support or classes)]
    # A blank word is left out; that of examples would leave theirs.
    if not all(isinstance(x, str) and (classes or x.strip()) for x in names):
      raise UserError(f'{what} {names}: wanted names.')
    names = [name.strip() for name in names if name.strip()]
    if len(names) < 2:
      raise UserError(f'classes {names}: nothing to choose. Name two or more.')
    class_names.check_distinct(names, 'classes')
    return [class_names.clean(name) for name in names]

  def see(
      self,
      videos: Sequence[Video],
      classes: Sequence[str] | None = None,
      support: Mapping[str, Videos] | None = None,
      closely: bool = False,
      score: bool = True,
      every: bool = False,
      **windows: Any,
  ) -> Iterator[look.Seen | UserError]:
    """Looks at videos in order; memory does not grow with their number.

    Args:
      videos, classes, support: as for `predict`.
      closely: whether to make the maps that take passes of their own.
      score: whether probabilities are wanted.
      every: whether to keep the maps of every window.
      **windows: `clips` and `along` of `windows.open_film`.

    Yields:
      What the run sees in each video, or why it cannot be read.
    """
    names = self.names(classes, support) if score else self.classes
    crops = self.config.eval.crops
    open_one = functools.partial(
        _tried, functools.partial(open_film, config=self.config, **windows)
    )
    rows = self.config.eval.batch_size or self.config.batch_size
    with concurrent.futures.ThreadPoolExecutor() as pool:
      films = _ahead(pool, open_one, videos, 2 * rows)
      if len(videos) <= rows:
        # A power of 2, to compile for few sizes.
        films = list(films)
        need = sum(len(f.views) for f in films if not isinstance(f, UserError))
        rows = min(rows, 1 << (max(need, 1) - 1).bit_length())
      looker, examples = self._looker(rows, closely), None
      if support and score:
        examples = looker.examples(self.read_examples(support))

      def looks(clips):
        while group := list(itertools.islice(clips, rows)):
          good = [x for x in group if not isinstance(x, UserError)]
          seen = looker(np.stack(good), names, examples, score) if good else ()
          seen = iter(seen)
          for clip in group:
            yield clip if isinstance(clip, UserError) else next(seen)

      films, again = itertools.tee(films)
      views = (
          view
          for film in again
          if not isinstance(film, UserError)
          for view in film.views
      )
      seen = looks(_ahead(pool, _tried, views, 2 * rows))
      for film in films:
        if not isinstance(film, UserError):
          own = itertools.islice(seen, len(film.views))
          film = gathered(film, own, crops, every)
        yield film

  def _see_all(self, videos: Videos, *args, **kwargs) -> Iterator[look.Seen]:
    """Looks at videos that must all be readable."""
    for seen in self.see(listed(videos), *args, **kwargs):
      if isinstance(seen, UserError):
        raise seen
      yield seen

  def _looker(self, rows: int, closely: bool) -> look.Looker:
    # A multiple of the number of devices; one program serves fewer rows, too.
    size = self.session.mesh.size
    key = -(-rows // size) * size, closely
    if key not in self._lookers:
      self._lookers[key] = look.Looker(self.session, self.weights, *key)
    return self._lookers[key]

  def read_examples(self, support: Mapping[str, Videos]) -> np.ndarray:
    """Reads uint8 [N, K, T, P, P, 3]; K is the size of the smallest class."""
    videos = [listed(v) for v in support.values()]
    shots = min(map(len, videos))
    if left := sum(map(len, videos)) - shots * len(videos):
      log.log(
          f'examples used of each class: {shots}, as many as the smallest '
          f'class has; left out: {left}'
      )

    def middle(video: Video) -> np.ndarray:
      views = open_film(video, self.config, clips=1).views
      return views[len(views) // 2]()

    clips = [[middle(v) for v in own[:shots]] for own in videos]
    return np.stack([np.stack(own) for own in clips])


def _ahead(pool, function: Callable, items: Iterable, number: int) -> Iterator:
  """Yields function(item) in order, with up to `number` begun ahead."""
  begun = collections.deque()
  for item in items:
    begun.append(pool.submit(function, item))
    if len(begun) > number:
      yield begun.popleft().result()
  while begun:
    yield begun.popleft().result()


def _tried(function: Callable, *given: Any) -> Any:
  """Returns what a function returns, or the UserError that it raises."""
  try:
    return function(*given)
  except UserError as e:
    return e
