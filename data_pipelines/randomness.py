"""Makes all random numbers of a run.

Every random choice is a function of (seed, stream name, counters). No generator
state is saved or fast-forwarded: step 40,000 is as cheap to reach as step 0.

stream                   counters          decides
'order'                  epoch             the order of the training clips
'clip'                   epoch or view,    frames, then crop and flip, of a
                         clip              training clip (`views/`; view N:
                                           train.bank_views)
'view'                   clip, window      frames of a scored clip (CLIP-FSAR)
'episode of <list>'      episode           classes and clips of an episode
'episode clip'           likewise          frames, crop, flip of its clips
'instead'                clip              which clip of its class replaces one
                                           that cannot be read
'bootstrap'              -                 clips drawn for an interval
'init'                   -                 a method's own parameters (JAX key)
'step/dropout'           step              dropped features (JAX key)
'step/drop_path'         step              dropped blocks (JAX key)
'step/pixels'            step              colours, mixed clips (JAX key)
'corrupt/<kind>'         -                 noise and places, by a clip's pixels
'bootstrap', ...         -                 the shift: resamples, splits, orders
'random weights/<leaf>'  -                 clip.weights=random:SEED
'scene ...'              number            what happens in a clip of the demo
'wall', 'action', ...    -                 parts of such a scene, by its seed
'album order', 'caption' epoch or step     the lab: batches and their captions
'<album>', '... start'   -                 the lab: which scenes are drawn

The seed is the run's `seed`, that of `random:SEED`, or in the demo and the lab
one of their own. Two choices are not made here: EV-CLIP's few-shot draw, whose
results are published (`lists/few_shot.py`: Python's `random`, seeded with
`seed`), and a folder's split into training and test, a fixed rule without
random numbers (`datasets/folder.py`). Nor are those that affect no result:
clips of noise for benchmarks and trials, the frames on which a decoder is
tested, the initial weights of the lab's networks.
"""

import zlib

import numpy as np


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
  """Makes a fresh numpy generator that depends on its arguments alone.

  `seed` is any integer; `stream` a name of the table above, each independent of
  the others; `counters` are such as epoch and clip.
  """
  return np.random.Generator(
      np.random.PCG64(np.random.SeedSequence(_entropy(seed, stream, counters)))
  )


def fold(seed: int, stream: str, *counters: int) -> int:
  """Makes a 31-bit seed for one named purpose, as for `jax.random.key`."""
  sequence = np.random.SeedSequence(_entropy(seed, stream, counters))
  return int(sequence.generate_state(1)[0]) & 0x7FFFFFFF


def _entropy(seed: int, stream: str, counters: tuple[int, ...]) -> list[int]:
  # SeedSequence wants non-negative integers; seeds may be negative.
  numbers = (seed, zlib.crc32(stream.encode()), *counters)
  return [int(n) & 0xFFFFFFFFFFFFFFFF for n in numbers]
