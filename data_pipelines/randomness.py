"""The one place where random numbers come from.

Every random choice is a function of (seed, stream name, counters). Nothing is
saved and nothing is skipped: step 40,000 is as cheap to reach as step 0.
"""

import zlib

import numpy as np


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
  """A fresh numpy generator for one named purpose.

  Args:
    seed: the run's seed, any integer.
    stream: what the numbers are for, such as 'crop'. Streams are independent.
    *counters: what they are for within the stream, such as epoch and clip.

  Returns:
    A generator that depends on nothing but the arguments.
  """
  return np.random.Generator(
      np.random.PCG64(np.random.SeedSequence(_entropy(seed, stream, counters)))
  )


def fold(seed: int, stream: str, *counters: int) -> int:
  """A 31-bit integer seed for one named purpose, as for `jax.random.key`."""
  sequence = np.random.SeedSequence(_entropy(seed, stream, counters))
  return int(sequence.generate_state(1)[0]) & 0x7FFFFFFF


def _entropy(seed: int, stream: str, counters: tuple[int, ...]) -> list[int]:
  # SeedSequence wants non-negative integers; a negative seed is still a seed.
  numbers = (seed, zlib.crc32(stream.encode()), *counters)
  return [int(n) & 0xFFFFFFFFFFFFFFFF for n in numbers]
