"""Published files, fetched from a local server with faults."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading

import huggingface_hub
import pytest

from data_pipelines.errors import UserError
from evclip_jax.weights import published
from evclip_jax.weights.published import Published
from tests import commands

BODY = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
  """Behaves as its attributes say; `seen` counts requests."""

  def __init__(self):
    super().__init__(('127.0.0.1', 0), Handler)
    self.body = BODY
    # Bytes sent before the connection is dropped, one entry per request.
    self.cuts = []
    self.status = None
    self.seen = 0

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_port}/folder/weights.pt'


class Handler(http.server.BaseHTTPRequestHandler):

  def do_GET(self):
    server = self.server
    server.seen += 1
    if server.status:
      self.send_error(server.status)
      return
    self.send_response(200)
    self.send_header('Content-Length', str(len(server.body)))
    self.end_headers()
    cut = server.cuts.pop(0) if server.cuts else None
    self.wfile.write(server.body[:cut])

  def log_message(self, *args):
    pass


@pytest.fixture
def server(monkeypatch):
  # A proxy must not be asked for 127.0.0.1.
  monkeypatch.setenv('no_proxy', '*')
  with Server() as server:
    thread = threading.Thread(
        target=server.serve_forever, args=(0.01,), daemon=True
    )
    thread.start()
    yield server
    server.shutdown()


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
  monkeypatch.setattr(published, '_WAIT_SECONDS', 0)

  def fetch(sha256=SHA256, folder=tmp_path):
    item = Published(server.url, sha256, 'w.pt')
    monkeypatch.setitem(published.ALL, 'weights', item)
    return published.fetch('weights', str(folder))

  return fetch


def test_a_file_arrives_whole_and_once(fetch, server, tmp_path):
  for _ in range(2):
    assert fetch() == tmp_path / 'w.pt'
  assert server.seen == 1
  assert (tmp_path / 'w.pt').read_bytes() == BODY
  assert [p.name for p in tmp_path.iterdir()] == ['w.pt']


@pytest.mark.parametrize('sha256', [SHA256, None])
def test_a_dropped_connection_is_tried_again(sha256, fetch, server):
  server.cuts = [1000, 0]
  assert fetch(sha256).read_bytes() == BODY
  assert server.seen == 3


@pytest.mark.parametrize(
    ('change', 'message', 'seen'),
    [
        ({'body': BODY[::-1]}, r'its sha256 is .*, wanted', 1),
        ({'cuts': [1000] * 9}, 'bytes are missing|incomplete', 3),
        ({'status': 503}, 'HTTP 503', 3),
        ({'status': 404}, 'HTTP 404', 1),
        ({'body': b' <html>', 'sha256': None}, 'it is a web page', 1),
        ({'body': b'', 'sha256': None}, 'it is empty', 1),
    ],
)
def test_what_fails_leaves_nothing(
    change, message, seen, fetch, server, tmp_path
):
  sha256 = change.get('sha256', SHA256)
  for name, value in change.items():
    setattr(server, name, value)
  with pytest.raises(UserError, match=message) as caught:
    fetch(sha256)
  assert server.seen == seen
  assert server.url in str(caught.value)
  assert f' at {tmp_path / "w.pt"}' in str(caught.value)
  assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_in_the_cache_is_not_used(fetch, server, tmp_path):
  (tmp_path / 'w.pt').write_bytes(b'something else')
  with pytest.raises(UserError, match=r'w\.pt is not the .*\n.*Delete'):
    fetch()
  assert server.seen == 0


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


def test_a_cache_folder_that_cannot_be_made(fetch, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(UserError, match='--cache_dir'):
    fetch(folder=tmp_path / 'file' / 'sub')


HUB = Published('hf://owner/name/tokenizer.json', None, 'tokenizer.json')


def test_a_file_of_the_hub(tmp_path, monkeypatch):
  (tmp_path / 'elsewhere.json').write_text('{}')
  there = [tmp_path / 'elsewhere.json']

  def hf_hub_download(repository, file):
    assert (repository, file) == ('owner/name', 'tokenizer.json')
    if not there:
      raise OSError('no connection')
    return str(there.pop())

  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', hf_hub_download)
  monkeypatch.setitem(published.ALL, 'ours', HUB)
  path = published.fetch('ours', str(tmp_path / 'cache'))
  assert path == tmp_path / 'cache' / 'tokenizer.json'
  assert path.read_text() == '{}'
  with pytest.raises(UserError, match='no connection') as caught:
    published.fetch('ours', str(tmp_path))
  assert 'huggingface.co/owner/name' in str(caught.value)
  assert str(tmp_path / 'tokenizer.json') in str(caught.value)


def test_published_hashes_are_in_the_addresses():
  for name, item in published.CLIP.items():
    assert item.sha256 == item.url.split('/')[-2], name
    assert len(item.sha256) == 64
  filenames = [item.filename for item in published.ALL.values()]
  assert len(set(filenames)) == len(filenames)


def test_the_command_lists_names_and_finds_files(tmp_path):
  folder = tmp_path / 'xdg' / 'evclip_jax'
  folder.mkdir(parents=True)
  path = folder / 'omnivore_swinT_checkpoint.torch'
  path.write_bytes(b'x')

  def command(argument):
    return subprocess.run(
        [sys.executable, '-m', 'evclip_jax.download', argument],
        capture_output=True,
        text=True,
        env=os.environ | {'XDG_CACHE_HOME': str(tmp_path / 'xdg')},
        check=True,
    ).stdout

  listed = command('--list')
  assert all(name in listed for name in [*published.ALL, str(folder)])
  found, licence = command('omnivore_swinT').splitlines()
  assert found == f'omnivore_swinT: {path}'
  assert 'CC-BY-NC 4.0' in licence


def test_mistakes_exit_with_2():
  calls = {
      (): 'name what to fetch',
      ('ViT-B/16', 'ViT-B-61'): 'Did you mean',
      ('--cash_dir=x', 'vocab'): 'cash_dir',
  }
  found = commands.errors('evclip_jax.download', *calls)
  for error, message in zip(found, calls.values(), strict=True):
    assert message in error
