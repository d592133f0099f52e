"""The demo: nothing to download, five minutes on two cores.

Draws small films of ten actions in three domains (bright, dark, head camera),
adapts the packaged tiny CLIP to them with 8 clips per action, a few of each
domain, and compares on films of other scenes. The tiny networks were
pre-trained by `python -m evclip_jax.lab.pretrain` on other actions of the same
drawn world.

Run:      python -m evclip_jax.main --config=configs/demo.py
Expect:   see the README; report.html in the run folder shows masks.
Methods:  --config=configs/demo.py:zero_shot runs one method alone.
"""

from evclip_jax import experiment


def get_config(method='ev_clip'):
  """The comparison for EV-CLIP; one run for any other method."""
  c = experiment.new(method)
  c.batch_size = 16

  c.data.name = 'demo'
  c.data.root = 'runs/demo-films'
  c.data.shots = 8

  c.clip.name = 'tiny'
  c.encoder.name = 'tiny'

  # Few and small steps would not do: 50 of them, from a context scale of 0.001.
  c.optimizer.learning_rate = 2e-2
  c.optimizer.warmup_epochs = 1
  c.optimizer.warmup_learning_rate = 1e-3

  c.train.epochs = 10
  c.train.eval_every_epochs = 10
  c.train.checkpoint_every_epochs = 5

  if method == 'ev_clip':
    c.compare = (
        {'name': 'zero-shot', 'method': 'zero_shot', 'settings': {}},
        _prompt('context only', 'context'),
        _prompt('mask only', 'mask'),
        _prompt('both', 'both'),
    )
  return c


def _prompt(name, prompt):
  return {'name': name, 'method': 'ev_clip', 'settings': {'prompt': prompt}}
