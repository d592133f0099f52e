"""Commands as a user starts them, several in one process that imports once."""

import subprocess
import sys

_CODE = """
import importlib, os, sys
from data_pipelines import cli
command = importlib.import_module(sys.argv[1])
command.define_flags()
for arguments in eval(sys.argv[2]):
  if not os.fork():
    cli.run(command.main, [sys.argv[1], *arguments])
    os._exit(0)
  print('status', os.waitstatus_to_exitcode(os.wait()[1]), file=sys.stderr)
"""


def errors(module: str, *calls: tuple[str, ...]) -> list[str]:
  """Returns what each call says; all must exit with 2, without a traceback."""
  done = subprocess.run(
      [sys.executable, '-c', _CODE, module, repr(calls)],
      capture_output=True,
      text=True,
      check=True,
  )
  assert 'Traceback' not in done.stderr
  *found, rest = done.stderr.split('status 2\n')
  assert len(found) == len(calls) and not rest, done.stderr
  return found
