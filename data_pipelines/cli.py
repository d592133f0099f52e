"""How every command starts and how it fails: flags, messages, exit status."""

import errno
import re
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags

from data_pipelines.errors import UserError

_DEBUG = flags.DEFINE_bool(
    'debug', False, 'Show the traceback of an error the user can mend.'
)


def run(main: Callable[[list[str]], None], argv: Sequence[str] | None = None):
  """Parses the flags, calls `main` with the positional arguments, exits.

  Exit status 0 on success, 2 on a mistake of the user's (a flag, a key, a
  file), which is printed in one or two lines; other errors keep their
  traceback and Python's status 1.

  Args:
    main: receives the positional arguments, without the program's name.
    argv: program name and arguments; `sys.argv` by default.
  """
  argv = list(sys.argv if argv is None else argv)
  app.define_help_flags()
  try:
    rest = flags.FLAGS(argv)
  # ml_collections reports an unknown or mistyped key by whichever of these
  # the lookup raised.
  except (
      flags.Error,
      AttributeError,
      KeyError,
      OSError,
      TypeError,
      ValueError,
  ) as e:
    if '--debug' in argv:
      traceback.print_exc()
    _fail(_explain(e, argv))
  except UserError as e:
    if '--debug' in argv:
      traceback.print_exc()
    _fail(str(e))
  try:
    main(rest[1:])
  except UserError as e:
    if _DEBUG.value:
      traceback.print_exc()
    _fail(str(e))
  except OSError as e:
    if e.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise
    where = f' ({e.filename})' if e.filename else ''
    _fail(f'the disk is full{where}. Free some space and run it again.')
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    sys.exit(130)


def _fail(message: str):
  sys.stdout.flush()
  print(f'error: {message}', file=sys.stderr, flush=True)
  sys.exit(2)


def _explain(error: Exception, argv: Sequence[str]) -> str:
  """What was wrong with the flags, with the whole key that was mistyped."""
  # KeyError shows the repr of its argument, hence args[0].
  if isinstance(error, OSError):
    return f'--config cannot be loaded: {_last_line(error)}'
  text = str(error.args[0]) if error.args else str(error)
  text = ' '.join(text.replace("\\'", "'").strip().splitlines())
  quoted = re.search(r'[\'"](\w+)[\'"]', text)
  if not isinstance(error, (KeyError, AttributeError)) or not quoted:
    return text[:400]
  word = quoted[1]
  flag = next(
      (
          a.split('=')[0]
          for a in argv
          if a.startswith('--config.') and word in re.split(r'[.=]', a)
      ),
      word,
  )
  hint = re.search(r'Did you mean "(\w+)"', text)
  return f'unknown config key {flag}.' + (
      f' Did you mean "{hint[1]}"?' if hint else ''
  )


def _last_line(error: Exception) -> str:
  return str(error).strip().splitlines()[-1].strip()
