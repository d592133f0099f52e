"""Converts a checkpoint of another code base to this project's weight file.

  python -m evclip_jax.convert ViT-B-16.pt --out=vit_b16.safetensors
  python -m evclip_jax.convert model-best.pth.tar --out=prompts.safetensors

Says what the file is and what was mapped, ignored and missing. No code in the
file can run. --to converts back to the original names and layout, or to
Scenic's:

  python -m evclip_jax.convert vit_b16.safetensors --to=torch-names --out=...
  python -m evclip_jax.convert vit_b16.safetensors --to=scenic --out=...

With --clip, the CLIP of an EZ-CLIP run, what `evclip_jax.export` wrote becomes
a whole state dict of the original, which can be loaded strictly:

  python -m evclip_jax.convert run.safetensors --to=torch-names \\
      --clip=ViT-B-16.pt --out=whole.safetensors

In torch, with the original's `model`:

  state = safetensors.torch.load_file('whole.safetensors')
  model.load_state_dict(state)
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError, WeightsError
from evclip_jax.methods import trained_weights
from evclip_jax.weights import cache, files, networks, own_file
from evclip_jax.weights.table import Converted

_SHOWN = 4


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string('out', '', 'The .safetensors file to write.')
  flags.DEFINE_enum(
      'to', 'jax', ['jax', 'torch-names', 'scenic'], 'Naming and layout.'
  )
  flags.DEFINE_string(
      'clip', '', 'With --to=torch-names of EZ-CLIP: a CLIP file to merge in.'
  )
  flags.DEFINE_string(
      'activation', '', 'Activation of a CLIP: quick_gelu, gelu or gelu_tanh.'
  )
  flags.DEFINE_integer('vision_heads', 0, "Heads of a CLIP's image tower.")
  flags.DEFINE_bool('force', False, 'Replace --out if it exists.')
  flags.DEFINE_bool('verbose', False, 'List every tensor.')


def main(positional: list[str]):
  """Converts the file at the only path given."""
  values = flags.FLAGS
  if len(positional) != 1 or not values.out:
    raise UserError(
        'wanted: python -m evclip_jax.convert SOURCE --out=FILE.safetensors.'
    )
  names = 'to', 'force', 'verbose', 'clip', 'activation', 'vision_heads'
  options = {name: values[name].value for name in names}
  convert_file(Path(positional[0]), Path(values.out), **options)


def convert_file(
    source: Path,
    out: Path,
    to: str = 'jax',
    force: bool = False,
    verbose: bool = False,
    clip: str = '',
    activation: str = '',
    vision_heads: int = 0,
):
  """Converts a file, or a folder from the hub, and prints what was done.

  Raises:
    UserError: `out` exists or cannot be written; `source` cannot be read or is
      of no known architecture. Nothing is left at `out`.
  """
  _check_out(source, out, force)
  if clip and to != 'torch-names':
    raise UserError(f'--clip={clip} is for --to=torch-names, not --to={to}.')
  file = files.read_tensors(source)
  try:
    found = trained_weights.convert(file)
  except UserError as e:
    # Errors of the tables do not know the file.
    where = '' if str(source) in str(e) else f'{source}: '
    raise WeightsError(f'{where}{e}') from e
  if found.part == 'clip':
    found = networks.settle(found, activation, vision_heads)
  elif activation or vision_heads:
    raise UserError(
        f'--activation and --vision_heads are for CLIP; {source} is '
        f'{found.label}.'
    )
  _describe(file, found, verbose)
  if to == 'jax':
    noted = cache.metadata_of(Path(file.path), found)
    noted['source_kind'] = found.kind
    if found.sizes is None and 'sizes' in file.metadata:
      noted['sizes'] = file.metadata['sizes']
    own_file.write(out, found.part, found.flat, found.sizes, noted)
  else:
    tensors = trained_weights.renamed(file, found, to, clip)
    noted = {'format': 'pt', 'source': source.name}
    if found.part == 'clip' and not found.assumed:
      said = ('activation', 'vision_heads', 'text_heads')
      said = {name: getattr(found.sizes, name) for name in said}
      noted[networks.NOTE] = json.dumps(said)
    own_file.write_tensors(out, tensors, noted)
  print(f'wrote {out} ({out.stat().st_size / 2**20:.1f} MB)')


def _check_out(source: Path, out: Path, force: bool):
  if out.suffix != '.safetensors':
    raise UserError(f'--out={out} must end in .safetensors.')
  if not os.path.isdir(out.parent):
    raise UserError(f'--out={out}: the folder {out.parent} does not exist.')
  there = os.path.exists(out)
  if there and os.path.exists(source) and out.samefile(source):
    raise UserError(f'--out={out} is the source. Choose another name.')
  if there and not force:
    raise UserError(f'{out} exists already. Add --force to replace it.')


def _describe(file: files.StateFile, found: Converted, verbose: bool):
  count = sum(int(np.prod(x.shape)) for x in found.flat.values())
  print(f'{file.path}: {found.label} ({file.kind}).')
  for note in (*file.notes, *found.notes):
    print(f'  {note}')
  if 'activation' in found.assumed:
    print(
        '  say --activation=gelu if it is from LAION, DataComp or most of '
        'open_clip'
    )
  if sizes := found.sizes or json.loads(file.metadata.get('sizes', 'null')):
    print(f'  {sizes}')
  mapped = [f'{n} -> {p}' for n, p in found.mapped.items()]
  _list('mapped', mapped, verbose)
  _list('ignored', [*found.ignored, *file.left_out], verbose)
  # Always 0: the tables refuse a file that lacks anything.
  _list('missing', [], verbose)
  print(f'  {count:,} numbers in {len(found.flat)} tensors, float32')
  drifting = [n for n in file.tensors if n.endswith('.running_mean')]
  if found.kind == 'ev-clip' and drifting:
    print(
        f'  note: the original lets {len(drifting)} batch norms of its frozen '
        'CLIP drift while training;\n  their statistics are in the file, and '
        'are ignored like the rest of the frozen weights'
    )
  broken = [p for p, x in found.flat.items() if not np.isfinite(x).all()]
  if broken:
    print(f'  warning: not all numbers are finite in {len(broken)} tensors:')
    _list('not finite', broken, verbose)


def _list(title: str, items: Sequence[str], verbose: bool):
  shown = items if verbose else items[:_SHOWN]
  more = len(items) - len(shown)
  print(f'  {title}: {len(items)}')
  for item in shown:
    print(f'    {item}')
  if more:
    print(f'    ... and {more} more (--verbose lists all)')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
