"""What a method says of its original's checkpoints: a table of tensor names."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes
from evclip_jax.weights import clip_names, own_file, table
from evclip_jax.weights.table import Converted, Rule

Tensors = Mapping[str, np.ndarray]
# OpenAI's names that sizes are read from, for checkpoints without them.
_STAND_INS = {
    'text_projection': np.empty((1, 1)),
    'positional_embedding': np.empty((1, 1)),
    'token_embedding.weight': np.empty((1, 1)),
    'transformer.resblocks.0.': np.empty(1),
    'visual.proj': np.empty((1, 1)),
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """One kind of checkpoint; a method's module holds it as `CHECKPOINT`.

  Attributes:
    kind, label: what files call it, and what people do.
    sign: pattern of a tensor's name that shows the kind.
    unless: pattern of one that shows another kind.
    outer: what stands before every name in files of the original, or is taken
      off on reading; no other pattern has it.
    rules: the table, with whole paths: 'method/...', 'clip/...'.
    ignore: patterns of names that are not needed.
    clip_shapes: tensors -> shapes of CLIP's leaves in it, by path; None = it
      holds none that are wanted.
    part: 'method', or `own_file.SEVERAL` where CLIP's leaves are wanted too.
    read: tensors -> `Converted`, in place of the table.
    write: (flat, notes, CLIP or None) -> tensors, likewise.
  """

  kind: str
  label: str
  sign: str
  unless: str = '$'
  outer: str = ''
  rules: tuple[Rule, ...] = ()
  ignore: tuple[str, ...] = ()
  clip_shapes: Callable[[Tensors], dict[str, tuple[int, ...]]] | None = None
  part: str = 'method'
  read: Callable[[Tensors], Converted] | None = None
  write: Callable[[Tensors, Mapping[str, str], Any], dict] | None = None

  def recognise(self, tensors: Tensors) -> bool:
    """Returns whether tensors are of this kind."""
    names = [name.removeprefix(self.outer) for name in tensors]
    return any(re.fullmatch(self.sign, name) for name in names) and not any(
        re.fullmatch(self.unless, name) for name in names
    )

  def from_original(self, tensors: Tensors) -> Converted:
    """Converts a checkpoint; paths lack 'method/' where `part` says it.

    Raises:
      WeightsError: the tensors do not fit the table, or are no whole CLIP.
    """
    if self.read:
      return self.read(tensors)
    tensors = {n.removeprefix(self.outer): x for n, x in tensors.items()}
    shapes = self.clip_shapes(tensors) if self.clip_shapes else {}
    for name, tensor in tensors.items():
      for rule in self.rules:
        match = re.fullmatch(rule.original, name)
        if match and rule.path.startswith('method/'):
          value = rule.layout.forward(np.asarray(tensor))
          shapes[match.expand(rule.path)] = value.shape
    found = table.convert(tensors, self.rules, self.ignore, shapes)
    if self.part == own_file.SEVERAL:
      return found
    flat = {p.removeprefix('method/'): x for p, x in found.flat.items()}
    return dataclasses.replace(found, flat=flat)

  def to_checkpoint(
      self, flat: Tensors, notes: Mapping[str, str], clip: Tensors | None
  ) -> dict[str, np.ndarray]:
    """Writes leaves, or gradients, under the original's names.

    Args:
      flat: whole path -> array.
      notes: metadata of the file that they come from.
      clip: flat leaves of a CLIP to merge in, or None.

    Raises:
      UserError: there is a CLIP, and these checkpoints have no place for it.
    """
    if self.write:
      return self.write(flat, notes, clip)
    self.refuse(clip)
    state = table.to_original(flat, self.rules)
    return {self.outer + name: value for name, value in state.items()}

  def refuse(self, clip: Tensors | None):
    """Raises UserError if there is a CLIP to merge in."""
    if clip is not None:
      raise UserError(f'--clip is for EZ-CLIP; the file is {self.label}.')


def clip_rules(image: str, text: str, whole: str) -> tuple[Rule, ...]:
  """Returns CLIP's table with targets 'clip/...' and these prefixes.

  Args:
    image: what stands before the names of the image tower, for 'visual.'.
    text, whole: before those of the text tower, and before 'logit_scale'.
  """
  out = []
  for rule in clip_names.RULES:
    prefix, name = text, rule.original
    if name == 'logit_scale':
      prefix = whole
    elif name.startswith(r'visual\.'):
      prefix, name = image, name.removeprefix(r'visual\.')
    path = 'clip/' + rule.path
    out.append(Rule(re.escape(prefix) + name, path, rule.layout))
  return tuple(out)


def clip_shapes(
    tensors: Tensors,
    image: str,
    text: str | None = None,
    without: tuple[str, ...] = (),
    embed_dim: int = 1,
) -> dict[str, tuple[int, ...]]:
  """Returns the shape of each of CLIP's leaves that a checkpoint should have.

  Args:
    tensors: the checkpoint.
    image, text: prefixes as for `clip_rules`; no text = the image tower only.
    without: paths that such checkpoints lack, such as 'text/token_embedding'.
    embed_dim: E, where no tensor of the text tower tells.

  Raises:
    WeightsError: the tensors are not those of a CLIP.
  """
  plain = {}
  for name, tensor in tensors.items():
    if name.startswith(image):
      plain['visual.' + name.removeprefix(image)] = tensor
    elif text is not None and name.startswith(text):
      plain[name.removeprefix(text)] = tensor
  given = _STAND_INS | {'text_projection': np.empty((1, embed_dim))}
  if 'visual.layer1.0.conv1.weight' in plain:
    del given['visual.proj']  # a ResNet
  if text is not None:
    del given['transformer.resblocks.0.']
  found = clip_names.shapes(sizes.infer(given | plain))
  towers = ('visual/',) if text is None else ('visual/', 'text/', 'logit_scale')
  return {
      f'clip/{path}': shape
      for path, shape in found.items()
      if path.startswith(towers) and path not in without
  }
