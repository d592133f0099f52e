"""EV-CLIP on Something-Something V2: 8 clips per class.

The paper's code ships selections for this data set but no recipe. This is that
of its other sets at 64 clips per batch (UCF-101, HMDB51, EGTEA).

Run:      python -m evclip_jax.main --config=configs/ssv2.py \\
              --config.data.root=SSv2
Data:     see docs/data/ssv2.md; the ViFi-CLIP lists by
          --config.data.train_list=train1_few_shot_8.txt
          --config.data.test_list=validation.txt.
Methods:  --config=configs/ssv2.py:zero_shot --mode=evaluate
Backbone: --config.clip.name=ViT-L/14 also sets the batch and the rates.
Expect:   no accuracy is published, and none was measured here on all of it.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  c = experiment.on_data('ssv2', method, shots=8)
  c.data.flip = False
  return c
