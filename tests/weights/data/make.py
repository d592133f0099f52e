"""Writes the torch files beside it; these are from torch 2.13.0 on a CPU.

Run by hand, in an environment with torch: python make.py FOLDER. The tests
need no torch; they compute the values by the same formulas.
"""

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn


def ramp(*shape):
  """Returns 0, 1/8, 2/8, ..., exact in every floating-point dtype here."""
  return torch.arange(np.prod(shape, dtype=int)).reshape(shape) / 8


def tensors():
  """Makes tensors of every dtype and layout for the reader."""
  shared = ramp(4, 6)
  return OrderedDict(
      float32=ramp(2, 3),
      float64=ramp(2, 3).double(),
      float16=ramp(2, 3).half(),
      bfloat16=ramp(2, 3).bfloat16(),
      int64=torch.arange(-2, 4),
      int32=torch.arange(-2, 4, dtype=torch.int32),
      int16=torch.arange(-2, 4, dtype=torch.int16),
      int8=torch.arange(-2, 4, dtype=torch.int8),
      uint8=torch.arange(6, dtype=torch.uint8),
      bool=torch.tensor([True, False, True]),
      complex64=torch.complex(ramp(3), ramp(3) + 1),
      scalar=torch.tensor(2.5),
      bfloat16_scalar=torch.tensor(2.5).bfloat16(),
      empty=torch.zeros(0, 3),
      shared_whole=shared,
      shared_rows=shared[1:3],
      shared_columns=shared[:, 2:4],
      transposed=shared.t(),
      expanded=ramp(1, 3).expand(4, 3),
      parameter=nn.Parameter(ramp(2, 2)),
  )


def schedule(parameters):
  """Makes a schedule with its optimizer, which Dassl's trainers pickle."""
  optimizer = torch.optim.AdamW(parameters, lr=0.0)
  sum(p.sum() for p in parameters).backward()
  optimizer.step()
  return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)


def checkpoint():
  """Makes a checkpoint like EV-CLIP's, with objects beside the state dict."""
  parameter = nn.Parameter(ramp(2, 2))
  cosine = schedule([parameter])
  state = OrderedDict({
      'image_prompt_learner.dec.context_scale': torch.tensor(0.5),
      'logit_scale': torch.tensor(4.0),
      'weight': parameter,
  })
  return {
      'state_dict': state,
      'epoch': 5,
      'optimizer': cosine.optimizer.state_dict(),
      'scheduler': {'successor': cosine, 'last_epoch': 5, '_last_lr': [0.0]},
      'val_result': np.float64(12.5),
      'names': {'a', 'b'},
      'table': np.arange(6.0).reshape(2, 3),
  }


class Block(nn.Module):
  """Has parameters, buffers and nested layers, like OpenAI's CLIP."""

  def __init__(self):
    super().__init__()
    self.positional_embedding = nn.Parameter(ramp(2, 3).half())
    self.layers = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.LayerNorm(2))
    self.register_buffer('input_resolution', torch.tensor(224))
    self.scale = 0.25
    with torch.no_grad():
      self.layers[0].weight.copy_(ramp(2, 3))
      self.layers[0].bias.copy_(ramp(2))

  def forward(self, x: torch.Tensor):
    """Any computation will do."""
    return self.layers(x) * self.scale + self.positional_embedding.float().sum()


def main(folder: str):
  """Writes the files."""
  out = Path(folder)
  torch.save(tensors(), out / 'zip.pt')
  torch.save(tensors(), out / 'legacy.pt', _use_new_zipfile_serialization=False)
  torch.save(checkpoint(), out / 'model-best.pth.tar')
  torch.save(
      checkpoint(),
      out / 'model-legacy.pth.tar',
      _use_new_zipfile_serialization=False,
  )
  torch.jit.save(torch.jit.script(Block().eval()), out / 'script.pt')
  traced = torch.jit.trace(Block().eval(), torch.ones(1, 3))
  torch.jit.save(traced, out / 'traced.pt')


if __name__ == '__main__':
  main(sys.argv[1])
