"""Evaluates the lists of a run, and writes its run card and report."""

import functools
import hashlib
import json
import os
import pathlib
import shlex
from typing import Any

import jax
import ml_collections
import numpy as np

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from evclip_jax.config import identity
from evclip_jax.evaluation import episodes, look, report_clips, scores
from evclip_jax.methods import base
from evclip_jax.reporting import log, run_page
from evclip_jax.reporting.page import CERTAIN
from evclip_jax.training import params
from evclip_jax.training.session import Session
from evclip_jax.weights import published, random_init

Weights = dict[str, jax.Array]
_EXPLAIN = {
    'last': 'the last step; nothing was selected',
    'best_val': 'the best evaluation on the validation list',
    'best_on_test': (
        'the best evaluation on the TEST list itself (the original protocol); '
        'optimistic, not comparable with selection on validation data'
    ),
    'given': 'the weights as given; nothing was trained here',
}


def selection(select: str, evals: dict[str, Any]) -> str:
  """Resolves train.select ('auto') by the lists that exist."""
  if select == 'auto':
    return 'best_val' if 'val' in evals else 'last'
  if select == 'best_val' and 'val' not in evals:
    raise UserError(
        "train.select='best_val' needs a validation list (data.val_list, "
        "data.val_shots). Use 'last', or name it honestly: 'best_on_test'."
    )
  return select


def watched(select: str, evals: dict[str, Any]) -> dict[str, Any]:
  """Returns the lists to score during training: validation if there is any."""
  if 'val' in evals and select != 'best_on_test':
    return {'val': evals['val']}
  return {name: e for name, e in evals.items() if name != 'val'}


def evaluate_list(
    run: Session,
    weights: Weights,
    data: Any,
    beside: tuple[Session, Weights] | None = None,
    **how: Any,
) -> tuple[dict[str, float], dict[str, Any]]:
  """Scores one list of the data pipeline, clip by clip or in episodes.

  `beside` and `how` are as for `scores.score`.

  Returns:
    (summary, {name: number}; details, see `scores.details`).
  """
  if data.episodes is not None:
    return episodes.evaluate(run, weights, data, beside, **how)
  scored = scores.score(run, weights, data, beside, **how)
  logs, labels = scored.log_probabilities, scored.labels
  arrays, other = {
      'log_probabilities': logs.astype(np.float32),
      'labels': labels,
      'features': scored.features,
      'index': scored.index,
  }, None
  if (plain := scored.beside) is not None:
    arrays['zero_shot_log_probabilities'] = plain.astype(np.float32)
    other = scores.summarise(plain, labels), scores.confusion(plain, labels)
  matrix = scores.confusion(logs, labels)
  details = scores.details(data.class_names, matrix, arrays, other)
  return scores.summarise(logs, labels), details


def report(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    run: Session,
    data: Any,
    states: dict[str, tuple[int, Weights]],
    step: int,
    metrics_log: log.MetricsLog,
    place: str = 'evaluation',
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Scores every list with the weights of each selection rule.

  `states` are {rule of selection: (step, weights)}; the first one is reported.
  Training ended at `step`. `metrics_log` gets a line per list and state. The
  scores of clips go to the folder `place` in `workdir`.

  Returns:
    (run card, with 'final' = {list: summary} of the reported state; its details
    by list, with keys, thumbnails and pictures for the report).
  """
  final: dict[str, dict[str, Any]] = {}
  lists: dict[str, dict[str, Any]] = {}
  select = next(iter(states))
  rows = config.eval.batch_size or config.batch_size
  looker = look.Looker(run, states[select][1], rows, closely=True)
  beside = scores.zero_shot_beside(run, bool(config.method.weights))
  worse = {'corrupt': config.data.corrupt} if config.data.corrupt else {}
  for rule, (chosen, weights) in states.items():
    final[rule] = {}
    for name, listed in data.evals.items():
      how, small = {}, {}
      if rule == select:
        own = {'data': listed, 'side': config.data.crop_pixels, 'kept': small}
        watch = functools.partial(report_clips.watched, **own)
        how = {'beside': beside, 'watch': watch}
      summary, details = evaluate_list(run, weights, listed, **how)
      told = {'selected_by': rule, 'selected_step': chosen, 'final': True}
      metrics_log.add(step, name, **summary, **told, **worse)
      final[rule][name] = summary
      classes = len(details['class_names'])
      log.log(one_line(f'final {name} ({rule})', summary, classes))
      if rule == select and log.is_first():
        file = file_name(name, config.data.corrupt)
        _save_details(workdir / place, file, details)
        lists[name] = details | {
            'keys': listed.keys(),
            'thumbnails': small,
            'pictures': (
                # Programs for several processes cannot run on the first alone.
                jax.process_count() == 1
                and functools.partial(
                    report_clips.pictures, run.method, looker, listed, details
                )
            ),
        }
  log.log(f'{select}: {_EXPLAIN[select]}')
  return {
      'method': config.method.name,
      **({'differs': text} if (text := run.method.differs) else {}),
      'config_hash': identity.digest(config),
      'seed': config.seed,
      'split': config.split,
      'step': step,
      'selection': {
          'rule': select,
          'meaning': _EXPLAIN[select],
          'step': states[select][0],
      },
      'views': {'clips': config.eval.clips, 'crops': config.eval.crops},
      **worse,
      'final': final[select],
      'zero_shot': {
          n: x['zero_shot'] for n, x in lists.items() if 'zero_shot' in x
      },
      **({'final_last': final['last']} if 'last' in final else {}),
      'zero_shot_prompts': beside and _prompts(beside[0]),
      'data': data.description,
      'class_names': list(run.class_names),
      'prompts': _prompts(run),
      'prompts_sha256': (digest := prompts_hash(run.method, run.class_names)),
      # The name of the prompts in tables.
      'prompt_set': {
          'name': run.method.prompt_set or 'class texts', 'hash': digest[:8]
      },
      'weights': {
          name: {
              'hash': digest,
              'source': run.sources[name],
              'licence': _licence(run.sources[name], config[name].name),
          }
          for name, digest in run.hashes.items()
      },
      'parameters': {
          'trainable': params.count(run.trainable),
          'frozen': params.count(run.frozen),
      },
      'costs': {'evaluate': run.see_step.costs()},
      'environment': log.environment(),
  }, lists


def _licence(source: str, name: str) -> str:
  """Returns the licence of weights; of a file, that of its name's weights."""
  if random_init.is_random(source):
    return ''
  by_name = published.licence(name)
  by_name = by_name and f'{name} as published: {by_name}'
  return published.licence(source) or by_name


def write(
    workdir: pathlib.Path,
    card: dict[str, Any],
    lists: dict[str, Any],
    name: str = 'run_card.json',
):
  """Writes the card, then report.html, on the first process."""
  if not log.is_first():
    return
  whole_file.write_json(workdir / name, card)
  log.log(f'report: {run_page.write(workdir, card, lists)}')
  module = base.load(card['method'])
  examples = ' --support=DIR' if getattr(module, 'EPISODIC', False) else ''
  short = shlex.quote(min(os.path.relpath(workdir), str(workdir), key=len))
  log.log(
      f'next: python -m evclip_jax.predict --workdir={short}{examples} '
      'VIDEO... --out=pictures'
  )


def prompts_hash(method: base.Method, class_names: list[str]) -> str:
  """Hashes the texts of all classes, to notice an edited file of texts."""
  texts = method.class_texts(class_names)
  return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def one_line(title: str, summary: dict[str, float], num_classes: int) -> str:
  """Returns 'title: top-1 81.2, top-5 95.0, ...'; no top-5 of few classes."""
  start = f'{title}: top-1 {round(summary["top1"], 1)}'
  loss = f'{summary["loss"]:.4f}'
  if 'episodes' in summary:
    start += f' ± {summary["interval"]:.1f}'
    return f'{start}, loss {loss} on {summary["episodes"]} episodes'
  if num_classes > CERTAIN:
    start += f', top-5 {summary["top5"]:.1f}'
  return (
      f'{start}, macro-F1 {summary["macro_f1"]:.1f}, loss {loss} '
      f'on {summary["clips"]} clips'
  )


def _prompts(run: Session) -> list[list[str]]:
  """Returns the texts of the first class, as an example."""
  return [p[:1] for p in run.method.class_texts(run.class_names)]


def file_name(name: str, corrupt: str = '') -> str:
  """Returns a list's file name in evaluation/, such as 'test-darken-3'."""
  return f'{name}-{corrupt.replace(":", "-")}' if corrupt else name


def _save_details(folder: pathlib.Path, name: str, details: dict[str, Any]):
  """Writes <list>.json and .npz."""
  folder.mkdir(exist_ok=True)
  saved = {
      'per_class_top1': details['per_class'],
      'class_names': details['class_names'],
      'confusion': details['confusion'],
  }
  whole_file.write_json(folder / f'{name}.json', saved)
  np.savez_compressed(folder / f'{name}.npz', **details['arrays'])
