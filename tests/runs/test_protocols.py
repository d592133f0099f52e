"""Protocols: which runs they stand for, and what they make of the cards."""

import json
import pathlib

import pytest

from configs import folder as folder_config
from data_pipelines.errors import UserError
from evclip_jax.config import identity, schema
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs import protocols, results
from evclip_jax.runs import run as runs
from tests import clips
from tests.runs import tiny_run
from tests.runs.tiny_run import card


def config(**changes):
  c = folder_config.get_config('ev_clip')
  c.update_from_flattened_dict(changes)
  schema.check(c)
  return c


def one(part):
  shots = part.data.shots, part.episodes.test_shot
  return *shots, part.seed, part.split, part.data.train_list


NOVEL = {'data.novel_classes': 'half', 'data.train_list': 'base_s{seed}.txt'}


@pytest.mark.parametrize(
    ('name', 'changes', 'expected'),
    [
        ('few_shot', {'protocol.shots': (2, 0), 'data.train_list': 't_{shots}'},
         {'shots-2': (2, 0, 1, 1, 't_2'), 'shots-all': (0, 0, 1, 1, 't_0')}),
        ('few_shot', {'protocol.shots': (2, 4), 'protocol.seeds': (1, 7)},
         {f'shots-{k}-seed-{seed}': (k, 0, seed, 1, '')
          for k in (2, 4) for seed in (1, 7)}),
        ('base_to_novel', NOVEL | {'protocol.seeds': (4, 5)},
         {f'seed-{k}': (0, 0, k, 1, f'base_s{k}.txt') for k in (4, 5)}),
        ('seeds', {}, {f'seed-{k}': (0, 0, k, 1, '') for k in (1, 2, 3)}),
        ('episodes', {'protocol.shots': (1, 5), 'episodes.score': True},
         {f'shots-{k}': (0, k, 1, 1, '') for k in (1, 5)}),
        ('supervised', {'split': 3}, {'split-3': (0, 0, 1, 3, '')}),
        ('supervised', {'protocol.splits': (1, 2)},
         {f'split-{k}': (0, 0, 1, k, '') for k in (1, 2)}),
    ],
)  # fmt: skip
def test_the_runs_that_a_protocol_stands_for(name, changes, expected):
  c = config(**{'protocol.name': name} | changes)
  before = identity.to_dict(c)
  parts = protocols.expand(c)
  assert {part: one(own) for part, own in parts.items()} == expected
  assert {own.protocol.name for own in parts.values()} == {''}
  assert all(own.is_locked for own in parts.values())
  assert identity.to_dict(c) == before


def test_named_test_lists_have_the_numbers_of_a_run():
  c = config(**{'protocol.name': 'few_shot', 'protocol.shots': (2,)})
  c.data.tests.dark = 'dark_{shots}_{seed}_{split}.csv'
  (part,) = protocols.expand(c).values()
  assert part.data.tests.dark == 'dark_2_1_1.csv'


@pytest.mark.parametrize(
    ('name', 'changes', 'message'),
    [
        ('nothing', {}, "protocol.name='nothing': use one of few_shot"),
        ('zero_shot', {}, 'set data.others'),
        ('base_to_novel', {}, 'set data.novel_classes'),
        ('episodes', {}, 'needs a method that learns from episodes'),
        ('supervised', {'data.shots': 4}, 'data.shots=4: use 0'),
        ('few_shot', {'protocol.shots': ()}, r'protocol.shots=\(\)'),
        ('few_shot', {'protocol.shots': (2, 2)}, 'different numbers'),
        ('few_shot', {'protocol.splits': (1,)}, 'splits=.* has no effect'),
        ('supervised', {'protocol.shots': (1,)}, 'shots=.* has no effect'),
        ('seeds', {'seed': 7}, 'seed=7 has no effect'),
        ('', {'protocol.splits': (1,)}, 'no effect without protocol.name'),
    ],
)
def test_what_a_protocol_lacks_is_said_before_any_work(
    name, changes, message, tmp_path
):
  c = config(**{'protocol.name': name} | changes)
  with pytest.raises(UserError, match=message):
    runs.run(c, str(tmp_path / 'run'), 'train')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('name', 'cards', 'expected'),
    [
        # The harmonic mean per seed: of the first two means it would be 45.
        ('base_to_novel',
         [card({'base': 60, 'novel': 30}), card({'base': 30, 'novel': 60}),
          card({'base': 0, 'novel': 0})],
         {'base': [60, 30, 0], 'novel': [30, 60, 0],
          'harmonic mean': [40, 40, 0]}),
        # Halves of several lists count alike, those of other data sets do not.
        ('base_to_novel',
         [card({'val': 1, 'bright_base': 50, 'bright_novel': 30,
                'dark_base': 70, 'dark_novel': 50, 'far_novel': 9},
               {'far_novel': {'data_set': 'hmdb51', 'split': 1}})],
         {'base': [60], 'novel': [40], 'harmonic mean': [48]}),
        # The splits of a data set.
        ('zero_shot',
         [card({'val': 9, 'test': 8, 'ds_split1': 1, 'ds_split2': 2, 'k': 5},
               {n: {'data_set': n} for n in ('ds_split1', 'ds_split2', 'k')})],
         {'test': [8], 'ds': [1, 2], 'k': [5]}),
        # A column for each K.
        ('episodes',
         [card({'test': k}, {'test': {'episodes': {'way': 5, 'shot': k}}})
          for k in (1, 2)],
         {'5-way 1-shot': [1], '5-way 2-shot': [2]}),
        ('few_shot', [card({'test': 1}, shots=2), card({'test': 3, 'dark': 4})],
         {'K=2': [1], 'K=all': [3], 'K=all dark': [4]}),
    ],
)  # fmt: skip
def test_what_is_averaged_over_runs(name, cards, expected):
  runs = {'a': {str(i): results.Run(c, None) for i, c in enumerate(cards)}}
  found = results.summarise_runs(runs, protocols.PROTOCOLS[name].quantities, 0)
  got = {x['quantity']: x['values'] for x in found['results']}
  assert got == {key: pytest.approx(x) for key, x in expected.items()}


def test_protocol_json_says_what_made_each_number():
  c = config(**{'protocol.name': 'few_shot'})
  cards = {'shots-2': card({'val': 5, 'test': 1}, shots=2, seed=7)}
  runs = protocols.runs_by_row(c, cards, pathlib.Path('nowhere'))
  out = protocols.summary(c, runs)
  json.dumps(out)
  number = out['numbers'][1]
  assert number == {
      'variant': 'ev_clip', 'part': 'shots-2', 'list': 'test', 'top1': 1,
      'clips': 9, 'data_set': 'mine', 'from': 'test.txt',
      'sha256': 'hash of test', 'classes': 2, 'split': 1, 'seed': 7,
      'shots': 2, 'train_sha256': 'hash of train',
      'view': '4 clips x 3 crops', 'views': {'clips': 4, 'crops': 3},
      'selected_by': 'last', 'step': 40, 'config_hash': 'abc',
  }  # fmt: skip


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
  return clips.write_folder(
      tmp_path_factory.mktemp('clips'), classes=4, clips=5
  )


CHANGES = {
    'data.shots': 2,
    'train.epochs': 1,
    'train.eval_every_epochs': 1,
    'train.checkpoint_every_epochs': 1,
    'protocol.name': 'base_to_novel',
    'protocol.seeds': (1, 2),
    'data.novel_classes': 'half',
}


def tiny(root, method, **changes):
  return tiny_run.config(method, root, CHANGES, changes)


def test_base_to_novel_from_films_to_one_table(data_root, tmp_path, capsys):
  c = tiny(data_root, 'ev_clip', **{'method.settings.prompt': 'context'})
  out = runs.run(c, str(tmp_path / 'run'), 'train')
  folder = pathlib.Path(tmp_path / 'run')
  assert json.loads((folder / 'protocol.json').read_text()) == out
  assert 'harmonic mean' in capsys.readouterr().out
  quantities = {r['quantity']: r for r in out['results']}
  assert list(quantities) == ['base', 'novel', 'harmonic mean']
  assert len(quantities['novel']['values']) == 2
  for number in out['numbers']:
    file = folder / number['part'] / 'lists' / f'{number["list"]}.txt'
    assert number['sha256'] in file.read_text()
    assert number['classes'] == 2
    assert number['step'] == 1
  one, two = (run_folder.load_card(str(folder / f'seed-{s}')) for s in (1, 2))
  assert one['data']['lists']['train'] != two['data']['lists']['train']
  assert one['data']['lists']['novel'] == two['data']['lists']['novel']
  names = (folder / 'seed-1' / 'lists' / 'novel-classes.txt').read_text()
  assert names == 'class 2\nclass 3\n'


def test_what_a_later_part_lacks_is_said_before_any_runs(data_root, tmp_path):
  changes = {'protocol.name': 'few_shot', 'protocol.shots': (1, 9)}
  c = tiny(data_root, 'ev_clip', **changes, **{'data.novel_classes': ''})
  with pytest.raises(UserError, match='fewer than data.shots=9'):
    runs.run(c, str(tmp_path / 'run'), 'train')
  assert not (tmp_path / 'run').exists()


def test_zero_shot_of_a_method_without_training(data_root, tmp_path):
  other = {'name': 'folder', 'root': str(data_root)}
  changes = {'protocol.name': 'zero_shot', 'data.novel_classes': ''}
  c = tiny(data_root, 'zero_shot', **changes)
  c.data.others.bare = other
  # A method with nothing to train may score its own training clips.
  out = runs.run(c, str(tmp_path / 'run'), 'train')
  quantities = {r['quantity']: r for r in out['results']}
  assert list(quantities) == ['test', 'bare']
  assert out['numbers'][1]['clips'] == 20
  assert {n['selected_by'] for n in out['numbers']} == {'given'}
