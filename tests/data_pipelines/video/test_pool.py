"""Processes: what tasks may do to them, and how they start and end."""

import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pebble
import pytest

from data_pipelines.errors import UserError
from data_pipelines.video import pool

ROOT = pathlib.Path(__file__).parents[3]
HERE = 'tests.data_pipelines.video.test_pool'


# What the processes are asked to do; they import it from here.


def crash():
  os.kill(os.getpid(), signal.SIGSEGV)


def crash_once(path):
  if not os.path.exists(path):
    pathlib.Path(path).touch()
    crash()
  return 'done'


def fail():
  raise KeyError('no such colour')


def refuse():
  raise UserError('wanted this, got that.')


def pid(seconds=0.0):
  time.sleep(seconds)
  return os.getpid()


def imported():
  names = 'jax', 'tensorflow', 'flax'
  return [n for n in names if n in sys.modules]


def double(values):
  return 2 * values


def test_tasks_are_done_elsewhere():
  values = np.arange(500_000)
  np.testing.assert_array_equal(pool.run(double, values), 2 * values)
  before = pool.cpu_seconds()
  seen = {pool.run(pid, workers=2) for _ in range(3)}
  assert os.getpid() not in seen and len(seen) <= 2
  assert pool.cpu_seconds() >= before > 0


def squares(*shape):
  return np.full(shape, 7, np.uint8)


def test_tasks_give_their_results_in_order_whatever_happens_to_some():
  tasks = pool.Tasks(2, shape=(3, 4))
  mine, made = np.zeros((3, 4), np.uint8), len(pool._made[os.getpid()])
  for function, args in ((squares, (3, 4)), (crash, ()), (squares, (3, 4))):
    tasks.add(function, *args)
  assert len(tasks) == 3 and not tasks.full
  assert tasks.next(mine) is mine and (mine == 7).all()
  with pytest.raises(pool.WorkerDied):
    tasks.next()
  assert (tasks.next() == 7).all() and not tasks
  # A block that a crashed process could write to is not used again.
  assert len(pool._made[os.getpid()]) == made + 2
  tasks.add(refuse)
  with pytest.raises(UserError, match='wanted this'):
    tasks.next()
  assert len(pool._made[os.getpid()]) == made + 2


def test_without_shared_memory_pixels_come_through_a_pipe(monkeypatch):
  monkeypatch.setattr(pool, '_block', lambda size: None)
  tasks = pool.Tasks(1, shape=(3, 4))
  tasks.add(squares, 3, 4)
  assert (tasks.next() == 7).all()


def test_all_tasks_are_done_but_not_all_asked_for_at_once():
  asked = []

  def tasks():
    for number in range(20):
      asked.append(number)
      yield (number,)

  done = pool.run_all(abs, tasks(), workers=2)
  assert next(done) == 0 and len(asked) < 10
  assert list(done) == list(range(1, 20))


def at_once(count, *args, **values):
  """Asks from several threads, as a loader does."""
  with concurrent.futures.ThreadPoolExecutor(count) as threads:
    tasks = [threads.submit(pool.run, *args, **values) for _ in range(count)]
    return [task.result() for task in tasks]


def test_as_many_work_at_once_as_were_asked_for():
  pool.run(pid, workers=2)
  # On a busy machine a process may take its time to start.
  assert any(len(set(at_once(2, pid, 0.5, workers=2))) == 2 for _ in range(20))
  assert len(at_once(20, pid, 0.01)) == 20
  assert pool.number(3) == 3 and 1 <= pool.number(0) <= 16


def test_a_process_knows_the_folder_and_nothing_of_models(
    tmp_path, monkeypatch
):
  assert pool.run(imported) == []
  monkeypatch.chdir(tmp_path)
  assert pool.run(os.getcwd) == os.getcwd()


@pytest.mark.parametrize(
    ('function', 'kind', 'message'),
    [
        (crash, pool.WorkerDied, r'the decoder crashed \(signal 11\)'),
        (fail, RuntimeError, "in fail(.|\n)*KeyError: 'no such colour'"),
        (refuse, UserError, 'wanted this, got that.'),
    ],
)
def test_what_goes_wrong_costs_its_task_only(function, kind, message):
  with concurrent.futures.ThreadPoolExecutor(1) as thread:
    others = thread.submit(at_once, 3, pid, 1.0)
    with pytest.raises(kind, match=message):
      pool.run(function)
    assert all(others.result())
  assert pool.run(pid)


def test_a_task_beyond_its_time_is_ended():
  start = time.monotonic()
  with pytest.raises(pool.WorkerDied, match='it took longer than 1 s'):
    pool.run(pid, 600, timeout=1)
  assert time.monotonic() - start < 20
  # Waiting for a process that is free is not counted.
  assert at_once(4, pid, 0.4, workers=1, timeout=1)


def test_a_crash_is_blamed_on_no_task_before_it_has_come_twice(tmp_path):
  assert pool.run(crash_once, str(tmp_path / 'crashed')) == 'done'


def test_a_crash_that_pebble_misses_is_noticed(monkeypatch):
  def find_expired_task(manager, process):
    raise LookupError  # as when it has not read which task the process took

  monkeypatch.setattr(
      pebble.pool.process.PoolManager, 'find_expired_task', find_expired_task
  )
  with pytest.raises(pool.WorkerDied, match='the decoder exited'):
    pool.run(crash)
  assert pool.run(pid)


def test_a_task_that_a_broken_pool_forgot_is_asked_for_again(monkeypatch):
  process = pebble.pool.process
  real, forgotten = process.PoolManager.schedule, []

  def schedule(manager, task):
    if forgotten:
      return real(manager, task)
    # As when all processes ended just before.
    forgotten.append(task)
    manager.context.status = process.PoolStatus.ERROR

  assert pool.run(pid)
  monkeypatch.setattr(process.PoolManager, 'schedule', schedule)
  assert pool.run(pid) and forgotten


def test_a_process_that_was_killed_at_rest_is_replaced():
  for _ in range(2):
    os.kill(pool.run(pid, workers=1), signal.SIGKILL)
    time.sleep(0.3)
    assert pool.run(pid, workers=1)


def test_time_in_which_the_program_is_stopped_does_not_count():
  code = (
      f'from {HERE} import pid, pool\n'
      'pool.run(pid)\n'
      'print("asked", flush=True)\n'
      'print(pool.run(pid, 0.5, timeout=1) > 0)\n'
  )
  with program(code) as running:
    assert running.stdout.readline() == 'asked\n'
    running.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    running.send_signal(signal.SIGCONT)
    assert running.stdout.readline() == 'True\n', running.stderr.read()


@pytest.mark.parametrize('way', ['fork', 'spawn'])
def test_a_child_of_multiprocessing_ends(way, tmp_path):
  script = tmp_path / 'main.py'
  script.write_text(
      'import multiprocessing, os\n'
      'from data_pipelines.video import pool\n'
      'def child():\n'
      '  assert pool.run(os.getpid) != os.getpid()\n'
      'if __name__ == "__main__":\n'
      '  pool.run(os.getpid)\n'
      '  way = multiprocessing.get_context("'
      f'{way}")\n'
      '  process = way.Process(target=child)\n'
      '  process.start()\n'
      '  process.join(30)\n'
      '  print(process.exitcode, flush=True)\n'
      '  process.kill()\n'
  )
  with program(script) as running:
    out, err = running.communicate(timeout=60)
  assert out == '0\n', err


def test_the_main_script_runs_once(tmp_path):
  """Also one that has no `if __name__ == '__main__'`."""
  script = tmp_path / 'script.py'
  script.write_text(
      f'print("main")\nfrom {HERE} import pid, pool\nprint(pool.run(pid))'
  )
  with program(script) as running:
    out, err = running.communicate(timeout=60)
  assert out.startswith('main\n') and out.count('main') == 1, err
  assert err == '' and not runs(out.split()[1])


@pytest.mark.skipif(not os.path.isdir('/proc'), reason='looks into /proc')
@pytest.mark.parametrize('ending', ['', 'os.kill(os.getpid(), 9)'])
def test_no_process_outlives_a_program(ending):
  code = (
      f'import os, threading; from {HERE} import pid, pool\n'
      'def work():\n'
      '  while True: pool.run(pid, 0.01)\n'
      'print(pool.run(pid), pool.run(pid), flush=True)\n'
      'threading.Thread(target=work, daemon=True).start()\n'
  )
  with program(code + ending) as running:
    out, err = running.communicate(timeout=60)
  assert out.split(), err
  for process in out.split():
    deadline = time.monotonic() + 20
    while runs(process):
      assert time.monotonic() < deadline
      time.sleep(0.1)


def program(code):
  """Starts a Python program: a file, or what is in it."""
  what = [code] if isinstance(code, pathlib.Path) else ['-c', code]
  return subprocess.Popen(
      [sys.executable, *what],
      env=os.environ | {'PYTHONPATH': str(ROOT)},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
  )


def runs(process):
  try:
    state = pathlib.Path('/proc', process, 'stat').read_text()
  except (FileNotFoundError, ProcessLookupError):
    return False
  # A zombie has ended; nobody has looked yet.
  return state.rsplit(')', 1)[1].split()[0] != 'Z'
