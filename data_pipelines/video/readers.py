"""Clips read by processes beside the trainer's.

In threads they would wait for each other: with every frame that it passes, a
decoder gives Python's lock away and wants it back. And the trainer, which needs
the lock to keep the device at work, would wait with them. Also, a file that
crashes a decoder costs a message.

`python -m data_pipelines.video.readers` is such a process. It imports neither
JAX nor TensorFlow and knows nothing but the clip it is asked for.
"""

import os
import pickle
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from data_pipelines.loaders.clip_frames import Reading
from data_pipelines.video import child, kept_memory, messages
from data_pipelines.video.read import VideoError

# Beyond these, disks and the trainer are what limits; each takes memory.
_MOST = 16

_children = child.Children('data_pipelines.video.readers', answer_bytes=1 << 20)
# Seconds of processor time, by process.
_used: dict[int, float] = {}


def number(workers: int) -> int:
  """How many clips are read at once: data.workers, or one per core up to 16."""
  if workers:
    return workers
  # The cores that this process may use, where the system tells.
  if hasattr(os, 'sched_getaffinity'):
    return min(len(os.sched_getaffinity(0)), _MOST)
  return min(os.cpu_count() or 1, _MOST)


def reader(workers: int) -> Callable[[Reading], np.ndarray]:
  """What reads clips for so many threads: each has a process of its own.

  Args:
    workers: threads; a single one reads in this process.

  Returns:
    A function from what is to be read to uint8 [T, P, P, 3]; it raises
    VideoError as `Reading.read` does, and for files that crash a decoder. The
    processes are started when they are needed and kept for the next loader.
  """
  return Reading.read if workers == 1 else _read


def cpu_seconds() -> float:
  """Processor time that the processes have used for what they have answered."""
  return sum(_used.values())


def _read(reading: Reading) -> np.ndarray:
  try:
    # No time limit: the file was examined under one, and a trainer may be
    # suspended.
    answer, contents = _children.ask({}, pickle.dumps(reading))
  except child.Died as e:
    raise VideoError(
        f'cannot read the video {reading.probe.name}: {e}.'
    ) from e
  if 'error' in answer:
    raise VideoError(answer['error'])
  if 'fault' in answer:
    raise RuntimeError(
        f'reading {reading.probe.name} failed:\n{answer["fault"]}'
    )
  _used[answer['process']] = answer['used']
  return np.frombuffer(contents, np.uint8).reshape(answer['shape'])


def _answer(
    question: dict[str, Any], contents: bytes
) -> tuple[dict[str, Any], Any]:
  del question
  try:
    pixels = pickle.loads(contents).read()
  except VideoError as e:
    return {'error': str(e)}, b''
  except Exception:
    return {'fault': traceback.format_exc()}, b''
  answer = {
      'shape': pixels.shape,
      'process': os.getpid(),
      'used': time.process_time(),
  }
  return answer, np.ascontiguousarray(pixels).reshape(-1).data


def main():
  """Reads clips until standard input ends."""
  kept_memory.keep()
  messages.serve(_answer)


if __name__ == '__main__':
  main()
