"""Starts every command, and handles its flags, errors and exit status."""

import errno
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags

from data_pipelines.errors import UserError

_DEBUG = flags.DEFINE_bool(
    'debug', False, 'Show the traceback of an error the user can fix.'
)
_HUGE_PAGES = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')


def use_huge_pages():
  """Restarts the program with huge pages, where Linux gives them on request.

  On CPUs a step allocates arrays of hundreds of megabytes; with pages of 2 MB
  it takes a tenth less time. glibc reads its settings only at the start of a
  program. Does nothing if GLIBC_TUNABLES is set already, or in a notebook or
  debugger that runs the command within its own process.
  """
  tunables, given = 'GLIBC_TUNABLES', sys.orig_argv
  module = given[given.index('-m') + 1 :][:1] if '-m' in given else []
  if tunables in os.environ or not ''.join(module).startswith('evclip_jax.'):
    return
  try:
    offered = _HUGE_PAGES.read_text()
  except OSError:
    return
  if '[madvise]' in offered:
    os.environ[tunables] = 'glibc.malloc.hugetlb=1'
    os.execv(sys.executable, [sys.executable, *given[1:]])


def run(main: Callable[[list[str]], None], argv: Sequence[str] | None = None):
  """Parses the flags, calls `main` with the positional arguments, exits.

  Exit status 0 on success, 2 on a mistake of the user's (a flag, a key, a
  file), which is printed in one or two lines, 141 if the output goes to a
  program that has ended; other errors keep their traceback and Python's status
  1. `argv` is `sys.argv` by default.
  """
  argv = list(sys.argv if argv is None else argv)
  # File names need not be valid UTF-8.
  if hasattr(sys.stdout, 'reconfigure'):
    sys.stdout.reconfigure(errors='backslashreplace')
  app.define_help_flags()
  try:
    rest = flags.FLAGS(argv)
    if 'config' in flags.FLAGS:
      # Raises the error of loading the file, if any, which is delayed to here.
      getattr(flags.FLAGS['config'].value, 'lock', None)
  # A config file may raise anything.
  except Exception as e:
    if '--debug' in argv:
      traceback.print_exc()
    _fail(_explain(e, argv))
  try:
    main(rest[1:])
    print(end='', flush=True)
  except UserError as e:
    if _DEBUG.value:
      traceback.print_exc()
    _fail(str(e))
  except BrokenPipeError:
    # An empty line, since what could not be written may be forgotten.
    if _flushed('\n'):
      raise
    print('stopped: nobody reads the output any more', file=sys.stderr)
    # As a shell reports the signal that ends other programs then.
    sys.exit(141)
  except OSError as e:
    if e.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise
    where = f' ({e.filename})' if e.filename else ''
    _fail(f'the disk is full{where}. Free some space and run it again.')
  except KeyboardInterrupt as e:
    print(str(e) or 'interrupted', file=sys.stderr)
    sys.exit(getattr(e, 'status', 130))


def _flushed(text: str = '') -> bool:
  """Writes what was printed, and text; False if that is impossible."""
  try:
    print(end=text, flush=True)
  except OSError:
    # Else Python tries again at its end, and complains.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return False
  return True


def _fail(message: str):
  _flushed()
  print(f'error: {message}', file=sys.stderr, flush=True)
  sys.exit(2)


def _explain(error: Exception, argv: Sequence[str]) -> str:
  """Says what was wrong with the flags or the config file."""
  if isinstance(error, flags.Error) and not error.__context__:
    return ' '.join(str(error).split())[:400]
  given = re.findall(r'^--?config[=\n](.+)$', '\n'.join(argv), re.MULTILINE)
  file = given[-1].split(':')[0] if given else ''
  if file and not os.path.isfile(file):
    return f'--config={file}: there is no such file.'
  causes = [error]
  while cause := causes[-1].__cause__ or causes[-1].__context__:
    causes.append(cause)
  for cause in reversed(causes):
    if isinstance(cause, UserError):
      return str(cause)
    if isinstance(cause, SyntaxError):
      return f'{cause.filename}, line {cause.lineno}: {cause.msg}.'
    frames = traceback.extract_tb(cause.__traceback__)
    lines = [f.lineno for f in frames if file and f.filename.endswith(file)]
    if lines:
      # ConfigDict's message goes on with the whole config.
      text = str(cause).split(' Other fields present')[0]
      text = ' '.join(text.split())[:300]
      return f'{file}, line {lines[-1]}: {type(cause).__name__}: {text}'
  if "no attribute 'get_config'" in str(error):
    return f'{file} defines no get_config().'
  return _explain_key(error, argv)


def _explain_key(error: Exception, argv: Sequence[str]) -> str:
  """Says which key of the command line was mistyped."""
  # KeyError shows the repr of its argument, hence args[0].
  text = str(error.args[0]) if error.args else str(error)
  text = ' '.join(text.replace("\\'", "'").strip().splitlines())
  quoted = re.search(r'[\'"](\w+)[\'"]', text)
  if not isinstance(error, (KeyError, AttributeError)) or not quoted:
    return text[:400]
  word = quoted[1]
  keys = [a.split('=')[0] for a in argv if a.startswith('--config.')]
  key = next((k for k in keys if word in re.split(r'[.=]', k)), word)
  hint = re.search(r'Did you mean "(\w+)"', text)
  return f'unknown config key {key}.' + (
      f' Did you mean "{hint[1]}"?' if hint else ''
  )
