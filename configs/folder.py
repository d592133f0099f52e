"""A few of your own clips per action: one folder per class, nothing to build.

  clips/
    drinking/      a1.mp4  a2.mp4  ...
    opening_door/  b1.mp4  ...

A folder's name is its class's name, which CLIP reads: 'opening_door' becomes
"A video of opening door.". Any file that PyAV decodes will do, upright or wide:
frames keep their aspect (shorter side 256 pixels, then a square of 224, which
in scoring is the middle one). One clip in five of each class is held out to
test on, by a fixed rule, unless clips/train and clips/test hold the class
folders or data.test_list names paths and labels.

Run:      python -m evclip_jax.main --config=configs/folder.py \\
              --config.data.root=clips
Then:     python -m evclip_jax.predict --workdir=runs/folder-ev_clip-s1 NEW.mp4
Few, many: --config.data.shots=4 trains on 4 clips per class, 0 on all of them.
Expect:   it depends on the clips; the run prints its own figures.
Differs from configs/ucf.py: all clips, batches of 8, 50 epochs at the rate that
          the paper's code uses per clip in a batch, windows drawn at random.
          The paper's code squeezes frames to 340 x 256: data.resize=squeeze.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """A gentle recipe for few clips, with the settings of any method."""
  c = experiment.on_data('folder', method)
  # Few clips: another window of each at every pass.
  c.data.train_temporal = 'random'
  c.data.resize = 'short_side'
  c.batch_size = 8
  if method == 'ev_clip':
    # 6.25e-6 per clip in a batch, warm-up at a twentieth, as in the original.
    c.optimizer.learning_rate = 5e-5
    c.optimizer.warmup_learning_rate = 2.5e-6
    c.train.epochs = 50
    c.variants = ()
  return c
