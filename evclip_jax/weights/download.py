"""Fetches published files: resumable, checked, whole or not there at all."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from data_pipelines.errors import UserError
from evclip_jax.weights.cache import default_cache_dir
from evclip_jax.weights.hashes import file_sha256
from evclip_jax.weights.published import Published, find

_CHUNK = 2**20
_TIMEOUT_SECONDS = 30
# Attempts without a new byte before giving up, and the wait between them.
_ATTEMPTS = 5
_FIRST_WAIT_SECONDS = 1.0

# (bytes here, bytes in all or None) after every chunk.
Progress = Callable[[int, int | None], None]

# What a dropped connection raises.
_DROPPED = (
    ConnectionError,
    TimeoutError,
    http.client.HTTPException,
    ssl.SSLError,
    urllib.error.URLError,
)


def fetch(
    name: str,
    cache_dir: str | Path = '',
    progress: Progress = lambda done, total: None,
) -> Path:
  """The path of a published file in the cache folder; fetched if not there.

  Raises:
    UserError: an unknown name; no connection; a wrong hash. The message says
      where a file fetched by hand can be put.
  """
  return fetch_published(find(name), name, cache_dir, progress)


def fetch_published(
    published: Published,
    name: str,
    cache_dir: str | Path = '',
    progress: Progress = lambda done, total: None,
    first_wait_seconds: float = _FIRST_WAIT_SECONDS,
) -> Path:
  """As `fetch`, for a file that need not be in the table."""
  folder = Path(cache_dir) if cache_dir else default_cache_dir()
  target = folder / published.filename
  if target.is_file():
    _check_present(target, published, name)
    return target
  try:
    folder.mkdir(parents=True, exist_ok=True)
    if published.url.startswith('hf://'):
      return _from_hub(published, target)
    with _lock(target.with_name(target.name + '.lock')):
      # Another process may have fetched it while this one waited.
      if not target.is_file():
        part = _Part(target.with_name(target.name + '.part'))
        _download(published, name, target, part, progress, first_wait_seconds)
  except OSError as e:
    raise UserError(
        f'could not write to {folder}: {e.strerror or e}.\n  Set '
        '--cache_dir to a folder with room.'
    ) from e
  return target


class _Part:
  """A file in the making and what the server said of it."""

  def __init__(self, path: Path):
    self.path = path
    self.note = path.with_name(path.name + '.json')

  def bytes_here(self) -> int:
    return self.path.stat().st_size if self.path.exists() else 0

  def validator(self, url: str) -> str:
    """The ETag or date that pins the version begun, or ''."""
    try:
      noted = json.loads(self.note.read_text())
      return noted['validator'] if noted['url'] == url else ''
    except (OSError, ValueError, KeyError, TypeError):
      return ''

  def begin(self, url: str, headers: http.client.HTTPMessage):
    etag = headers.get('ETag') or ''
    # A weak tag does not promise the same bytes.
    strong = '' if etag.startswith('W/') else etag
    validator = strong or headers.get('Last-Modified') or ''
    self.note.write_text(json.dumps({'url': url, 'validator': validator}))

  def remove(self):
    self.path.unlink(missing_ok=True)
    self.note.unlink(missing_ok=True)


def _download(
    published: Published,
    name: str,
    target: Path,
    part: _Part,
    progress: Progress,
    wait_seconds: float,
):
  """Fetches in as many attempts as bring new bytes, checks, renames."""
  failures = 0
  while True:
    before = part.bytes_here()
    resumed = before > 0
    try:
      _attempt(published, part, progress)
    except urllib.error.HTTPError as e:
      if e.code < 500 and e.code not in (408, 429):
        raise _offline(published, name, target, _reason(e)) from e
      error: Exception = e
    except _DROPPED as e:
      # A name that cannot be resolved will not be in a few seconds either.
      if isinstance(getattr(e, 'reason', None), socket.gaierror):
        raise _offline(published, name, target, _reason(e)) from e
      error = e
    else:
      if _right(published, part):
        os.replace(part.path, target)
        part.remove()
        return
      part.remove()
      # Another version may have been begun; a second look starts afresh.
      if resumed:
        continue
      raise UserError(
          f'{name}: what {published.url} sent does not have the sha256 '
          f'{published.sha256} and was removed.\n  Try again later, or put a '
          f'file fetched elsewhere at {target}.'
      )
    failures = 0 if part.bytes_here() > before else failures + 1
    if failures >= _ATTEMPTS:
      raise _offline(published, name, target, _reason(error)) from error
    time.sleep(wait_seconds * 2**failures)


def _attempt(published: Published, part: _Part, progress: Progress):
  """One request; what arrives is kept even if the connection drops.

  Raises:
    ConnectionError: among others, if fewer bytes came than were announced.
  """
  here = part.bytes_here()
  validator = part.validator(published.url)
  # Without a hash only the server can tell that the rest belongs to the
  # beginning.
  if here and not (validator or published.sha256):
    part.remove()
    here = 0
  request = urllib.request.Request(published.url)
  # Compressed, a length would not be the file's.
  request.add_header('Accept-Encoding', 'identity')
  if here:
    request.add_header('Range', f'bytes={here}-')
    if validator:
      request.add_header('If-Range', validator)
  try:
    response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
  except urllib.error.HTTPError as e:
    if e.code != 416 or not here:
      raise
    # All of it is here already, or more than there is.
    if e.headers.get('Content-Range') == f'bytes */{here}':
      return
    part.remove()
    raise ConnectionError('the server has another version') from e
  with response:
    start = _range_start(response) if response.status == 206 else 0
    if start != here:
      here = 0
      if start:
        part.remove()
        raise ConnectionError('the server sent another range')
    if not here:
      part.begin(published.url, response.headers)
    length = response.headers.get('Content-Length')
    total = here + int(length) if length and length.isdigit() else None
    with part.path.open('ab' if here else 'wb') as f:
      progress(here, total)
      while chunk := response.read(_CHUNK):
        f.write(chunk)
        here += len(chunk)
        progress(here, total)
  if total is not None and here != total:
    raise ConnectionError(f'only {here:,} of {total:,} bytes came')


def _range_start(response: http.client.HTTPResponse) -> int:
  """First byte of a partial answer; -1 if it does not say."""
  content_range = response.headers.get('Content-Range') or ''
  start = content_range.removeprefix('bytes ').partition('-')[0]
  return int(start) if start.isdigit() else -1


def _right(published: Published, part: _Part) -> bool:
  return not published.sha256 or file_sha256(part.path) == published.sha256


def _check_present(target: Path, published: Published, name: str):
  if published.sha256 and (found := file_sha256(target)) != published.sha256:
    raise UserError(
        f'{target} is not the published {name}: its sha256 is {found}, wanted '
        f'{published.sha256}.\n  Delete it and run "python -m '
        f'evclip_jax.download {name}".'
    )


def _from_hub(published: Published, target: Path) -> Path:
  """Fetches 'hf://owner/name/file' with the hub's own client."""
  # Only this function needs it, and importing it takes a while.
  import huggingface_hub

  owner, name, file = published.url.removeprefix('hf://').split('/', 2)
  try:
    path = huggingface_hub.hf_hub_download(f'{owner}/{name}', file)
  except (OSError, ValueError, RuntimeError) as e:
    page = f'https://huggingface.co/{owner}/{name}'
    raise UserError(
        f'could not fetch {file} of {page} ({_reason(e)}).\n  Fetch it by '
        f'hand and put it at {target}.'
    ) from e
  temporary = target.with_name(target.name + '.part')
  shutil.copyfile(path, temporary)
  os.replace(temporary, target)
  return target


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
  """Lets one process at a time write; released also when it is killed."""
  try:
    import fcntl
  except ImportError:
    # Not a Unix system: two downloads of one file at once are not guarded.
    yield
    return
  with path.open('w') as f:
    fcntl.flock(f, fcntl.LOCK_EX)
    yield
  path.unlink(missing_ok=True)


def _offline(
    published: Published, name: str, target: Path, reason: str
) -> UserError:
  host = urllib.parse.urlsplit(published.url).netloc
  return UserError(
      f'could not fetch {name} from {host} ({reason}).\n  Run it again to go '
      f'on, or fetch {published.url} by hand and put it at {target}.'
  )


def _reason(error: BaseException) -> str:
  if isinstance(error, urllib.error.HTTPError):
    return f'HTTP {error.code}'
  inner = getattr(error, 'reason', None) or error
  text = getattr(inner, 'strerror', None) or str(inner) or type(inner).__name__
  return str(text).splitlines()[0]
