"""EV-CLIP on the verbs of EPIC-Kitchens-100: 8 clips per verb.

The paper's code has no recipe for this data set. This is that of its other sets
at 64 clips per batch (UCF-101, HMDB51, EGTEA).

Run:      python -m evclip_jax.main --config=configs/ek100.py \\
              --config.data.root=EPIC-KITCHENS
Data:     see docs/data/epic_kitchens100.md; nouns or actions by
          --config.data.label_kind=noun. Verbs with fewer clips keep them all.
Methods:  --config=configs/ek100.py:zero_shot --mode=evaluate
Backbone: --config.clip.name=ViT-L/14 also sets the batch and the rates.
Expect:   no accuracy is published, and none was measured here on all of it.
Differs:  classes are called by the official keys; the original's shipped
          selections name them by the free words of one annotation.
"""

from evclip_jax.config import experiment


def get_config(method='ev_clip'):
  """EV-CLIP's recipe, or that of another method where it has one."""
  c = experiment.on_data('epic_kitchens100', method, shots=8)
  c.data.few_shot_short = 'keep'
  return c
