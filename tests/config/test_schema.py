"""The schema: overrides, refusals, what makes two runs the same."""

import pytest

from data_pipelines.errors import UserError
from evclip_jax.config import experiment, identity, schema
from evclip_jax.methods import base


def test_a_config_file_names_lists_of_its_own():
  config = experiment.new('zero_shot')
  other = {'name': 'ucf101_ds', 'root': 'UCF101-DS'}
  config.data.others.ds = other
  config.data.tests.dark = 'dark.txt'
  values = identity.to_dict(config)
  assert values['data']['others'] == {'ds': other}
  assert values['data']['tests'] == {'dark': 'dark.txt'}
  back = identity.from_dict(values)
  assert identity.to_dict(back) == values and back.is_locked
  with pytest.raises(AttributeError):
    config.data.nothing = 1
  with pytest.raises(AttributeError, match='Did you mean "epochs"'):
    config.train.epoch = 3


def test_files_may_move_and_be_watched_differently_in_the_same_run():
  a, b = schema.base(), schema.base()
  a.data.others.ucf = {'name': 'ucf101', 'root': '/a', 'splits': (1, 2)}
  b.data.others.ucf = {'name': 'ucf101', 'root': '/b', 'splits': (1, 2)}
  b.train.log_every_steps = 7
  b.eval.crops = 3
  assert identity.differences(*map(identity.to_dict, (a, b))) == []
  assert identity.digest(a) == identity.digest(b)
  b.optimizer.learning_rate = 1.0
  b.data.others.ucf.splits = (1,)
  assert identity.differences(*map(identity.to_dict, (a, b))) == [
      'data.others.ucf.splits', 'optimizer.learning_rate'
  ]


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('data.on_broken', 'ignore', 'use one of error, skip'),
        ('compute.dtype', 'float16', 'compute.dtype'),
        ('train.epochs', 0, 'train.epochs=0: use 1 or more'),
        ('data.most_missing', 20.0, 'use a number from 0 to 1'),
        ('data.shots', -1, 'data.shots'),
        ('optimizer.learning_rate', -1.0, 'learning_rate=-1.0: use 0 or more'),
        ('optimizer.learning_rate', float('nan'), 'use a finite number, 0 or'),
        ('optimizer.b1', 1.0, 'b1=1: use a number below 1'),
        ('optimizer.no_decay', ('a/.*', '('), 'is not a regular expression'),
        ('data.crop_pixels', 300, 'does not fit'),
        ('eval.crops', 2, 'use one of 1, 3'),
        ('protocol.seeds', (1, 'a'), 'each entry must be a whole number'),
        ('protocol.seeds', (True,), 'each entry must be a whole number'),
        ('train.rates', (1e-3, float('nan')), 'each entry must be a number'),
        ('compare', ('coop',), 'each entry must be a dict'),
    ],
)
def test_values_no_run_could_use(key, value, message):
  config = schema.base()
  config.update_from_flattened_dict({key: value})
  with pytest.raises(UserError, match=message):
    schema.check(config)


def test_stairs_that_do_not_go_together_are_refused():
  config = schema.base()
  config.optimizer.schedule = 'relative_steps'
  config.optimizer.stair_rates = (1.0, 0.1)
  with pytest.raises(UserError, match='as many of each'):
    schema.check(config)


L14, FRAMES = {'clip.name': 'ViT-L/14'}, {'data.num_frames': 16}
VARIANTS = (
    {'when': L14, 'set': {'batch_size': 16, 'optimizer.learning_rate': 1e-4}},
    {'when': L14 | FRAMES, 'set': {'batch_size': 4}},
)


@pytest.mark.parametrize(
    ('changes', 'given', 'batch_size', 'rate'),
    [
        (FRAMES, (), 64, 4e-4),
        (L14, (), 16, 1e-4),
        # Of two that apply, the later one wins where both say something.
        (L14 | FRAMES, (), 4, 1e-4),
        # A value of the command line stays.
        (L14 | {'batch_size': 24}, ('clip.name', 'batch_size'), 24, 1e-4),
        # Also one that says what the file says anyway.
        (L14, ('batch_size',), 64, 1e-4),
    ],
)
def test_a_variant_is_chosen_by_all_of_its_keys(
    changes, given, batch_size, rate
):
  config = schema.base()
  config.update_from_flattened_dict({'variants': VARIANTS} | changes)
  before = identity.to_dict(config.lock())
  chosen = experiment.choose_variant(config, given)
  assert chosen.batch_size == batch_size
  assert chosen.optimizer.learning_rate == rate
  # The config stays as it is.
  assert identity.to_dict(config) == before
  # Nothing is left to choose, so that a run's own config gives the same run.
  assert chosen.is_locked and chosen.variants == ()
  assert experiment.choose_variant(chosen) == chosen


def test_an_unknown_key_of_a_variant_is_an_error():
  config = schema.base()
  config.variants = ({'when': {}, 'set': {'optimizer.rate': 1.0}},)
  with pytest.raises((AttributeError, KeyError), match='rate'):
    experiment.choose_variant(config)


@pytest.mark.parametrize(
    ('method', 'changes', 'side'),
    [
        ('ev_clip', {'encoder.name': 'videoprism_base'}, 288),
        ('ev_clip', {'encoder.name': 'omnivore_swinS'}, 0),
        ('ev_clip', {'encoder.name': ''}, 0),
        ('ev_clip', {'data.trunk_pixels': 252}, 252),
        ('ev_clip', {'data.trunk_pixels': 224}, 0),
        ('zero_shot', {'encoder.name': 'videoprism_base'}, 0),
        ('attention_probe', {}, 0),
    ],
)
def test_the_trunk_beside_clip_gets_a_square_of_its_own(method, changes, side):
  config = experiment.on_data('ucf101', method)
  config.update_from_flattened_dict(changes)
  chosen = experiment.choose_variant(config)
  assert chosen.data.trunk_pixels == side
  chosen.data.preprocess = 'ez_clip'
  if side:
    with pytest.raises(UserError, match='no second square .* use ev_clip'):
      schema.check(chosen)


def rows(config, *specs):
  config.compare = specs
  return experiment.rows(config)


def test_a_row_of_a_comparison_may_have_settings_of_its_own():
  config = experiment.new('clip_fsar')
  own = rows(config, {'name': 'a', 'settings': {'backbone': 'frozen'}})['a']
  assert own.method.settings.backbone == 'frozen'
  assert config.method.settings.backbone == 'trained'


def test_a_row_of_another_method_has_its_own_recipe():
  config = experiment.new('ez_clip')
  experiment.use_recipe(config)
  config.data.shots = 3
  config.train.epochs = 7
  found = rows(
      config,
      {'name': 'a', 'method': 'ev_clip', 'config': {'batch_size': 5}},
      {'name': 'b', 'method': 'zero_shot'},
      {'name': 'c', 'method': 'ez_clip'},
  )
  recipe = base.load('ev_clip').RECIPE
  a = identity.flat(found['a'])
  wanted = {k: v for k, v in recipe.items() if k != 'variants'}
  assert {k: a[k] for k in wanted} == wanted | {'batch_size': 5}
  # The default, not what EZ-CLIP's authors use.
  assert a['optimizer.b2'] == 0.999
  # Which clips there are is the config's.
  assert a['data.shots'] == 3
  # What the config's method was given stays, and where there is no recipe.
  for own in (found['b'], found['c']):
    assert own.train.epochs == 7
    assert own.data.preprocess == 'ez_clip'


@pytest.mark.parametrize(
    ('method', 'changes', 'batch_size', 'rate'),
    [
        # Of EV-CLIP's recipe: `omniS_vit_b16`, `_16f` and `omniS_vit_l14`.
        ('ev_clip', {}, 64, 4e-4),
        ('ev_clip', L14, 16, 1e-4),
        ('ev_clip', FRAMES, 32, 2e-4),
        ('ev_clip', L14 | {'batch_size': 8}, 8, 1e-4),
        # Which has no variants.
        ('ez_clip', L14, 64, 1e-4),
    ],
)
@pytest.mark.parametrize('of', ['ev_clip', 'ez_clip', 'zero_shot'])
def test_a_row_picks_the_variant_of_its_own_config(
    of, method, changes, batch_size, rate
):
  config = experiment.on_data('ucf101', of)
  own = rows(config, {'name': 'a', 'method': method, 'config': changes})['a']
  assert own.batch_size == batch_size
  assert own.optimizer.learning_rate == rate
  assert own.variants == ()


def test_a_row_starts_from_a_clean_optimizer():
  config = experiment.on_data('ssv2', 'clip_fsar')
  config.data.flip, config.optimizer.clip_norm = False, 3.0
  own = rows(config, {'method': 'st_adapter'})['st_adapter']
  assert own.optimizer.clip_norm == 0
  assert own.optimizer.schedule == 'warmup_cosine'
  # How clips are shown is the data's.
  assert not own.data.flip


def test_rows_beside_episodes_are_scored_in_them():
  config = experiment.new('clip_fsar')
  found = rows(config, {'method': 'zero_shot'}, {'method': 'clip_fsar'})
  assert [own.episodes.score for own in found.values()] == [True, False]
  alone = rows(config, {'method': 'zero_shot'}, {'method': 'coop'})
  assert not any(own.episodes.score for own in alone.values())


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'name': 'a', 'setings': {}}, "'setings'. Did you mean 'settings'"),
        ({'name': 'a', 'method': 'ev_clp'}, "method.name='ev_clp'"),
        ({'settings': {}}, 'needs a name'),
        ({'name': 'a', 'settings': {'spine': 'x'}}, 'Did you mean'),
        ({'name': 'a', 'settings': {'promt': 'x'}}, "mean 'prompt'"),
        ({'name': 'a', 'config': {'train.epoch': 2}}, "mean 'train.epochs'"),
        ({'name': 'a', 'config': {'train.epochs': 0}}, 'use 1 or more'),
        ({'name': 'a', 'config': {'train.epochs': 'x'}}, 'compare: '),
    ],
)
def test_a_row_that_cannot_be_is_refused(spec, message):
  with pytest.raises(UserError, match=message):
    rows(experiment.new('ev_clip'), spec)


def test_each_key_has_a_meaning():
  assert all(key.meaning.endswith('.') for key in schema.KEYS.values())
