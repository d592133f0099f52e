"""EV-CLIP on EGTEA Gaze+, head cameras: 8 clips per class, split 1.

The recipe of the paper's code, `egtea/omniS_vit_b16`.

Run:      python -m evclip_jax.main --config=configs/egtea.py \\
              --config.data.root=EGTEA
Data:     see docs/data/egtea.md. Of its 106 actions some have fewer
          training clips than 8: they keep what they have.
Methods:  --config=configs/egtea.py:zero_shot --mode=evaluate
Backbone: --config.encoder.name=omnivore_swinT draws windows at random as well.
Expect:   no accuracy is published, and none was measured here on all of it.
Differs:  the reported weights are those of the last step. The original picks
          them on the test list: --config.train.select=best_on_test.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  c = experiment.on_data('egtea', method, shots=8)
  c.data.few_shot_short = 'keep'
  if method == 'ev_clip':
    trunk, window = 'encoder.name', 'data.train_temporal'
    c.variants = (
        {'when': {trunk: 'omnivore_swinT'}, 'set': {window: 'random'}},
    )
  return c
