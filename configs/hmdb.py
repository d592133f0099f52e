"""EV-CLIP on HMDB51: 8 clips per class, split 1.

The recipe of the paper's code, `hmdb51_vifi/omniS_vit_b16`.

Run:      python -m evclip_jax.main --config=configs/hmdb.py \\
              --config.data.root=HMDB51
Data:     see data_pipelines/builders/hmdb51; the ViFi-CLIP lists by
          --config.data.train_list=train1_few_shot_8.txt
          --config.data.test_list=val1.txt.
Methods:  --config=configs/hmdb.py:zero_shot --mode=evaluate
Backbone: --config.clip.name=ViT-L/14 also sets the batch and the rates of
          `hmdb51_vifi/omniS_vit_l14`; --config.encoder.name=omnivore_swinT.
Expect:   no accuracy is published in the original repository, and none has been
          measured here on the full data set.
Differs:  the reported weights are those of the last step. The original picks
          them on the test list: --config.train.select=best_on_test.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  c = experiment.new(method)
  c.data.name = 'hmdb51'
  c.data.shots = 8
  experiment.use_recipe(c)

  c.clip.name = 'ViT-B/16'
  c.encoder.name = 'omnivore_swinS'
  return c
