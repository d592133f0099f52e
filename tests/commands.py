"""Commands as a user starts them, several in one process that imports once."""

import subprocess
import sys
from collections.abc import Sequence

_CODE = """
import importlib, os, sys
from data_pipelines import cli
command, *_ = map(importlib.import_module, sys.argv[1].split())
getattr(command, 'define_flags', bool)()
for arguments in eval(sys.argv[2]):
  if not os.fork():
    sys.argv[1:] = arguments
    cli.run(command.main)
    os._exit(0)
  print('status', os.waitstatus_to_exitcode(os.wait()[1]), file=sys.stderr)
"""


def errors(modules: str, *calls: Sequence[str], **process) -> list[str]:
  """Returns what each call says; all must exit with 2, without a traceback.

  Args:
    modules: the command's, and those that it imports late.
    calls: arguments of the command.
    process: what else `subprocess.run` takes.
  """
  done = subprocess.run(
      [sys.executable, '-c', _CODE, modules, repr(calls)],
      capture_output=True,
      text=True,
      check=True,
      **process,
  )
  assert 'Traceback' not in done.stderr
  *found, rest = done.stderr.split('status 2\n')
  assert len(found) == len(calls) and not rest, done.stderr
  return found
