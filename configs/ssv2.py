"""EV-CLIP on Something-Something V2: 8 clips per class.

The paper's code ships selections for this data set but no recipe. This is that
of its other sets at 64 clips per batch (UCF-101, HMDB51, EGTEA).

Run:      python -m evclip_jax.main --config=configs/ssv2.py \\
              --config.data.root=SSv2
Data:     see data_pipelines/builders/ssv2; the ViFi-CLIP lists by
          --config.data.train_list=train1_few_shot_8.txt
          --config.data.test_list=validation.txt.
Methods:  --config=configs/ssv2.py:zero_shot --mode=evaluate
Backbone: --config.clip.name=ViT-L/14 also sets the batch and the rates.
Expect:   no accuracy is published in the original repository, and none has been
          measured here on the full data set.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  c = experiment.new(method)
  c.batch_size = 64

  c.data.name = 'ssv2'
  c.data.shots = 8
  c.data.num_frames = 8
  c.data.window_frames = 32
  c.data.train_temporal = 'center'

  c.clip.name = 'ViT-B/16'
  c.encoder.name = 'omnivore_swinS'

  c.optimizer.learning_rate = 4e-4
  c.optimizer.weight_decay = 0.05
  c.optimizer.warmup_epochs = 1
  c.optimizer.warmup_learning_rate = 2e-5

  c.train.epochs = 500
  c.train.eval_every_epochs = 5

  if method == 'ev_clip':
    c.variants = (
        {
            'when': {'clip.name': 'ViT-L/14'},
            'set': {
                'batch_size': 16,
                'optimizer.learning_rate': 1e-4,
                'optimizer.warmup_learning_rate': 5e-6,
            },
        },
    )

  experiment.use_recipe(c)
  # Classes here differ in left and right; EZ-CLIP would mirror half the clips.
  c.data.flip = False
  return c
