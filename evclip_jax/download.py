"""Fetches published weights and vocabularies into the cache folder.

  python -m evclip_jax.download --list
  python -m evclip_jax.download ViT-B/16 omnivore_swinS vocab

An interrupted download goes on where it stopped. Files with a published hash
are checked against it.
"""

import sys

import tqdm
from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError
from evclip_jax.weights import cache, download, published


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string(
      'cache_dir', '', 'Where to put the files; ~/.cache/evclip_jax if empty.'
  )
  flags.DEFINE_bool('list', False, 'Show the names that can be fetched.')


class _Bar:
  """A progress bar with rate and time left; plain lines where it is piped."""

  def __init__(self, name: str):
    self._name = name
    self._bar: tqdm.tqdm | None = None
    self._shown = -1

  def update(self, done: int, total: int | None):
    """Shows `done` of `total` bytes."""
    if not sys.stderr.isatty():
      self._print(done, total)
      return
    if self._bar is None:
      self._bar = tqdm.tqdm(
          desc=self._name,
          total=total,
          initial=done,
          unit='B',
          unit_scale=True,
          unit_divisor=1024,
      )
    if done < self._bar.n:
      # The server began anew.
      self._bar.reset(total)
    self._bar.update(done - self._bar.n)

  def _print(self, done: int, total: int | None):
    # One line for every tenth.
    tenth = 10 * done // total if total else 0
    if tenth != self._shown:
      self._shown = tenth
      of = f' of {total / 2**20:.1f}' if total else ''
      print(f'{self._name}: {done / 2**20:.1f}{of} MB', file=sys.stderr)

  def close(self):
    """Leaves the last state on the screen."""
    if self._bar is not None:
      self._bar.close()


def main(names: list[str]):
  """Fetches the named files.

  Args:
    names: keys of `weights.published.ALL`.

  Raises:
    UserError: no or unknown names, no connection, a wrong hash.
  """
  values = flags.FLAGS
  if values.list:
    _show(values.cache_dir)
    return
  if not names:
    raise UserError(
        'name what to fetch, such as ViT-B/16 omnivore_swinS vocab.\n  '
        '"python -m evclip_jax.download --list" shows all names.'
    )
  # All names before the first download, so that a typo costs no time.
  for name in names:
    published.find(name)
  for name in names:
    bar = _Bar(name)
    try:
      path = download.fetch(name, values.cache_dir, bar.update)
    finally:
      bar.close()
    print(f'{name}: {path}')


def _show(cache_dir: str):
  folder = cache_dir or cache.default_cache_dir()
  width = max(len(name) for name in published.ALL)
  for name, item in published.ALL.items():
    print(f'{name:<{width}}  {item.what} -> {item.filename}')
  print(f'Files are kept in {folder}.')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
