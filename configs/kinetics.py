"""EV-CLIP on Kinetics-400, all clips: weights to start other data sets from.

The recipe of the paper's code, `kinetics400/omniS_vit_b16`.

Run:      python -m evclip_jax.main --config=configs/kinetics.py \\
              --config.data.root=k400 --config.data.on_missing=skip
Data:     see docs/data/kinetics.md.
Methods:  --config=configs/kinetics.py:zero_shot --mode=evaluate
Then:     --config.method.weights=k400.safetensors for other data sets, after
          python -m evclip_jax.export --workdir=runs/kinetics-ev_clip-s1 \\
              --out=k400.safetensors
Expect:   no accuracy is published, and none was measured here on all of it.
Differs:  the weights of the last step count; the original selects on the
          validation list and reports its own test list.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  c = experiment.on_data('kinetics', method)
  # CoOp's, too, is what EV-CLIP's repository trains it with.
  if method in ('ev_clip', 'coop'):
    c.data.train_temporal = 'random'
    c.batch_size = 256
    c.optimizer.learning_rate = 8e-6
    c.optimizer.weight_decay = 0.2
    c.optimizer.warmup_epochs = 5
    c.optimizer.warmup_learning_rate = 5e-6
    c.train.epochs = 50
    c.variants = ()
  return c
