"""EV-CLIP on HMDB51: 8 clips per class, split 1.

The recipe of the paper's code, `hmdb51_vifi/omniS_vit_b16`.

Run:      python -m evclip_jax.main --config=configs/hmdb.py \\
              --config.data.root=HMDB51
Data:     see docs/data/hmdb51.md; the ViFi-CLIP lists by
          --config.data.train_list=train1_few_shot_8.txt
          --config.data.test_list=val1.txt.
Methods:  --config=configs/hmdb.py:zero_shot --mode=evaluate
Backbone: --config.clip.name=ViT-L/14, also with the original's batch and rates;
          --config.encoder.name=omnivore_swinT.
Expect:   no accuracy is published, and none was measured here on all of it.
Differs:  the reported weights are those of the last step. The original picks
          them on the test list: --config.train.select=best_on_test.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  return experiment.on_data('hmdb51', method, shots=8)
