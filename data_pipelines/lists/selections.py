"""Reads EV-CLIP's published few-shot selections, `shot_8-seed_1.pkl`.

A pickle can contain arbitrary code. None of it is run: `unpickle` keeps the one
known class as plain data and refuses every other name.
"""

import io
import pathlib
import pickle
import re
import struct

from data_pipelines import unpickle
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import Item

_CLASS = 'dassl.data.datasets.base_dataset.Datum_video'
_PIECE = re.compile(r'(.+)\+(\d+)\+(\d+)')
# Beginning of pickles of protocols 0 and 1 with a dict, list, tuple or object.
_OLD = re.compile(rb'[(]?[dl]p0\n|[}\])]q\x00|c[\w.]+\n\w+\n(p\d+\n|q\x00)')
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError),
    *(RecursionError, TypeError, ValueError, pickle.UnpicklingError),
    struct.error,
)


def is_pickle(data: bytes) -> bool:
  """Returns whether a file begins like a binary pickle."""
  return data[:1] == b'\x80'


def check_text(path: pathlib.Path, data: bytes):
  """Raises UserError for a pickle of an unsupported protocol."""
  if path.suffix in ('.pkl', '.pickle') or _OLD.match(data):
    raise UserError(
        f'{path} is not a text file, and as a pickle it is of an old protocol '
        '(0 or 1) or damaged. Only binary pickles of EV-CLIP are read; give a '
        'text list instead.'
    )


def read(path, data: bytes) -> list[Item]:
  """Reads the clips of a selection, in order.

  Paths are those of the authors' machine; labels are numbers, with names.

  Raises:
    UserError: a damaged pickle, one that names anything but such clips, or
      one with other contents.

  Source: EV-CLIP, shots/<data set>/shot_K-seed_S.pkl, written by
    dassl/data/datasets/base_dataset.py.
  """
  try:
    root = unpickle.read(io.BytesIO(data), _find, _persistent)
  except unpickle.Refused as e:
    raise UserError(f'{path} is not a text file, and {e}') from None
  except _DAMAGE as e:
    raise UserError(
        f'{path} is not a text file, and as a pickle it is damaged or cut '
        f'short ({type(e).__name__}). Copy it again.'
    ) from e
  clips = root.get('train') if isinstance(root, dict) else None
  if not isinstance(clips, list):
    raise UserError(
        f'{path} is a pickle, but no selection of EV-CLIP: wanted a dict with '
        f"the list 'train', found {type(root).__name__}."
    )
  return [_item(path, n, clip) for n, clip in enumerate(clips, 1)]


def _find(module: str, name: str) -> unpickle.Global:
  if f'{module}.{name}' != _CLASS:
    raise unpickle.Refused(
        f'its pickle names {module + "." + name!r}, which no list of clips '
        'needs. Nothing of it was run.'
    )
  return unpickle.inert_class(_CLASS)


def _persistent(_):
  raise unpickle.Refused('its pickle refers to another file.')


def _item(path, number: int, clip) -> Item:
  state = clip.state if isinstance(clip, unpickle.Inert) else {}
  file, label = state.get('_impath'), state.get('_label')
  name = state.get('_classname')
  if (
      not (isinstance(file, str) and file and isinstance(name, str))
      or type(label) is not int
      or label < 0
  ):
    # Types only: the text of a nested value may be endless.
    kinds = [type(value).__name__ for value in (file, label, name)]
    raise UserError(
        f'{path}, clip {number}: wanted a path, a number from 0 and a class '
        f'name, found {", ".join(kinds)}.'
    )
  file = file.replace('\\', '/')
  first = stop = None
  # EPIC-Kitchens: <video>+<first image>+<last image>, counted from 1.
  if match := _PIECE.fullmatch(file):
    file, first, stop = match[1], max(int(match[2]) - 1, 0), int(match[3])
  return Item(file, label, line=number, first=first, stop=stop, class_name=name)
