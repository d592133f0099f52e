"""Processes that may crash or hang without harm."""

import atexit
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from data_pipelines.video import messages

_START_SECONDS = 120.0
_STOP_SECONDS = 2.0
# The most that Linux gives to others than root.
_PIPE_BYTES = 1 << 20
_THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


class Died(Exception):
  """The process ended instead of answering; the message says how."""


class Slow(Exception):
  """The process did not answer in time and was ended."""


class NotStarted(RuntimeError):
  """The process cannot be started; whose fault that is the message leaves open.
  """


class Child:
  """One process that runs `python -m MODULE` and answers questions.

  Not a fork of this process and not `multiprocessing`: it inherits no locks
  of TensorFlow or JAX and does not import the user's main module. For one
  thread at a time.
  """

  def __init__(self, module: str, answer_bytes: int = 0):
    """Starts it.

    Args:
      module: what it runs; it calls `messages.serve`.
      answer_bytes: how large answers are, if they are large.
    """
    self._module = module
    root = str(pathlib.Path(__file__).parents[2])
    path = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
    self._process = subprocess.Popen(
        # -P: a file `random.py` in the working folder is none of ours.
        [sys.executable, '-P', '-m', module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # One thread each: they are as many as there are cores.
        env=os.environ
        | dict.fromkeys(_THREADS, '1')
        | {'PYTHONPATH': os.pathsep.join(path)},
        # Ctrl-C in the terminal is for the trainer, which closes the pipe.
        start_new_session=True,
    )
    if answer_bytes:
      _enlarge(self._process.stdout, answer_bytes)
    self._started = False
    # Whether it has answered before.
    self.is_used = False

  def ask(
      self, question: dict[str, Any], contents: bytes, seconds: float | None
  ) -> tuple[dict[str, Any], bytes]:
    """Sends a question and waits for the answer and its contents.

    Args:
      question: anything JSON can hold.
      contents: bytes that go with it.
      seconds: time limit, not counting the start of the process; None = none.

    Raises:
      NotStarted: the process ended before it was asked, or is not ready after
        two minutes.
      Died: the process crashed. It is of no further use.
      Slow: the time was over; the process was killed.
    """
    if not self._started:
      try:
        self._guarded(_START_SECONDS, self._receive)
      except (Died, Slow) as e:
        raise NotStarted(
            f'a process that decodes does not start ({e}). '
            f'{sys.executable} -m {self._module} shows why.'
        ) from e
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

  def _guarded(self, seconds: float | None, function: Callable, *args) -> Any:
    late = threading.Event()

    def end():
      late.set()
      self._process.kill()

    timer = threading.Timer(seconds or 0, end)
    timer.daemon = True
    try:
      if seconds is not None:
        timer.start()
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
    messages.send(self._process.stdin, question, contents)
    return self._receive()

  def _receive(self):
    return messages.receive(self._process.stdout)


class Children:
  """Processes of one kind; each thread that asks has one to itself."""

  def __init__(self, module: str, answer_bytes: int = 0):
    """Starts none; the arguments are those of `Child`."""
    self._arguments = module, answer_bytes
    self._lock = threading.Lock()
    self._idle: list[Child] = []
    self._owner, self._ended = os.getpid(), False
    atexit.register(self._end)

  def ask(
      self,
      question: dict[str, Any],
      contents: bytes,
      seconds: float | None = None,
  ) -> tuple[dict[str, Any], bytes]:
    """Asks one that is at rest, or a new one; see `Child.ask`."""
    process = self._take()
    try:
      answer = process.ask(question, contents, seconds)
    except Died:
      # What an earlier file did may show only now: blame no file for a crash
      # unless it was the first one that the process saw.
      if process.is_used:
        return self.ask(question, contents, seconds)
      raise
    except BaseException:
      process.close()
      raise
    with self._lock:
      if not self._ended:
        self._idle.append(process)
        return answer
    process.close()
    return answer

  def close(self, keep: int = 0):
    """Ends all that are at rest but `keep`."""
    with self._lock:
      if self._owner != os.getpid():
        return
      surplus, self._idle = self._idle[keep:], self._idle[:keep]
    for process in surplus:
      process.close()

  def _take(self) -> Child:
    with self._lock:
      if self._owner != os.getpid():
        # In a fork of the process that started them they are not ours.
        self._owner, self._idle = os.getpid(), []
      if self._ended:
        raise NotStarted('the program is ending.')
      if self._idle:
        return self._idle.pop()
    return Child(*self._arguments)

  def _end(self):
    # Threads of a loader that nobody closed may still be at work.
    self._ended = True
    self.close()


def _enlarge(pipe, wanted: int):
  """Makes room: each time a pipe is full, two processes wait."""
  with contextlib.suppress(ImportError, AttributeError, OSError):
    import fcntl

    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, min(wanted, _PIPE_BYTES))


def _describe(status: int) -> str:
  if status == -getattr(signal, 'SIGKILL', 9):
    return 'the decoder was killed (signal 9), perhaps for lack of memory'
  if status < 0:
    return f'the decoder crashed (signal {-status})'
  return f'the decoder ended (status {status})'
