"""Questions to a process of our own (`child.py`) and its answers, over pipes.

A message is JSON and, if need be, bytes that go with it.
"""

import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any

_LENGTHS = struct.Struct('<QQ')


def serve(
    answer: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]],
):
  """The other end: answers on standard output until standard input ends."""
  questions = sys.stdin.buffer
  answers = os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
  # Libraries may print; only answers may go out.
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  send(answers, {'ready': True})
  while True:
    try:
      question, contents = receive(questions)
    except EOFError:
      return
    # If the trainer is gone (killed), nobody else ends a hanging decoder.
    if hasattr(signal, 'alarm') and question['seconds']:
      signal.alarm(int(question['seconds']) + 10)
    send(answers, *answer(question, contents))
    if hasattr(signal, 'alarm'):
      signal.alarm(0)


def send(pipe, message: dict[str, Any], contents: bytes = b''):
  """Writes one message with its contents."""
  text = json.dumps(message).encode()
  pipe.write(_LENGTHS.pack(len(text), len(contents)))
  pipe.write(text)
  pipe.write(contents)
  pipe.flush()


def receive(pipe) -> tuple[dict[str, Any], bytes]:
  """Reads one message; EOFError if the other end is gone."""
  text_bytes, contents_bytes = _LENGTHS.unpack(_exactly(pipe, _LENGTHS.size))
  text = _exactly(pipe, text_bytes)
  return json.loads(text), _exactly(pipe, contents_bytes)


def _exactly(pipe, count: int) -> bytes:
  data = pipe.read(count)
  if len(data) < count:
    raise EOFError
  return data
