"""EV-CLIP on EGTEA Gaze+, head cameras: 8 clips per class, split 1.

The recipe of the paper's code, `egtea/omniS_vit_b16`.

Run:      python -m evclip_jax.main --config=configs/egtea.py \\
              --config.data.root=EGTEA
Data:     see data_pipelines/builders/egtea. Of its 106 actions some have fewer
          training clips than 8: they keep what they have.
Methods:  --config=configs/egtea.py:zero_shot --mode=evaluate
Backbone: --config.encoder.name=omnivore_swinT also draws windows at random in
          training, as `egtea/omniT_vit_b16` does.
Expect:   no accuracy is published in the original repository, and none has been
          measured here on the full data set.
Differs:  the reported weights are those of the last step. The original picks
          them on the test list: --config.train.select=best_on_test.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  c = experiment.new(method)
  c.data.name = 'egtea'
  c.data.shots = 8
  experiment.use_recipe(c)
  c.data.few_shot_short = 'keep'

  if method == 'ev_clip':
    c.variants = (
        {
            'when': {'encoder.name': 'omnivore_swinT'},
            'set': {'data.train_temporal': 'random'},
        },
    )

  c.clip.name = 'ViT-B/16'
  c.encoder.name = 'omnivore_swinS'
  return c
