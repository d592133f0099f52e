"""Scores every method on corrupted frames, at every severity."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from data_pipelines import randomness
from data_pipelines.loaders.source import Source
from evclip_jax.domain_shift import features
from evclip_jax.domain_shift.study import Study
from evclip_jax.evaluation import bank
from evclip_jax.models import corruptions
from evclip_jax.reporting import log
from evclip_jax.runs.trained_model import TrainedModel
from evclip_jax.training import devices
from evclip_jax.training.params import merge

_RESAMPLES = 1_000


def curves(
    study: Study, name: str, kinds: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
  """Scores a list under kinds of corruption: kind -> method -> `curve`.

  Each method has one compiled step. Clips are decoded once per method, in one
  view.
  """
  source, seed = study.lists[name], study.config.seed
  out = {kind: {} for kind in kinds}
  for method, folder in study.methods.items():
    # Whatever data.corrupt the run was scored with.
    model = TrainedModel(folder, corrupt='')
    hits = _hits(model, source, kinds, f'{method} on {name}')
    for kind, right in hits.items():
      out[kind][method] = curve(right, seed)
  return out


def curve(right: np.ndarray, seed: int) -> dict[str, Any]:
  """Summarises one method under one kind of corruption.

  `right` is bool [6, N], of the clips as they are and at severities 1 to 5.

  Returns:
    'top1', 'low' and 'high' (Wilson), six numbers each, in percent; 'area'
    under the curve from 0 to 5, as a mean accuracy in percent, and
    'robustness', 1 - (a0 - mean of a1 .. a5) / a0, each with its interval;
    'robustness' is None if no clip is right at severity 0.

  Source: M. Schiappa et al., A large-scale robustness analysis of video action
    recognition models, CVPR 2023, for the relative robustness.
  """
  number = right.shape[1]
  top1 = right.mean(axis=1)
  ends = np.array([
      stats.binomtest(int(hits), number).proportion_ci(method='wilson')
      for hits in right.sum(axis=1)
  ])
  draw = randomness.generator(seed, 'bootstrap')
  weights = draw.multinomial(number, np.full(number, 1 / number), _RESAMPLES)
  resampled = weights @ right.T / number  # [resamples, 6]

  def area(x):
    return 100 * np.trapezoid(x, dx=1 / 5, axis=-1)

  def robustness(x):
    return x[..., 1:].mean(axis=-1) / np.maximum(x[..., 0], 1e-12)

  def with_interval(function):
    low, high = np.quantile(function(resampled), (0.025, 0.975))
    return {'value': float(function(top1)), 'low': float(low),
            'high': float(high)}  # fmt: skip

  return {
      'top1': (100 * top1).tolist(),
      'low': (100 * ends[:, 0]).tolist(),
      'high': (100 * ends[:, 1]).tolist(),
      'area': with_interval(area),
      'robustness': with_interval(robustness) if top1[0] else None,
  }


def _hits(
    model: TrainedModel, source: Source, kinds: Sequence[str], title: str
) -> dict[str, np.ndarray]:
  """Returns which clips are right, bool [6, N], for each kind."""
  config, session = model.config, model.session
  method, mesh = session.method, session.mesh
  scored = features.one_view(config, source, mesh)
  classes = session.classes(model.weights, scored.class_names)

  def step(weights, frozen, classes, batch):
    params, how = merge(frozen, weights), (config.seed, config.data.crop_pixels)

    def right(video):
      seen = method.video(params, method.pixels(video, None), None, False)
      logits = method.score(params, seen, classes, batch)
      # Ties go to the lower class, as in evaluation.
      return logits.astype(jnp.float32).argmax(axis=-1) == batch['label']

    def worse(kind, level):
      return right(corruptions.apply(kind, batch['video'], level, *how))

    levels, plain = jnp.array(corruptions.SEVERITIES), right(batch['video'])
    found = [jax.lax.map(functools.partial(worse, k), levels) for k in kinds]
    found = jnp.stack([jnp.concatenate([plain[None], x]) for x in found])
    rows = {'right': jnp.moveaxis(found, -1, 0)}  # [B, kinds, 6]
    return rows | {'mask': batch['mask'], 'index': batch['index']}

  jitted = devices.jit(step, mesh, session.shardings, 4)
  given = functools.partial(jitted, model.weights, session.frozen, classes)
  with log.progress(len(source), f'corrupt {title}', unit='clip') as bar:
    rows = list(bank.rows_of(scored.batches(), given, mesh, bar.update))
  rows = bank.joined(rows)
  right = rows['right'][np.argsort(rows['index'])]
  return {kind: right[:, place].T for place, kind in enumerate(kinds)}
