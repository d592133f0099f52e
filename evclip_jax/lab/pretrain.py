"""python -m evclip_jax.lab.pretrain [--out=DIR] [--steps=N]

Remakes the packaged tiny networks and their vocabulary: draws images of the
pre-training classes, trains the tiny CLIP and the tiny video trunk, and writes
tiny_clip.safetensors, tiny_encoder.safetensors (float16) and tiny_vocab.json.
Without --out it writes into the package itself.
"""

import os
import pathlib

import jax
import numpy as np
from absl import flags
from flax.traverse_util import flatten_dict

from data_pipelines import cli
from data_pipelines.errors import UserError
from evclip_jax.lab import pretrain_clip, pretrain_encoder
from evclip_jax.models.clip import tokenizer
from evclip_jax.weights import own_file


def define_flags():
  """Defines this command's flags."""
  package = pathlib.Path(__file__).parent.parent / 'assets'
  flags.DEFINE_string('out', str(package), 'Folder for the three files.')
  flags.DEFINE_string(
      'album_dir', 'runs/lab', 'Folder for the drawn images (3 GB).'
  )
  flags.DEFINE_integer(
      'steps', 0, 'Fewer steps and images, for a trial; 0 = the recipe.'
  )


def main(args: list[str]):
  """Trains both networks and writes them."""
  if args:
    raise UserError(f'unexpected argument {args[0]!r}; flags begin with --.')
  values = flags.FLAGS
  make(pathlib.Path(values.out), pathlib.Path(values.album_dir), values.steps)


def make(out: pathlib.Path, album_dir: pathlib.Path, steps: int = 0):
  """Trains both networks and writes their files; see the flags."""
  out.mkdir(parents=True, exist_ok=True)
  recipe = pretrain_clip.RECIPE.shorter(steps)
  sizes, params, words = pretrain_clip.pretrain(recipe, album_dir)
  _write(out / 'tiny_clip.safetensors', 'clip', params, sizes)
  tokenizer.write_json(words, out / 'tiny_vocab.json')
  sizes, params = pretrain_encoder.pretrain(steps, album_dir)
  _write(out / 'tiny_encoder.safetensors', 'encoder', params, sizes)
  print(f'written to {out}')


def _write(path: pathlib.Path, part: str, params, sizes):
  """Writes a network in float16, to halve its file."""
  flat = flatten_dict(params, sep='/')
  half = {k: np.asarray(v, np.float16) for k, v in flat.items()}
  # The loader hashes float32 values.
  whole = {k: v.astype(np.float32) for k, v in half.items()}
  noted = {'tree_hash': own_file.tree_hash(whole)}
  own_file.write(path, part, half, sizes, noted)


if __name__ == '__main__':
  # Processes that draw import this file, too, and need no device.
  jax.config.update('jax_platforms', os.environ.get('JAX_PLATFORMS', 'cpu'))
  define_flags()
  cli.run(main)
