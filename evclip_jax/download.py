"""Fetches published weights and vocabularies into the cache folder.

  python -m evclip_jax.download --list
  python -m evclip_jax.download ViT-B/16 omnivore_swinS vocab

Files with a published hash are checked against it.
"""

from absl import flags

from data_pipelines import cli
from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from evclip_jax.weights import published


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string(
      'cache_dir', '', 'Folder for the files; ~/.cache/evclip_jax if empty.'
  )
  flags.DEFINE_bool('list', False, 'Show the names that can be fetched.')


def main(names: list[str]):
  """Fetches the files of these names, which are keys of `published.ALL`."""
  values = flags.FLAGS
  if values.list:
    width = max(map(len, published.ALL))
    for name, file in published.ALL.items():
      print(f'{name:<{width}}  {file.what} -> {file.filename}')
    print(f'Files are kept in {cache_folder(values.cache_dir)}.')
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
    print(f'{name}: {published.fetch(name, values.cache_dir)}')
    if terms := published.licence(name):
      print(f'  licence: {terms}')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
