"""EZ-CLIP on UCF-101 with 2, 4, 8 and 16 clips per class.

One run per number of clips. Rate, length and dropout are those of
few_shot/ucf_fs.yaml in the original's code.

Run:      python -m evclip_jax.main --config=configs/ez_few_shot.py \\
              --config.data.root=UCF101
Lists:    the published ones by
          --config.data.train_list='my_ucf_few_shot_{shots}.txt'
          --config.data.test_list=test.txt; other clips are drawn by the seed.
Texts:    16 templates; the original's descriptions by
          --config.method.settings.descriptions=UCF.csv
Others:   HMDB-51 --config.data.name=hmdb51 --config.batch_size=10
          --config.train.epochs=180 --config.method.settings.drop_path=0.1
          --config.method.settings.attention_dropout=0.1; its shipped file
          has no prompts: --config.method.settings.temporal=none
          Something-Something: --config=configs/ssv2.py:ez_clip, or here
          --config.data.name=ssv2 --config.data.flip=False (left is not right)
Expect:   published for 16 clips: UCF-101 92.8, HMDB-51 67.7; not measured here.
Differs:  the shipped file is for ViT-L/14 and batches of 4
          (--config.clip.name=ViT-L/14 --config.batch_size=4) and validates on
          training clips; the weights of the last step count.
"""

from evclip_jax.config import experiment


def get_config(method='ez_clip'):
  """EZ-CLIP's recipe, with the settings of any method."""
  c = experiment.new(method)
  experiment.use_recipe(c, 'ez_clip')
  c.protocol.name = 'few_shot'
  c.protocol.shots = (2, 4, 8, 16)
  c.batch_size = 32
  c.train.eval_every_epochs = 10
  if method == 'ez_clip':
    c.method.settings.drop_path = 0.0
    c.method.settings.attention_dropout = 0.0
  return c
