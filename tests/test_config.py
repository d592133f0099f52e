"""The schema: overrides, refusals, what makes two runs the same."""

import pytest

from evclip_jax import config as config_lib
from evclip_jax import schema
from evclip_jax.errors import UserError


def test_unknown_key_names_the_nearest():
  config = schema.base().lock()
  with pytest.raises(AttributeError, match='Did you mean "epochs"'):
    config.train.epoch = 3


def test_json_round_trip():
  config = schema.base()
  config.data.tests = {'dark': 'dark.txt'}
  back = config_lib.from_dict(config_lib.to_dict(config))
  assert config_lib.to_dict(back) == config_lib.to_dict(config)
  assert back.is_locked


def test_watching_differently_is_the_same_run():
  a = config_lib.to_dict(schema.base())
  b = schema.base()
  b.train.log_every_steps = 7
  b.eval.crops = 3
  assert config_lib.differences(a, config_lib.to_dict(b)) == []
  b.optimizer.learning_rate = 1.0
  assert config_lib.differences(a, config_lib.to_dict(b)) == [
      'optimizer.learning_rate'
  ]


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('data.on_broken', 'ignore', 'use one of error, skip'),
        ('compute.dtype', 'float16', 'compute.dtype'),
        ('train.epochs', 0, 'train.epochs=0: use 1 or more'),
        ('data.shots', -1, 'data.shots'),
        ('data.crop_pixels', 300, 'does not fit'),
        ('eval.crops', 2, 'use 1 or 3'),
    ],
)
def test_values_no_run_could_use(key, value, message):
  config = schema.base()
  with config.unlocked():
    config.update_from_flattened_dict({key: value})
  with pytest.raises(UserError, match=message):
    config_lib.check(config)
