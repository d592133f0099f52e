"""Compares runs: means, intervals, differences, costs."""

import pathlib
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from data_pipelines import randomness
from evclip_jax.evaluation import run_card

Card = dict[str, Any]
Quantities = Callable[[Card], Iterable[tuple[str, float]]]
_DRAWS = 10_000


class Run(NamedTuple):
  """Holds a finished run: its card and its folder."""

  card: Card
  folder: pathlib.Path


# Row of the table -> part of the protocol ('seed-1') -> its run.
Runs = Mapping[str, Mapping[str, Run]]


def summarise_runs(
    runs: Runs, quantities: Quantities, seed: int
) -> dict[str, Any]:
  """Summarises several runs, ready for JSON.

  Rows are compared with the first one. Parts whose names differ only in the
  seed are averaged. `quantities` gives what is averaged of a run card; `seed`
  is the bootstrap's.

  Returns:
    'caption'; 'results', a dict per row and quantity with mean, std, interval
    and values; 'differences' to the first row; 'costs' and learning 'rates' per
    row; 'numbers' with what each number was made from.
  """
  results = []
  for row, parts in runs.items():
    values: dict[str, list[float]] = {}
    for run in parts.values():
      for name, value in quantities(run.card):
        values.setdefault(name, []).append(value)
    results += [
        {'variant': row, 'quantity': name, **spread(found)}
        for name, found in values.items()
    ]
  return {
      'caption': caption(runs, results),
      'results': results,
      'std': 'of the sample (n - 1); null for a single value',
      'differences': differences(runs, seed),
      'costs': [{'variant': row, **costs(p)} for row, p in runs.items()],
      'rates': {row: rates(parts) for row, parts in runs.items()},
      'numbers': [
          number
          for row, parts in runs.items()
          for part, run in parts.items()
          for number in _numbers(row, part, run.card)
      ],
  }


def tests(card: Card) -> list[tuple[str, float]]:
  """Lists top-1 of every list except the validation list."""
  final = card['final'].items()
  return [(name, x['top1']) for name, x in final if name != 'val']


def spread(values: list[float]) -> dict[str, Any]:
  """Returns mean, deviation and interval of one or more values.

  'std' is of the sample; 'interval' [low, high] the 95 % confidence interval of
  the mean by Student's t; both are None for a single value.
  """
  n, mean = len(values), statistics.fmean(values)
  std = interval = None
  if n > 1:
    std = statistics.stdev(values)
    half = float(scipy.special.stdtrit(n - 1, 0.975)) * std / n**0.5
    interval = [mean - half, mean + half]
  return {'mean': mean, 'std': std, 'interval': interval, 'values': values}


def differences(runs: Runs, seed: int) -> list[dict[str, Any]]:
  """Compares each row with the first one on the same clips or episodes.

  The difference of each clip is averaged over the seeds; then clips are drawn
  with replacement, the same in both rows, 10,000 times: a paired bootstrap. It
  shows how other clips might change the difference, but not other seeds, for
  which there is the interval of the mean.

  Returns:
    A dict per row, kind of part and list: 'difference' in points of top-1, its
    95 % 'interval' [low, high], and 'clips', the number of clips compared.
  """
  first, *others = runs
  out = []
  for row in others:
    pairs: dict[tuple[str, str], list] = {}
    for part in [p for p in runs[row] if p in runs[first]]:
      ours, theirs = runs[row][part], runs[first][part]
      lists = theirs.card['data']['lists']
      for name in ours.card['final']:
        about, own = lists.get(name), ours.card['data']['lists'][name]
        if name == 'val' or about is None or about['sha256'] != own['sha256']:
          continue
        pair = _hits(ours, name), _hits(theirs, name)
        if None not in pair and pair[0].keys() & pair[1].keys():
          pairs.setdefault((_kind(part), name), []).append((own, *pair))
    for (kind, name), found in pairs.items():
      each = _per_clip(found)
      mean, interval = bootstrap(each, seed)
      out.append({
          'variant': row,
          'quantity': ' '.join(filter(None, (kind, name))),
          'difference': mean,
          'interval': interval,
          'clips': len(each),
      })
  return out


def bootstrap(each: np.ndarray, seed: int) -> tuple[float, list[float]]:
  """Returns the mean of numbers [N] and its 95 % interval by resampling."""
  values, counts = np.unique(each, return_counts=True)
  generator = randomness.generator(seed, 'bootstrap')
  # The counts of each value among N draws are multinomial.
  share = counts / len(each)
  drawn = generator.multinomial(len(each), share, _DRAWS) @ values / len(each)
  return float(each.mean()), np.percentile(drawn, (2.5, 97.5)).tolist()


def scores_file(run: Run, name: str, suffix: str) -> pathlib.Path:
  """Returns the path of a list's scores, by suffix '.npz' or '.json'."""
  name = run_card.file_name(name, run.card.get('corrupt', ''))
  place = run.folder / run.card.get('scores', 'evaluation')
  return place / f'{name}{suffix}'


def _hits(run: Run, name: str) -> dict[int, float] | None:
  """Reads {clip or episode: percent right}; None if it cannot be read."""
  try:
    with np.load(scores_file(run, name, '.npz')) as arrays:
      if 'answer' in arrays:
        right = (arrays['answer'] == arrays['label']).mean(axis=1)
        return dict(enumerate((100 * right).tolist()))
      answers = arrays['log_probabilities'].argmax(axis=1)
      right = 100.0 * (answers == arrays['labels'])
      return dict(zip(arrays['index'].tolist(), right.tolist(), strict=True))
  except (OSError, ValueError, KeyError):
    return None


def _per_clip(found: list[tuple[dict, dict, dict]]) -> np.ndarray:
  """Averages the difference of each clip over the runs that share its list."""
  clips: dict[tuple[str, int], list[float]] = {}
  for about, ours, theirs in found:
    digest = (about.get('episodes') or about)['sha256']
    for place in sorted(ours.keys() & theirs.keys()):
      own = clips.setdefault((digest, place), [])
      own.append(ours[place] - theirs[place])
  return np.array([*map(statistics.fmean, clips.values())])


def _kind(part: str) -> str:
  """Removes the seed from the name of a part."""
  return re.sub(r'-?seed--?\d+$|^run$', '', part)


def costs(parts: Mapping[str, Run]) -> dict[str, Any]:
  """Returns the costs of a row's runs, as medians over its parts.

  Training's clips per second include waiting for clips; inference is timed
  alone. Memory is a device's, in the training step, or else in inference.
  """
  cards = [run.card for run in parts.values()]

  def median(kind, key, scale=1.0):
    found = [(c.get('costs') or {}).get(kind, {}).get(key) for c in cards]
    found = [x for x in found if x is not None]
    return statistics.median(found) * scale if found else None

  return {
      'trained weights': cards[0]['parameters']['trainable'],
      'training GFLOPs per clip': median('train', 'gflops_per_clip'),
      'inference GFLOPs per clip': median('evaluate', 'gflops_per_clip'),
      'training clips/s': median('train', 'clips_per_second'),
      'inference clips/s': median('evaluate', 'clips_per_second'),
      'memory GB': median('train', 'program_bytes', 1e-9)
      or median('evaluate', 'program_bytes', 1e-9),
  }


def rates(parts: Mapping[str, Run]) -> str:
  """Returns the learning rates of a row's runs; '' if nothing was trained."""
  found = [run.card.get('learning_rate') for run in parts.values()]
  shown = ', '.join(f'{rate:g}' for rate in sorted({*found} - {None}))
  chosen = any(run.card.get('rate') for run in parts.values())
  return f'{shown} (chosen on val)' if chosen else shown


def caption(runs: Runs, results: Sequence[Mapping[str, Any]]) -> str:
  """Says what the numbers of a table are, and which texts were used."""
  cards = [r.card for parts in runs.values() for r in parts.values()]
  seeds = sorted({card['seed'] for card in cards})
  said = 'Top-1 in percent'
  most = max((len(x['values']) for x in results), default=1)
  if most > 1:
    over = [f'seeds {", ".join(map(str, seeds))}'] * (len(seeds) > 1)
    over += ['splits'] * (most > len(seeds))
    said += (
        f': mean ± standard deviation over {" and ".join(over)} '
        "[95 % interval of the mean by Student's t]"
    )
  texts: dict[str, list[str]] = {}
  for row, parts in runs.items():
    card = next(iter(parts.values())).card
    prompts = [p[0] for p in card['prompts'] if p]
    shown = '; '.join(map(repr, prompts[:2]))
    more = f' and {len(prompts) - 2} more' if len(prompts) > 2 else ''
    named = card.get('prompt_set')
    of = ' ({name}, {hash})'.format(**named) if named else ''
    texts.setdefault(shown + more + of, []).append(row)
  said += '. Texts of the first class: ' + '. '.join(
      f'{", ".join(rows)}: {text or "none"}' for text, rows in texts.items()
  )
  said += f'. {_lists(cards)}.'
  for worse in sorted({card.get('corrupt', '') for card in cards} - {''}):
    said += f' Frames were made worse: data.corrupt={worse}.'
  dates = [card.get('environment', {}).get('date', '')[:10] for card in cards]
  ends = sorted({min(dates), max(dates)} - {''}) if dates else []
  return said + f' Runs of {" to ".join(ends)}.' * bool(ends)


def _lists(cards: list[Card]) -> str:
  """Names the lists that were scored, with their sizes and hashes."""
  found = {}
  for card in cards:
    for name, summary in card['final'].items():
      about = card['data']['lists'][name]
      size = f'{about["clips"]} clips'
      if 'episodes' in summary:
        size = f'{summary["episodes"]} episodes'
      found[name, about['sha256']] = f'{name} {size} ({about["sha256"][:8]})'
  return 'Lists: ' + ', '.join(found.values())


def _numbers(variant: str, part: str, card: Card) -> list[dict[str, Any]]:
  """Lists how each number of a run was made."""
  data, views = card['data'], card['views']
  seen = f'{views["clips"]} clips x {views["crops"]} crops'
  run = {
      'seed': card['seed'],
      'shots': data['shots'],
      'train_sha256': data['lists'].get('train', {}).get('sha256'),
      'view': 'single view' if seen == '1 clips x 1 crops' else seen,
      'views': views,
      'selected_by': card['selection']['rule'],
      'step': card['selection']['step'],
      'config_hash': card['config_hash'],
  }
  rows = []
  for name, values in card['final'].items():
    about = data['lists'][name]
    row = {'variant': variant, 'part': part, 'list': name, **values}
    if about.get('episodes'):
      row['episode_list'] = about['episodes']
    rows.append({
        **row,
        'data_set': about.get('data_set', data['name']),
        'from': about['from'],
        'sha256': about['sha256'],
        'classes': about.get('classes', data['classes']),
        'split': about.get('split', card['split']),
        **run,
    })
  return rows
