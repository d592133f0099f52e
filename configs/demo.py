"""The demo: nothing to download, five minutes on two cores.

Draws small videos of ten actions in three domains (bright, dark, head camera),
adapts the packaged tiny CLIP to them with 8 clips per action, a few of each
domain, and compares on videos of other scenes. `evclip_jax.lab.pretrain` has
trained the tiny networks on other actions of the same drawn world.

Run:      python -m evclip_jax.main --config=configs/demo.py
Expect:   see the README; report.html in the run folder shows masks.
Methods:  --config=configs/demo.py:ez_clip scores classes never trained on as
          well; :clip_fsar has one example of each of them, with names that say
          much and with names that say little; :coop, say, runs one alone.
Motion:   --config.data.name=demo_motion --config.data.root=runs/motion-films:
          classes that differ in pairs only in how fast something moves.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """A comparison for the three methods; one run for any other method."""
  c = experiment.new(method)
  c.batch_size = 16
  c.data.name = 'demo'
  c.data.root = 'runs/demo-films'
  c.data.shots = 8
  c.clip.name = 'tiny'
  c.encoder.name = 'tiny'
  # Few and small steps would not do: 40 of them, from a context scale of 0.001.
  c.optimizer.learning_rate = 2e-2
  c.optimizer.warmup_epochs = 1
  c.optimizer.warmup_learning_rate = 1e-3
  c.train.epochs = 10
  c.train.eval_every_epochs = 10
  c.train.checkpoint_every_epochs = 5
  # Whole batches of the 60 clips of a domain.
  c.eval.batch_size = 20
  if method == 'ev_clip':
    c.train.epochs = 8
    c.train.eval_every_epochs = 8
    c.train.checkpoint_every_epochs = 4
    c.compare = (
        _row('zero-shot', 'zero_shot'),
        _row('context only', 'ev_clip', prompt='context'),
        _row('mask only', 'ev_clip', prompt='mask'),
        _row('both', 'ev_clip', prompt='both'),
    )
  elif method == 'ez_clip':
    _ez_clip(c)
  elif method == 'clip_fsar':
    _clip_fsar(c)
  return c


def _ez_clip(c):
  """EZ-CLIP's optimizer with a rate for few steps, and a fitting prompt."""
  own = {
      # What the tiny CLIP was pre-trained with.
      'templates': ('A video of {}.',),
      'pixels': 'imagenet',
      'score_scale': 0.0,
      # Too few steps for it to help.
      'drop_path': 0.0,
      'attention_dropout': 0.0,
  }
  c.method.settings.update(own)
  c.data.others = _unseen()
  c.optimizer.learning_rate = 2e-3
  c.optimizer.weight_decay = 0.2
  c.optimizer.b2 = 0.98
  c.optimizer.schedule = 'warmup_cosine'
  alone = own | {'temporal': 'none', 'motion_weight': 0.0}
  c.compare = (
      _row('zero-shot', 'zero_shot'),
      _row('frames alone', 'ez_clip', **alone),
      _row('EZ-CLIP', 'ez_clip', **own),
  )


def _clip_fsar(c):
  """Episodes of the demo's classes to train on, of unseen ones to score.

  Those are called by their names, and by the colour that their object mostly
  has: names that say little.
  """
  own = {'template': 'A video of {}.', 'pixels': 'imagenet'}
  c.method.settings.update(own)
  c.data.preprocess = 'clip_fsar'
  c.data.shots = 0
  c.data.score_own = False
  named = _unseen()
  c.data.others = named | {
      name.replace('unseen', 'colour'): entry | {'class_names': 'colours.txt'}
      for name, entry in named.items()
  }
  c.episodes.query = 2
  c.episodes.per_step = 1
  c.episodes.train_episodes = 100
  c.episodes.eval_every_episodes = 100
  c.episodes.test_episodes = 1000
  c.optimizer.name = 'adam_l2'
  c.optimizer.learning_rate = 2e-5
  c.optimizer.weight_decay = 1e-3
  c.optimizer.schedule = 'relative_steps'
  c.optimizer.warmup_epochs = 0
  plain = own | {'backbone': 'frozen', 'batch_norm': 'frozen'}
  plain |= {'loss': 'few_shot', 'depth': 0, 'text_token': False}
  c.compare = (
      _row('mean prototype', 'clip_fsar', **plain, metric='mean'),
      _row('linear probe', 'clip_fsar', **plain, metric='linear'),
      _row('OTAM', 'clip_fsar', **plain),
      _row('text only', 'clip_fsar', **plain, evaluate='text'),
      _row('CLIP-FSAR', 'clip_fsar', **own),
  )


def _row(name, method, **settings):
  return {'name': name, 'method': method, 'settings': settings}


def _unseen():
  """Test lists of classes that nothing was trained on, one per domain."""
  place = {'name': 'demo_unseen', 'root': 'runs/demo-unseen-films'}
  return {
      f'unseen_{domain}': place | {'test_list': f'test_{domain}.txt'}
      for domain in ('bright', 'dark', 'head')
  }
