"""Writes files whole or not at all, even if the program is killed."""

import contextlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary path, whose file replaces `path` at the end.

  If the body raises, `path` stays as it was. The temporary file lies in the
  same folder; each writer, also in the same process, has its own.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:12]}')
  try:
    yield temporary
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def write(path: str | os.PathLike, content: str | bytes):
  """Writes bytes, or text as UTF-8; makes the folder if need be.

  Surrogate escapes, as in file names that are not UTF-8, become their bytes.
  """
  if isinstance(content, str):
    content = content.encode(errors='surrogateescape')
  pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as temporary:
    temporary.write_bytes(content)


def write_json(path: str | os.PathLike, value: Any):
  """Writes a value as indented JSON."""
  write(path, json.dumps(value, indent=2) + '\n')
