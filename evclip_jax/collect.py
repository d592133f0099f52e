"""python -m evclip_jax.collect RUN... [--out=FILE.md|csv|tex]

Makes one table of finished runs. RUN is a run folder, or a folder of several,
such as that of a comparison or a protocol. Runs that differ only in the seed
are averaged; if they were scored differently, they are refused.
"""

import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError

# Keys of scoring. Runs of several seeds that differ only in these are probably
# meant as one row, and are refused rather than shown as two.
_SCORING = ('data.', 'train.select', 'method.settings.')
_MOST_KEYS = 3


class Found(NamedTuple):
  """Holds a finished run; `row` is its number and name in a comparison.

  `values`, by key, decide what it computes, except for the seed.
  """

  folder: pathlib.Path
  card: dict[str, Any]
  values: dict[str, str]
  row: tuple[int, str] = (0, '')


def main(args: list[str]):
  """Prints the table of the runs below the folders of `args`."""
  collect(args, flags.FLAGS.out)


def collect(folders: list[str], out: str = ''):
  """Prints one table of finished runs; UserError if they are not comparable."""
  path = pathlib.Path(out)
  if out and path.suffix not in ('.md', '.csv', '.tex'):
    raise UserError(f'--out={out}: use a name that ends in .md, .csv or .tex.')
  if not folders:
    raise UserError('wanted run folders: evclip_jax.collect RUN...')
  from data_pipelines import whole_file
  from evclip_jax.runs import result_page, results

  runs = group(list(find(folders)))
  found = [run.card for own in runs.values() for run in own.values()]
  several = len({card['data']['name'] for card in found}) > 1

  def quantities(card):
    before = f'{card["data"]["name"]} ' * several
    return [(before + name, top1) for name, top1 in results.tests(card)]

  summary = results.summarise_runs(runs, quantities, 0)
  print(result_page.as_text(summary))
  if out:
    try:
      whole_file.write(path, result_page.as_file(summary, path.suffix))
    except OSError as e:
      raise UserError(f'--out={out} cannot be written: {e.strerror}.') from e
    print(f'\nwritten: {out}')


def find(folders: list[str]) -> Iterator[Found]:
  """Yields the finished runs in and below folders, each once, or UserError."""
  from evclip_jax.config import experiment, identity
  from evclip_jax.runs import folder as run_folder

  seen = set()
  for given in folders:
    places, unfinished = [], []
    for path in sorted(pathlib.Path(given).rglob('*.json')):
      # Rates that were tried are parts of a run, not runs.
      if 'rates' in path.relative_to(given).parts:
        continue
      if path.name == 'run_card.json':
        places.append(path.parent)
      elif path.name == 'config.json':
        begun = path.with_name('checkpoints').exists()
        if begun and not path.with_name('run_card.json').exists():
          unfinished.append(path.parent)
    if not places:
      why = f': {unfinished[0]} is not finished' if unfinished else ''
      raise UserError(f'{given} holds no finished run{why}.')
    for place in unfinished:
      print(f'note: {place} is not finished and left out.')
    for place in places:
      if place.resolve() in seen:
        continue
      seen.add(place.resolve())
      config = run_folder.load_config(place)
      # Keys that are newer than the run have their defaults.
      values = identity.what_counts(experiment.new(config.method.name))
      values |= identity.what_counts(config)
      values.pop('seed')
      values = {key: repr(value) for key, value in values.items()}
      card = run_folder.load_card(place)
      yield Found(place, card, values, run_folder.row_of(place))


def group(runs: list[Found]) -> dict[str, dict[str, Any]]:
  """Returns {row: {'seed-1': run}}; a row's runs differ only in the seed.

  UserError if runs cannot be averaged, or do not belong in one table.
  """
  from evclip_jax.runs import results

  groups: dict[tuple, list[Found]] = {}
  for run in sorted(runs, key=lambda run: run.row[0]):
    groups.setdefault(tuple(sorted(run.values.items())), []).append(run)
  for own in groups.values():
    for one, other in itertools.combinations(own, 2):
      _refuse(one, other, _scored)
      if one.card['seed'] == other.card['seed']:
        raise UserError(
            f'{one.folder} and {other.folder} are the same run, of seed '
            f'{one.card["seed"]}: give one of them.'
        )
  for one, other in itertools.combinations(groups.values(), 2):
    a, b = one[0], other[0]
    ours, theirs = ({run.card['seed'] for run in own} for own in (one, other))
    alike = all(key.startswith(_SCORING) for key in _differ([a, b]))
    if alike and ours.isdisjoint(theirs):
      _refuse(a, b, _scored)
    # Rows of one table are scored on the same clips.
    if a.card['data']['name'] == b.card['data']['name']:
      _refuse(a, b, _lists, {*_lists(a)} & {*_lists(b)})
  labels = _labels(list(groups.values()))
  return {
      label: {
          f'seed-{run.card["seed"]}': results.Run(run.card, run.folder)
          for run in sorted(own, key=lambda run: run.card['seed'])
      }
      for label, own in zip(labels, groups.values(), strict=True)
  }


def _scored(run: Found) -> dict[str, Any]:
  """Returns what runs must have in common to be averaged."""
  card = run.card
  return {
      'classes': card['class_names'],
      'prompts': card['prompts_sha256'],
      'selection': card['selection']['rule'],
      'views': card['views'],
      'corruption': card.get('corrupt'),
      'weights': {n: about['hash'] for n, about in card['weights'].items()},
      **_lists(run),
  }


def _lists(run: Found) -> dict[str, Any]:
  """Returns the hash and the episode size of each list that was scored."""
  lists, shots = run.card['data']['lists'], run.values['data.val_shots']
  out = {}
  for name in run.card['final']:
    if name == 'val' and shots != '0':
      # The seed draws its clips.
      out['data.val_shots'] = shots
      continue
    episodes = dict(lists[name].get('episodes') or {})
    # The seed draws its episodes.
    episodes.pop('sha256', None)
    out[f'list {name!r}'] = lists[name]['sha256'], episodes
  return out


def _refuse(one: Found, other: Found, about: Callable, keys=None):
  """Raises UserError if two runs were not scored alike."""
  a, b = about(one), about(other)
  keys = a | b if keys is None else keys
  differ = [key for key in a | b if key in keys and a.get(key) != b.get(key)]
  if differ:
    raise UserError(
        f'{one.folder} and {other.folder} are not comparable: they differ in '
        f'{", ".join(differ)}. Collect them apart.'
    )


def _differ(runs: list[Found]) -> list[str]:
  keys = dict.fromkeys(key for run in runs for key in run.values)
  return [k for k in keys if len({run.values.get(k) for run in runs}) > 1]


def _labels(groups: list[list[Found]]) -> list[str]:
  """Names rows as comparisons did, or by method and its differing keys."""
  names = [{run.row[1] for run in own} for own in groups]
  out = []
  for own, named in zip(groups, names, strict=True):
    run, method = own[0], own[0].card['method']
    label = next(iter(named))
    if not label or names.count(named) > 1 or len(named) > 1:
      keys = _differ([x[0] for x in groups if x[0].card['method'] == method])
      shown = [
          f'{key.rsplit(".", 1)[-1]}={run.values.get(key, "").strip(chr(39))}'
          for key in keys[:_MOST_KEYS]
      ]
      more = [f'and {len(keys) - _MOST_KEYS} more'] * (len(keys) > _MOST_KEYS)
      label = ' '.join([method, ', '.join([*shown, *more])]).strip()
    out.append(label if label not in out else f'{label} ({run.folder.name})')
  return out


if __name__ == '__main__':
  flags.DEFINE_string('out', '', 'A file for the table: .md, .csv or .tex.')
  cli.run(main)
