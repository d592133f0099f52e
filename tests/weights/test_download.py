"""Downloads from a server on this machine that drops, cuts and lies."""

import hashlib
import http.server
import json
import threading

import huggingface_hub
import pytest

from data_pipelines.errors import UserError
from evclip_jax.weights import download, published
from evclip_jax.weights.published import Published

BODY = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(BODY).hexdigest()
CHUNK = len(BODY) // 4


class Server(http.server.ThreadingHTTPServer):
  """Its attributes say how it behaves; `seen` lists the Range headers."""

  def __init__(self):
    super().__init__(('127.0.0.1', 0), Handler)
    self.body = BODY
    self.ranges = True
    self.etag = '"one"'
    # Bytes sent before the connection is dropped, one entry per request.
    self.cuts = []
    self.status = None
    self.wrong_range = False
    self.seen = []

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_port}/folder/weights.pt'


class Handler(http.server.BaseHTTPRequestHandler):

  def do_GET(self):
    server = self.server
    wanted = self.headers.get('Range')
    server.seen.append(wanted)
    if server.status:
      self.send_error(server.status)
      return
    start = 0
    if wanted and server.ranges:
      start = int(wanted.removeprefix('bytes=').removesuffix('-'))
    if self.headers.get('If-Range') not in (None, server.etag):
      start = 0
    size = len(server.body)
    if start >= size:
      self.send_response(416)
      self.send_header('Content-Range', f'bytes */{size}')
      self.end_headers()
      return
    body = server.body[start:]
    self.send_response(206 if start else 200)
    if start:
      first = start + 1 if server.wrong_range else start
      self.send_header('Content-Range', f'bytes {first}-{size - 1}/{size}')
    if server.etag:
      self.send_header('ETag', server.etag)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body[: server.cuts.pop(0) if server.cuts else None])

  def log_message(self, *args):
    pass


@pytest.fixture
def server(monkeypatch):
  # A proxy of this machine must not be asked for 127.0.0.1.
  monkeypatch.setenv('no_proxy', '*')
  with Server() as server:
    thread = threading.Thread(
        target=server.serve_forever, args=(0.01,), daemon=True
    )
    thread.start()
    yield server
    server.shutdown()


@pytest.fixture
def fetch(server, tmp_path):
  def fetch(sha256=SHA256, progress=lambda done, total: None):
    item = Published(server.url, sha256, 'w.pt')
    return download.fetch_published(
        item, 'weights', tmp_path, progress, first_wait_seconds=0
    )

  return fetch


def names(folder):
  return sorted(p.name for p in folder.iterdir())


def test_a_file_arrives_whole(fetch, tmp_path, server):
  seen = []
  path = fetch(progress=lambda done, total: seen.append((done, total)))
  assert path == tmp_path / 'w.pt'
  assert path.read_bytes() == BODY
  assert names(tmp_path) == ['w.pt']
  assert seen[0] == (0, len(BODY))
  assert seen[-1] == (len(BODY), len(BODY))


def test_a_file_that_is_there_is_not_fetched(fetch, server):
  fetch()
  fetch()
  assert server.seen == [None]


def test_a_dropped_connection_is_resumed(fetch, server):
  server.cuts = [CHUNK, CHUNK, CHUNK]
  assert fetch().read_bytes() == BODY
  starts = [None, *(f'bytes={n * CHUNK}-' for n in (1, 2, 3))]
  assert server.seen == starts


def start_and_stop(server, fetch, tmp_path, monkeypatch):
  """As if the process had been killed in the middle."""

  def killed(done, total):
    if done:
      raise KeyboardInterrupt

  monkeypatch.setattr(download, '_CHUNK', CHUNK)
  with pytest.raises(KeyboardInterrupt):
    fetch(progress=killed)
  assert names(tmp_path) == ['w.pt.lock', 'w.pt.part', 'w.pt.part.json']
  server.seen.clear()


def test_a_killed_download_goes_on(fetch, server, tmp_path, monkeypatch):
  start_and_stop(server, fetch, tmp_path, monkeypatch)
  seen = []
  path = fetch(progress=lambda done, total: seen.append((done, total)))
  assert path.read_bytes() == BODY
  assert server.seen == [f'bytes={CHUNK}-']
  assert seen[0] == (CHUNK, len(BODY))
  assert names(tmp_path) == ['w.pt']


def test_a_server_without_ranges_starts_anew(fetch, server):
  server.ranges = False
  server.cuts = [CHUNK]
  assert fetch().read_bytes() == BODY
  assert server.seen == [None, f'bytes={CHUNK}-']


def test_another_version_on_the_server_starts_anew(
    fetch, server, tmp_path, monkeypatch
):
  server.body = b'\0' * len(BODY)
  start_and_stop(server, fetch, tmp_path, monkeypatch)
  server.body, server.etag = BODY, '"two"'
  assert fetch(sha256=None).read_bytes() == BODY


def test_a_beginning_of_unknown_version_is_not_used(
    fetch, server, tmp_path, monkeypatch
):
  # Neither the server nor a hash could tell whether the halves belong together.
  server.etag = ''
  start_and_stop(server, fetch, tmp_path, monkeypatch)
  assert fetch(sha256=None).read_bytes() == BODY
  assert server.seen == [None]


def test_a_wrong_beginning_is_thrown_away(fetch, server, tmp_path):
  (tmp_path / 'w.pt.part').write_bytes(b'\0' * CHUNK)
  assert fetch().read_bytes() == BODY
  assert server.seen == [f'bytes={CHUNK}-', None]


def test_a_wrong_range_is_not_appended(fetch, server):
  server.cuts = [CHUNK]
  server.wrong_range = True
  assert fetch().read_bytes() == BODY
  assert server.seen == [None, f'bytes={CHUNK}-', None]


def test_a_part_that_is_whole_already(fetch, server, tmp_path):
  (tmp_path / 'w.pt.part').write_bytes(BODY)
  assert fetch().read_bytes() == BODY
  assert server.seen == [f'bytes={len(BODY)}-']


def test_a_part_that_is_too_long_starts_anew(fetch, server, tmp_path):
  (tmp_path / 'w.pt.part').write_bytes(BODY + b'x')
  assert fetch().read_bytes() == BODY


def test_a_wrong_hash_leaves_nothing(fetch, server, tmp_path):
  server.body = BODY[::-1]
  with pytest.raises(UserError, match=r'does not have the sha256.*removed'):
    fetch()
  assert names(tmp_path) == ['w.pt.lock']


def test_a_wrong_file_in_the_cache_is_not_used(fetch, server, tmp_path):
  (tmp_path / 'w.pt').write_bytes(b'something else')
  with pytest.raises(UserError, match=r'not the published weights.*\n.*Delete'):
    fetch()
  assert server.seen == []


def test_a_server_that_keeps_failing(fetch, server, tmp_path):
  server.status = 503
  with pytest.raises(UserError, match='HTTP 503') as caught:
    fetch()
  assert len(server.seen) == 5
  assert server.url in str(caught.value)
  assert str(tmp_path / 'w.pt') in str(caught.value)


def test_a_missing_page_is_not_asked_for_again(fetch, server):
  server.status = 404
  with pytest.raises(UserError, match='HTTP 404'):
    fetch()
  assert len(server.seen) == 1


def test_offline_says_what_to_do(fetch, server, tmp_path):
  server.shutdown()
  server.server_close()
  with pytest.raises(UserError) as caught:
    fetch()
  lines = str(caught.value).splitlines()
  assert len(lines) == 2
  assert 'Connection refused' in lines[0]
  assert f'fetch {server.url} by hand' in lines[1]
  assert str(tmp_path / 'w.pt') in lines[1]


def test_a_cache_folder_that_cannot_be_made(server, tmp_path):
  file = tmp_path / 'file'
  file.write_text('')
  item = Published(server.url, SHA256, 'w.pt')
  with pytest.raises(UserError, match='--cache_dir'):
    download.fetch_published(item, 'weights', file / 'sub')


def test_two_at_once_fetch_once(fetch, server):
  threads = [threading.Thread(target=fetch) for _ in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert server.seen == [None]


def test_the_note_beside_a_part(fetch, server, tmp_path, monkeypatch):
  start_and_stop(server, fetch, tmp_path, monkeypatch)
  note = json.loads((tmp_path / 'w.pt.part.json').read_text())
  assert note == {'url': server.url, 'validator': '"one"'}


HUB = Published('hf://owner/name/tokenizer.json', None, 'tokenizer.json')


def test_a_file_of_the_hub(tmp_path, monkeypatch):
  there = tmp_path / 'elsewhere.json'
  there.write_text('{}')

  def hf_hub_download(repository, file):
    assert (repository, file) == ('owner/name', 'tokenizer.json')
    return str(there)

  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', hf_hub_download)
  path = download.fetch_published(HUB, 'vocab-hub', tmp_path / 'cache')
  assert path == tmp_path / 'cache' / 'tokenizer.json'
  assert path.read_text() == '{}'


def test_the_hub_out_of_reach(tmp_path, monkeypatch):

  def hf_hub_download(repository, file):
    raise OSError('no connection')

  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', hf_hub_download)
  with pytest.raises(UserError, match='no connection') as caught:
    download.fetch_published(HUB, 'vocab-hub', tmp_path)
  assert 'huggingface.co/owner/name' in str(caught.value)
  assert str(tmp_path / 'tokenizer.json') in str(caught.value)


def test_published_hashes_are_in_the_addresses():
  for name, item in published.CLIP.items():
    assert item.sha256 == item.url.split('/')[-2], name
    assert len(item.sha256) == 64
  filenames = [item.filename for item in published.ALL.values()]
  assert len(set(filenames)) == len(filenames)


def test_a_misspelt_name_gets_the_nearest():
  with pytest.raises(UserError, match=r'Did you mean ViT-B/16'):
    published.find('ViT-B-16')
