"""From scores to what a person reads: summaries, selection, the run card."""

import hashlib
import json
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from evclip_jax.config import identity
from evclip_jax.evaluation import episodes
from evclip_jax.evaluation import scores as evaluate
from evclip_jax.methods import base
from evclip_jax.reporting import log, page
from evclip_jax.training import params, session
from evclip_jax.training.checkpoints import Checkpoints
from evclip_jax.training.state import TrainState

_EXPLAIN = {
    'last': 'the last step; nothing was selected',
    'best_val': 'the best evaluation on the validation list',
    'best_on_test': (
        'the best evaluation on the TEST list itself (the original protocol); '
        'optimistic, not comparable with selection on validation data'
    ),
    'given': 'the weights as given; nothing was trained here',
}


def selection(select: str, evals: dict[str, session.EvalSet]) -> str:
  """Resolves train.select against the lists there are."""
  if select == 'auto':
    return 'best_val' if 'val' in evals else 'last'
  if select == 'best_val' and 'val' not in evals:
    raise UserError(
        "train.select='best_val' needs a validation list (data.val_list). "
        "Use 'last', or name it honestly: 'best_on_test'."
    )
  return select


def watched(
    select: str, evals: dict[str, session.EvalSet]
) -> dict[str, session.EvalSet]:
  """The lists evaluated during training: validation if there is any."""
  if 'val' in evals and select != 'best_on_test':
    return {'val': evals['val']}
  return {name: e for name, e in evals.items() if name != 'val'}


def evaluate_list(
    run: session.Session,
    weights: dict[str, jax.Array],
    data: session.EvalSet,
    workdir: pathlib.Path,
) -> tuple[dict[str, float], dict[str, Any]]:
  """Scores one list, clip by clip or in episodes.

  Args:
    run: the session.
    weights: what training changed, on the devices.
    data: the list.
    workdir: the run folder, for what is done so far of a long evaluation.

  Returns:
    (summary, details): numbers by name; 'class_names', 'per_class' top-1,
    'arrays' for a file and perhaps 'confusion'.
  """
  if data.episodes is not None:
    folder = pathlib.Path(workdir) / 'evaluation' / f'unfinished-{data.name}'
    return episodes.evaluate(run, weights, data, folder)
  scored = evaluate.score(run, weights, data)
  scores, labels = scored.log_probabilities, scored.labels
  details = {
      'class_names': list(data.class_names),
      'per_class': evaluate.per_class(scores, labels, data.class_names),
      'confusion': evaluate.confusion(scores, labels).tolist(),
      'arrays': {
          'log_probabilities': scores.astype(np.float32),
          'labels': labels,
          'features': scored.features,
      },
  }
  return evaluate.summarise(scores, labels), details


def report(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    run: session.Session,
    now: TrainState,
    checkpoints: Checkpoints | None,
    data: session.Data,
    select: str,
    metrics_log: log.MetricsLog,
) -> dict[str, Any]:
  """Evaluates the selected state, and the last one beside it, on every list.

  Returns:
    The run card, with 'final' = {list: summary} of the selected state.
  """
  states = {select: now}
  if select.startswith('best') and checkpoints.latest('best') is not None:
    states = {select: checkpoints.restore('best', now), 'last': now}
  final: dict[str, dict[str, Any]] = {}
  shown: dict[str, dict[str, Any]] = {}
  for rule, chosen in states.items():
    final[rule] = {}
    weights = chosen.weights
    for name, data_list in data.evals.items():
      summary, details = evaluate_list(run, weights, data_list, workdir)
      metrics_log.add(
          int(now.step),
          name,
          **summary,
          selected_by=rule,
          selected_step=int(chosen.step),
          final=True,
      )
      final[rule][name] = summary
      log.log(one_line(f'final {name} ({rule})', summary))
      if rule == select and jax.process_index() == 0:
        save_details(workdir, name, details)
        shown[name] = details
  log.log(f'{select}: {_EXPLAIN[select]}')
  card = {
      'method': config.method.name,
      'config_hash': identity.digest(config),
      'seed': config.seed,
      'split': config.split,
      'step': int(now.step),
      'selection': {
          'rule': select,
          'meaning': _EXPLAIN[select],
          'step': int(states[select].step),
      },
      'views': {'clips': config.eval.clips, 'crops': config.eval.crops},
      'final': final[select],
      **({'final_last': final['last']} if 'last' in final else {}),
      'data': data.description,
      'class_names': list(run.class_names),
      # Of the first class, as an example.
      'prompts': [p[:1] for p in run.model.method.class_texts(run.class_names)],
      'prompts_sha256': prompts_hash(run.model.method, run.class_names),
      'weights': {
          name: {'hash': digest, 'source': run.model.sources[name]}
          for name, digest in run.model.hashes.items()
      },
      'parameters': {
          'trainable': params.count(run.trainable),
          'frozen': params.count(run.frozen),
      },
      'environment': log.environment(),
  }
  if jax.process_index() == 0:
    page.write_run_page(pathlib.Path(workdir), card, shown)
  return card


def prompts_hash(method: base.Method, class_names: list[str]) -> str:
  """Of the texts of all classes, which an edited file of texts changes."""
  texts = method.class_texts(class_names)
  return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def save_details(
    workdir: pathlib.Path,
    name: str,
    details: dict[str, Any],
):
  """Writes what was found out about a list.

  Args:
    workdir: the run folder; gets evaluation/<name>.json and .npz.
    name: of the list.
    details: of `evaluate_list`.
  """
  folder = pathlib.Path(workdir) / 'evaluation'
  folder.mkdir(exist_ok=True)
  shown = {
      'per_class_top1': details['per_class'],
      'class_names': details['class_names'],
  }
  if 'confusion' in details:
    shown['confusion'] = details['confusion']
  whole_file.write_json(folder / f'{name}.json', shown)
  np.savez_compressed(folder / f'{name}.npz', **details['arrays'])


def write_card(
    workdir: pathlib.Path, card: dict[str, Any], name: str = 'run_card.json'
):
  """Writes the card into the run folder, on the first process."""
  if jax.process_index() == 0:
    whole_file.write_json(pathlib.Path(workdir) / name, card)


def accuracy(summary: dict[str, float]) -> float | str:
  """Top-1 with a decimal, and its interval where there is one."""
  top1 = round(summary['top1'], 1)
  if 'interval' not in summary:
    return top1
  return f'{top1} ± {summary["interval"]:.1f}'


def one_line(title: str, summary: dict[str, float]) -> str:
  """'title: top-1 81.2, top-5 95.0, ...'"""
  if 'episodes' in summary:
    return (
        f'{title}: top-1 {accuracy(summary)}, '
        f'loss {summary["loss"]:.4f} on {summary["episodes"]} episodes'
    )
  return (
      f'{title}: top-1 {summary["top1"]:.1f}, top-5 {summary["top5"]:.1f}, '
      f'macro-F1 {summary["macro_f1"]:.1f}, loss {summary["loss"]:.4f} '
      f'on {summary["clips"]} clips'
  )
