"""Computes the features of frozen networks once, and caches them in a bank.

A bank holds the result of `Method.frozen` for each view of each clip of a list.
Its name in the cache folder is a hash of all that decides it: the files and
views, the frozen weights, and the program given to the compiler. So methods
that process clips alike share a bank, whatever else differs.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from evclip_jax.reporting import log
from evclip_jax.training import devices, steps
from evclip_jax.training.session import Session

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Bank:
  """Holds the frozen features of a list.

  Attributes:
    hash: of all that decides them.
    fields: per row: 'label', 'mask', 'index' and perhaps 'view'.
    frozen: the results of `Method.frozen`, [rows, ...] each.
    computed: whether this run computed them or found them in the cache.
  """

  hash: str
  fields: Arrays
  frozen: Arrays
  computed: bool

  def about(self, views: int) -> dict[str, Any]:
    """Describes the bank of the training clips for the run card."""
    return {
        'views': views,
        'rows': len(self.fields['index']),
        'hash': self.hash,
        'computed': self.computed,
        'meaning': (
            f'trained on frozen features of {views} views of each clip, which '
            'epochs take by turns; without train.bank_views each epoch has new '
            'ones'
        ),
    }

  def rows(self, places: np.ndarray) -> Arrays:
    """Returns the features [*places.shape, ...] of the rows at `places`."""
    return {name: x[places] for name, x in self.frozen.items()}


def batches(run: Session, data: Any) -> Iterator[dict[str, Any]]:
  """Yields the batches of a scored list, from a bank if the run uses banks."""
  if run.bank_folder is None:
    yield from data.batches()
    return
  own = of_list(run, data, None)
  size = data.batch_sizes['eval.batch_size'] // jax.process_count()
  total = len(own.fields['index'])
  per_step = size * jax.process_count()
  for begin in range(jax.process_index() * size, total, per_step):
    places = begin + np.arange(size)
    there = places < total
    places = np.where(there, places, 0)
    fields = {name: x[places] for name, x in own.fields.items()}
    fields['mask'] = np.where(there, fields['mask'], 0).astype(np.float32)
    yield fields | {'frozen': own.rows(places)}


def of_list(run: Session, data: Any, seed: int | None) -> Bank:
  """Finds the bank of a list in the cache folder, or computes it.

  Several processes always compute it, as their caches may differ. `data` is an
  `EvalSet` (`seed` None) or `FixedViews` of the training clips, with the `seed`
  of their random keys.
  """
  known = run.banks.get((data.digest, seed))
  if known is None:
    known = run.banks[data.digest, seed] = _of_list(run, data, seed)
  return known


def _of_list(run: Session, data: Any, seed: int | None) -> Bank:
  step = steps.make_frozen_step(run.method, run.mesh, run.shardings, seed)
  alone = jax.process_count() == 1
  parts, key = [], ''
  total = data.num_clips * data.num_views
  given = data.batches()
  with log.progress(total, f'features {data.name}', unit='clip') as bar:
    for number, batch in enumerate(given):
      placed = devices.put_batch(run.mesh, batch)
      number = devices.put(run.mesh, np.int32(number))
      if not parts:
        program = step.lower(number, run.frozen, placed).as_text()
        what = data.digest, seed, sorted(run.hashes.items()), program
        key = hashlib.sha256(repr(what).encode()).hexdigest()[:32]
        folder = run.bank_folder / key
        if alone and (found := _read(folder)):
          given.close()
          return Bank(key, *found, computed=False)
      rows = jax.device_get(step(number, run.frozen, placed))
      parts.append(valid(rows))
      bar.update(len(parts[-1]['index']))
  rows = joined(parts)
  frozen = rows.pop('frozen')
  if len(rows['index']) < total and not data.skips:
    raise ValueError(f'not every clip of {data.name} came once.')
  if log.is_first() and alone:
    _write(folder, rows, frozen)
  return Bank(key, rows, frozen, computed=True)


def rows_of(
    batches: Iterable[dict[str, Any]],
    step: Callable[[dict[str, Any]], dict[str, Any]],
    mesh: Mesh,
    on_rows: Callable[[int], Any] = lambda number: None,
) -> Iterator[dict[str, Any]]:
  """Runs a step on each batch, and yields its rows on the host.

  Padding rows are left out; `on_rows` is called with the number of the others.
  """
  for batch in batches:
    rows = valid(jax.device_get(step(devices.put_batch(mesh, batch))))
    on_rows(len(rows['mask']))
    yield rows


def valid(rows: dict[str, Any]) -> dict[str, Any]:
  """Removes the padding rows of a batch."""
  there = rows['mask'] > 0
  return jax.tree.map(lambda x: x[there], rows)


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
  """Concatenates the rows of several batches."""
  return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def _write(folder: pathlib.Path, fields: Arrays, frozen: Arrays):
  """Writes a bank whole or not at all; prints a note if it cannot."""
  unfinished = folder.with_name(f'.{folder.name}.{uuid.uuid4().hex[:12]}')
  try:
    unfinished.mkdir(parents=True)
    np.savez(unfinished / 'fields.npz', **fields)
    for name, x in frozen.items():
      np.save(unfinished / f'{name}.npy', x)
    if not folder.exists():
      os.rename(unfinished, folder)
  except OSError as e:
    log.log(
        f'note: the features cannot be kept in {folder.parent}: '
        f'{e.strerror or e} (cache_dir).'
    )
  finally:
    shutil.rmtree(unfinished, ignore_errors=True)


def _read(folder: pathlib.Path) -> tuple[Arrays, Arrays] | None:
  """Reads a bank; its features are memory-mapped."""
  try:
    with np.load(folder / 'fields.npz') as file:
      fields = dict(file)
    frozen = {
        path.stem: np.load(path, mmap_mode='r')
        for path in sorted(folder.glob('*.npy'))
    }
  except (OSError, ValueError):
    return None
  return fields, frozen
