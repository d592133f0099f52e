"""A process that may crash or hang without harm, and how to talk to it."""

import contextlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

_LENGTHS = struct.Struct('<QQ')
_START_SECONDS = 120.0
_STOP_SECONDS = 2.0


class Died(Exception):
  """The process ended instead of answering; the message says how."""


class Slow(Exception):
  """The process did not answer in time and was ended."""


class Child:
  """One process that runs `python -m MODULE` and answers questions.

  Not a fork of this process and not `multiprocessing`: it inherits no locks
  of TensorFlow or JAX and does not import the user's main module. For one
  thread at a time.
  """

  def __init__(self, module: str):
    root = str(pathlib.Path(__file__).parents[2])
    path = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
    self._process = subprocess.Popen(
        # -P: a file `random.py` in the working folder is none of ours.
        [sys.executable, '-P', '-m', module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {'PYTHONPATH': os.pathsep.join(path)},
        # Ctrl-C in the terminal is for the trainer, which closes the pipe.
        start_new_session=True,
    )
    self._started = False
    # Whether it has answered before.
    self.is_used = False

  def ask(
      self, question: dict[str, Any], contents: bytes, seconds: float
  ) -> dict[str, Any]:
    """Sends a question and waits for the answer.

    Args:
      question: anything JSON can hold.
      contents: bytes that go with it.
      seconds: time limit, not counting the start of the process.

    Raises:
      Died: the process crashed. It is of no further use.
      Slow: the time was over; the process was killed.
    """
    if not self._started:
      self._guarded(_START_SECONDS, self._receive)
      self._started = True
    question = question | {'seconds': seconds}
    answer = self._guarded(seconds, self._exchange, question, contents)
    self.is_used = True
    return answer

  def close(self):
    """Ends the process and waits for its end."""
    with contextlib.suppress(OSError):
      self._process.stdin.close()
    try:
      self._process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._process.stdout.close()

  def _guarded(self, seconds: float, function: Callable, *args) -> Any:
    late = threading.Event()

    def end():
      late.set()
      self._process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
      return function(*args)
    # ValueError: it wrote nonsense instead of JSON before it died.
    except (EOFError, OSError, ValueError) as e:
      self._process.kill()
      self.close()
      if late.is_set():
        raise Slow(f'it took longer than {seconds:.0f} s') from e
      raise Died(_describe(self._process.returncode)) from e
    finally:
      timer.cancel()

  def _exchange(self, question, contents):
    send(self._process.stdin, question, contents)
    return self._receive()

  def _receive(self):
    return receive(self._process.stdout)[0]


def serve(
    questions, answers, answer: Callable[[dict[str, Any], bytes], dict]
):
  """The other end: answers until `questions` is closed."""
  send(answers, {'ready': True})
  while True:
    try:
      question, contents = receive(questions)
    except EOFError:
      return
    # If the trainer is gone (killed), nobody else ends a hanging decoder.
    if hasattr(signal, 'alarm'):
      signal.alarm(int(question['seconds']) + 10)
    send(answers, answer(question, contents))
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


def _describe(status: int) -> str:
  if status == -getattr(signal, 'SIGKILL', 9):
    return 'the decoder was killed (signal 9), perhaps for lack of memory'
  if status < 0:
    return f'the decoder crashed (signal {-status})'
  return f'the decoder ended (status {status})'
