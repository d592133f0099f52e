"""EV-CLIP on ARID v1.5, actions in the dark: 8 clips per class, split 0.

The recipe of the paper's code, `arid/omniS_vit_b16`, with the batch of 28 that
its other files have (and it had until a commit that set 2).

Run:      python -m evclip_jax.main --config=configs/arid.py \\
              --config.data.root=ARID_v1_5_211015
Data:     see docs/data/arid.md.
Methods:  --config=configs/arid.py:zero_shot --mode=evaluate
Backbone: any, by --config.clip.name and --config.encoder.name, by one recipe.
Expect:   no accuracy is published, and none was measured here on all of it.
Differs:  selection on the "others" list, which the original reports as well;
          here the test list is reported.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  c = experiment.on_data('arid', method, shots=8)
  # CoOp's, too, is what EV-CLIP's repository trains it with.
  if method in ('ev_clip', 'coop'):
    c.data.train_temporal = 'random'
    c.batch_size = 28
    c.optimizer.learning_rate = 2e-4
    c.optimizer.warmup_learning_rate = 1e-5
    c.train.epochs = 400
    c.variants = ()
  return c
