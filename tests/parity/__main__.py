"""The command `python -m tests.parity CASE_DIR...`."""

import argparse
import importlib
import pathlib
import pkgutil
import sys
import time
import traceback

import jax

import tests.parity
from tests.parity import compare
from tests.parity.draw import CaseError, load_case

# Modules of this package that are not the kind of a case.
_HELPERS = ('__main__', 'compare', 'draw', 'test_parity', 'training')


def main(arguments: list[str] | None = None) -> int:
  """Runs cases and prints a table.

  Returns:
    0 if everything is within its tolerance, else 1.
  """
  parser = argparse.ArgumentParser(
      'python -m tests.parity', description='Run golden cases.'
  )
  parser.add_argument('cases', nargs='+', metavar='CASE_DIR')
  parser.add_argument(
      '--debug', action='store_true', help='show tracebacks of failed cases'
  )
  flags = parser.parse_args(arguments)
  total, misses, missed_cases = 0, 0, []
  for folder in flags.cases:
    start = time.perf_counter()
    lines = run_case(folder, flags.debug)
    print(f'{folder} ({time.perf_counter() - start:.1f} s)')
    print(table(lines), flush=True)
    bad = sum(not line.ok for line in lines)
    total, misses = total + len(lines), misses + bad
    missed_cases += [folder] if bad else []
  print(
      f'{len(flags.cases)} cases, {total} comparisons: {total - misses} ok, '
      f'{misses} MISS'
  )
  for folder in missed_cases:
    print(f'missed: {folder}')
  return 1 if misses else 0


def run_case(
    folder: str | pathlib.Path, debug: bool = False
) -> list[compare.Line]:
  """Compares one case; whatever goes wrong is a miss."""
  try:
    case = load_case(folder)
    kind = case.field('kind', str)
    if kind not in kinds():
      raise CaseError(f'no kind {kind!r}; there are: {", ".join(kinds())}.')
    module = importlib.import_module(kinds()[kind])
    # An accelerator's default may be coarser than float32.
    with jax.default_matmul_precision('highest'):
      lines = module.run(case)
  except Exception as error:  # The next case must run, whatever this one holds.
    if debug:
      traceback.print_exc()
    name = '' if isinstance(error, CaseError) else f'{type(error).__name__}: '
    return [compare.missed('case', f'{name}{error}')]
  return lines or [compare.missed('case', 'nothing was compared')]


def kinds() -> dict[str, str]:
  """Returns the module of each kind of case; one may have several `KINDS`."""
  found = {}
  for module in pkgutil.iter_modules(tests.parity.__path__):
    if module.name not in _HELPERS:
      name = f'tests.parity.{module.name}'
      own = getattr(importlib.import_module(name), 'KINDS', (module.name,))
      found |= dict.fromkeys(own, name)
  return found


def table(lines: list[compare.Line]) -> str:
  """The rows of one case: name, error, tolerance, verdict."""
  width = max(len(line.name) for line in lines)
  return '\n'.join(
      f'  {line.name:<{width}}  {line.error:9.2e}  {line.tolerance:7.0e}  '
      f'{"ok" if line.ok else "MISS"}  {" ".join(line.note.split())}'.rstrip()
      for line in lines
  )


if __name__ == '__main__':
  sys.exit(main())
