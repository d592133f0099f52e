"""Finds the cache folder, for what can be computed or downloaded again."""

import os
import pathlib


def cache_folder(given: str | os.PathLike = '') -> pathlib.Path:
  """Returns the cache folder, which need not exist.

  `given` is `config.cache_dir`; '' = $XDG_CACHE_HOME/evclip_jax, which is
  ~/.cache/evclip_jax where the variable is not set.
  """
  if given:
    return pathlib.Path(given).expanduser()
  base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(base) / 'evclip_jax'
