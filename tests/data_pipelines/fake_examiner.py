"""Stands in for `video_files.examine`: does what the question says.

The file's name decides: 'crash' kills the process as a decoder's bug would,
'hang' never answers, anything else is a sound video of one frame.
"""

import os
import signal
import time

from data_pipelines.video import messages


def answer(question, contents):
  name = os.path.basename(question['path'])
  if 'crash' in name:
    os.kill(os.getpid(), signal.SIGSEGV)
  if 'hang' in name:
    time.sleep(600)
  return {
      'num_frames': 1,
      'times': [],
      'time_base': [1, 25],
      'keyframes': [],
      # Tells the test which process answered.
      'width': os.getpid(),
  }, b''


if __name__ == '__main__':
  messages.serve(answer)
