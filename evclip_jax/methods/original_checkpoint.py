"""Describes an original's checkpoints by tables of names, and converts them."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes
from evclip_jax.weights import clip_names, own_file, table
from evclip_jax.weights.table import Converted, Rule

Tensors = Mapping[str, np.ndarray]
# The number of a block in a path.
_NUMBER = re.compile(r'(?<=\.)(\d{1,3})(?=/|$)')
# Branch of CLIP -> pattern of OpenAI's names in its blocks, and stand-ins for
# the tensors that determine sizes, for checkpoints without this branch.
_TOWERS = {
    'clip/visual/': (
        r'visual\.(layer\d|transformer\.resblocks\.\d+\.(attn|mlp|ln))',
        {
            'visual.conv1.weight': np.empty((1, 1, 1, 1)),
            'visual.positional_embedding': np.empty((2, 1)),
            'visual.transformer.resblocks.0.': np.empty(1),
        },
    ),
    'clip/text/': (
        r'transformer\.resblocks\.\d+\.(attn|mlp|ln)',
        {
            'positional_embedding': np.empty((1, 1)),
            'transformer.resblocks.0.': np.empty(1),
        },
    ),
}


@dataclasses.dataclass(frozen=True)
class ClipPart:
  """Describes where CLIP's tensors are in a checkpoint.

  Attributes:
    image: prefix of names in the image tower, instead of 'visual.'.
    text: prefix of names in the text tower; None = it is missing, and so is the
      logit scale.
    without: paths that are missing, such as 'text/token_embedding'.
  """

  image: str
  text: str | None = None
  without: tuple[str, ...] = ()

  @property
  def rules(self) -> tuple[Rule, ...]:
    """Returns CLIP's table, with these prefixes and with paths 'clip/...'."""
    out = []
    for rule in clip_names.RULES:
      name = rule.original
      if name.startswith(r'visual\.'):
        name = re.escape(self.image) + name.removeprefix(r'visual\.')
      elif self.text is None:
        continue
      elif name != 'logit_scale':
        name = re.escape(self.text) + name
      out.append(Rule(name, f'clip/{rule.path}', rule.layout))
    return tuple(out)

  def shapes(
      self, tensors: Tensors, embed_dim: int = 1
  ) -> dict[str, tuple[int, ...]]:
    """Returns path -> shape of all leaves of CLIP that the file should have.

    If a tower's blocks have no tensors, the tower was not trained, and only its
    leaves in the checkpoint are returned.

    Args:
      tensors: the checkpoint.
      embed_dim: E, if no tensor of CLIP determines it.

    Raises:
      WeightsError: the tensors are not those of a CLIP.
    """
    plain = {}
    for name, tensor in tensors.items():
      if name.startswith(self.image):
        plain['visual.' + name.removeprefix(self.image)] = tensor
      elif self.text is not None and name.startswith(self.text):
        plain[name.removeprefix(self.text)] = tensor
    given = {
        'token_embedding.weight': np.empty((1, 1)),
        'visual.proj': np.empty((1, embed_dim)),
    }
    if 'visual.layer1.0.conv1.weight' in plain:
      del given['visual.proj']  # a ResNet
    whole = ()
    for tower, (blocks, stand_ins) in _TOWERS.items():
      if any(re.match(blocks, name) for name in plain):
        whole += (tower,)
      else:
        given |= stand_ins
    if len(whole) == 2:
      whole += ('clip/logit_scale',)
    if 'clip/text/' not in whole:
      given['text_projection'] = (given | plain).get(
          'visual.proj', np.empty((1, embed_dim))
      )
    trained = {
        path: shape
        for path, shape in _shapes_of(tensors, self.rules).items()
        if not path.startswith(whole)
    }
    found = clip_names.shapes(sizes.infer(given | plain))
    return trained | {
        f'clip/{path}': shape
        for path, shape in found.items()
        if f'clip/{path}'.startswith(whole) and path not in self.without
    }


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """Describes one kind of checkpoint; a method's module has it as `CHECKPOINT`.

  Attributes:
    kind, label: its name in files and in messages.
    sign: pattern of a tensor name that only this kind has.
    unless: pattern of a tensor name that excludes this kind.
    outer: prefix of all names in the original's files; the other patterns are
      for names without it.
    rules: the table of the method's own leaves, with paths 'method/...'.
    ignore: patterns of names that are not needed.
    clip: where CLIP's tensors are, if they are read too, or None.
    needs: paths of required own leaves. A kernel also requires its bias, and
      each block the leaves that any block has.
    last_blocks: whether the first blocks may have no leaves.
    infer: tensors -> sizes, for `shapes`, perhaps with CLIP's `embed_dim`; None
      = own leaves of any shape.
    shapes: sizes -> {path: shape} of the required own leaves.
    read: tensors -> `Converted`, instead of all the above.
    write: (flat, notes, CLIP or None) -> tensors, instead of `to_original`.
  """

  kind: str
  label: str
  sign: str
  unless: str = '$'
  outer: str = ''
  rules: tuple[Rule, ...] = ()
  ignore: tuple[str, ...] = ()
  clip: ClipPart | None = None
  needs: tuple[str, ...] = ()
  last_blocks: bool = False
  infer: Callable[[Tensors], Any] | None = None
  shapes: Callable[[Any], dict[str, tuple[int, ...]]] | None = None
  read: Callable[[Tensors], Converted] | None = None
  write: Callable[[Tensors, Mapping[str, str], Any], dict] | None = None

  @property
  def part(self) -> str:
    """Returns 'method', or 'several' if CLIP's leaves are read too."""
    return own_file.SEVERAL if self.clip else 'method'

  def recognise(self, tensors: Tensors) -> bool:
    """Returns whether tensors are of this kind, by their names."""
    names = [name.removeprefix(self.outer) for name in tensors]
    return any(re.fullmatch(self.sign, name) for name in names) and not any(
        re.fullmatch(self.unless, name) for name in names
    )

  def from_original(self, tensors: Tensors) -> Converted:
    """Converts a checkpoint; paths lack 'method/' if `part` is 'method'.

    Raises:
      WeightsError: the tensors do not fit the table, or CLIP is incomplete.
    """
    of_this = {'kind': self.kind, 'label': self.label, 'part': self.part}
    if self.read:
      return dataclasses.replace(self.read(tensors), **of_this)
    tensors = {n.removeprefix(self.outer): x for n, x in tensors.items()}
    found_sizes = self.infer(tensors) if self.infer else None
    if self.infer:
      shapes = self.shapes(found_sizes)
    else:
      found = _shapes_of(tensors, self.rules)
      shapes = dict.fromkeys(self._complete([*self.needs, *found]), ()) | found
    if self.clip:
      width = getattr(found_sizes, 'embed_dim', 1)
      shapes = shapes | self.clip.shapes(tensors, width)
    found = table.convert(
        tensors, self._all_rules, self.ignore, shapes, found_sizes
    )
    flat = found.flat
    if not self.clip:
      flat = {p.removeprefix('method/'): x for p, x in flat.items()}
    return dataclasses.replace(found, flat=flat, **of_this)

  def to_original(self, flat: Tensors) -> dict[str, np.ndarray]:
    """Renames leaves, by whole path, to the original's names."""
    state = table.to_original(flat, self._all_rules)
    return {self.outer + name: value for name, value in state.items()}

  def to_checkpoint(
      self, flat: Tensors, notes: Mapping[str, str], clip: Tensors | None
  ) -> dict[str, np.ndarray]:
    """Writes trained leaves as a checkpoint of the original.

    Args:
      flat: whole path -> array.
      notes: metadata of the file from which they come.
      clip: flat leaves of a CLIP to merge in, or None.

    Raises:
      UserError: a CLIP is given, but these checkpoints contain none.
    """
    if self.write:
      return self.write(flat, notes, clip)
    self.refuse(clip)
    return self.to_original(flat)

  def refuse(self, clip: Tensors | None):
    """Raises UserError if a CLIP is given."""
    if clip is not None:
      raise UserError(f'--clip is for EZ-CLIP; the file is {self.label}.')

  @property
  def _all_rules(self) -> tuple[Rule, ...]:
    return (*self.rules, *(self.clip.rules if self.clip else ()))

  def _complete(self, found: Iterable[str]) -> list[str]:
    """Adds to paths the same ones in other blocks, and kernel or bias."""
    blocks, whole = {}, set()
    for path in found:
      stem, *rest = _NUMBER.split(path)
      if not rest:
        whole.add(path)
        continue
      numbers, tails = blocks.setdefault(stem, (set(), set()))
      numbers.add(int(rest[0]))
      tails.add(rest[1])
    for stem, (numbers, tails) in blocks.items():
      first = min(numbers) if self.last_blocks else 0
      for i in range(first, max(numbers) + 1):
        whole |= {f'{stem}{i}{tail}' for tail in tails}
    for one, other in ('kernel', 'bias'), ('bias', 'kernel'):
      whole |= {
          path.removesuffix(one) + other
          for path in whole
          if path.endswith(f'/{one}')
      }
    return [p for p in sorted(whole) if table.leads_to(p, self.rules)]


def _shapes_of(
    tensors: Tensors, rules: Iterable[Rule]
) -> dict[str, tuple[int, ...]]:
  """Returns path -> shape of the leaves that tensors become."""
  shapes = {}
  for name, tensor in tensors.items():
    for rule in rules:
      if match := re.fullmatch(rule.original, name):
        value = table.laid_out(tensor, rule.layout)
        shapes[match.expand(rule.path)] = np.shape(value)
  return shapes
