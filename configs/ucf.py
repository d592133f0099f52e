"""EV-CLIP on UCF-101: 8 clips per class, official classes, split 1.

The recipe of the paper's code, `ucf101_video_vifi/omniS_vit_b16`: CLIP ViT-B/16
and Omnivore-S frozen, 6,055,086 weights trained for 500 epochs of 12 steps.

Run:      python -m evclip_jax.main --config=configs/ucf.py \\
              --config.data.root=UCF101
Data:     UCF101/UCF-101/<Class>/<clip>.avi beside UCF101/ucfTrainTestlist;
          the ViFi-CLIP lists by --config.data.train_list=train1_few_shot_8.txt
          --config.data.test_list=val1.txt. See docs/data/ucf101.md.
Methods:  --config=configs/ucf.py:zero_shot --mode=evaluate
          --config=configs/ucf.py:ez_clip, with EZ-CLIP's recipe, and others;
          --config.method.settings.descriptions=FILE.csv for texts
Backbone: --config.clip.name=ViT-L/14 or --config.data.num_frames=16 also set
          the batch and the rates of `omniS_vit_l14`, `omniS_vit_b16_16f`.
Weights:  python -m evclip_jax.download ViT-B/16 omnivore_swinS; to try without,
          --config.clip.weights=random:0 --config.encoder.weights=random:0
Expect:   no accuracy is published, and none was measured here on all of it.
Differs:  the reported weights are those of the last step. The original picks
          them on the test list: --config.train.select=best_on_test.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  return experiment.on_data('ucf101', method, shots=8)
