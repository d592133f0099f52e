"""Eight methods side by side: each by its own recipe, three seeds, one table.

Zero-shot CLIP, CoOp, IVLP, ViFi-CLIP, ST-Adapter, AIM, EZ-CLIP and EV-CLIP are
trained on the same clips and scored on the same lists; the table has intervals,
differences to zero-shot with theirs, and what each method costs.

Run:      python -m evclip_jax.main --config=configs/compare.py
          the demo's drawn world, nothing to download, 8 clips per class
Or:       --config=configs/compare.py:ucf --config.data.root=UCF101, likewise
          :hmdb, :arid, :egtea, :ek100, :kinetics, :ssv2; any other word is a
          method, which then runs alone on the demo's world.
Seeds:    --config.protocol.seeds="(1,)" for one.
Rates:    on real data the authors'. Those of the demo, whose networks are tiny,
          are below; by one rule for all that sees no test clip, with 4 held-out
          clips per class, they are chosen anew with
          --config.train.rates="(2e-4,2e-3,2e-2)" --config.data.val_shots=4.
          All methods get 50 steps of 16 clips there, 8 frames each.
Expect:   report.html and protocol.csv in the run folder; see docs/demo.md.
"""

from evclip_jax.config import experiment

_DATA = {
    'ucf': 'ucf101',
    'hmdb': 'hmdb51',
    'arid': 'arid',
    'egtea': 'egtea',
    'ek100': 'epic_kitchens100',
    'kinetics': 'kinetics',
    'ssv2': 'ssv2',
}
# The texts and colours that the tiny CLIP of the demo knows.
_TEXT = {'template': 'A video of {}.', 'pixels': 'imagenet'}
_EZ_TEXT = {'templates': ('A video of {}.',), 'pixels': 'imagenet'}
_NO_DROPS = {'score_scale': 0.0, 'drop_path': 0.0, 'attention_dropout': 0.0}
# Of each method its name, and for the demo's tiny networks a rate and settings:
# bottlenecks of their size, and nothing that only long trainings need.
_METHODS = {
    'zero_shot': ('zero-shot', 2e-3, {}),
    'coop': ('CoOp', 2e-2, {'words': 4}),
    'ivlp': ('IVLP', 2e-4, {'words': 4, 'mixing': False}),
    'vifi_clip': ('ViFi-CLIP', 2e-4, {**_TEXT, 'mixing': False}),
    'st_adapter': ('ST-Adapter', 2e-3, {**_TEXT, 'head': 'text', 'width': 32}),
    'aim': ('AIM', 2e-4, {**_TEXT, 'head': 'text', 'drop_path': 0.0}),
    'ez_clip': ('EZ-CLIP', 2e-3, {**_EZ_TEXT, **_NO_DROPS}),
    'ev_clip': ('EV-CLIP', 2e-2, {}),
}


def get_config(which='demo'):
  """The comparison on some data, or one method on the demo's world."""
  if which in _DATA:
    c = experiment.on_data(_DATA[which], 'ev_clip', shots=8)
    c.data.few_shot_short = 'keep'
    # Of Something-Something, where left is not right.
    c.data.flip = which != 'ssv2'
    rows = [{'name': x[0], 'method': m} for m, x in _METHODS.items()]
  else:
    c = experiment.new('ev_clip' if which == 'demo' else which)
    c.data.name, c.data.root, c.data.shots = 'demo', 'runs/demo-films', 8
    c.clip.name = c.encoder.name = 'tiny'
    rows = [_demo_row(method) for method in _METHODS]
    if which != 'demo':
      row = _demo_row(which)
      c.update_from_flattened_dict(row['config'])
      c.method.settings.update(row['settings'])
      return c
  c.protocol.seeds = (1, 2, 3)
  c.train.select = 'last'
  c.compare = tuple(rows)
  return c


def _demo_row(method):
  """The same number of steps for all."""
  name, rate, settings = _METHODS.get(method, (method, 2e-3, {}))
  config = {
      'batch_size': 16,
      'data.num_frames': 8,
      'optimizer.learning_rate': rate,
      'optimizer.warmup_learning_rate': rate / 20,
      'optimizer.warmup_epochs': 1,
      'train.epochs': 10,
      'train.eval_every_epochs': 10,
  }
  row = {'name': name, 'method': method}
  return row | {'settings': settings, 'config': config}
