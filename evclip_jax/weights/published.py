"""Lists and fetches published weights and vocabularies."""

import dataclasses
import difflib
import http.client
import importlib.resources
import os
import pathlib
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request

import tqdm

from data_pipelines import whole_file
from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from evclip_jax.weights.own_file import file_sha256

_CHUNK = 2**20
_TIMEOUT_SECONDS = 30
_ATTEMPTS = 3
# Wait before the second attempt; it doubles before the third.
_WAIT_SECONDS = 1.0
# Errors of dropped connections; a full disk raises another OSError.
_DROPPED = (
    ConnectionError,
    TimeoutError,
    http.client.HTTPException,
    urllib.error.URLError,
)


@dataclasses.dataclass(frozen=True)
class Published:
  """Describes a published file.

  Attributes:
    url: its address; 'hf://owner/name/file' on the Hugging Face hub.
    sha256: hex digest, or None if the authors publish none.
    filename: its name in the cache folder.
    what: one phrase for lists.
    licence: its terms, and where to read them.
  """

  url: str
  sha256: str | None
  filename: str
  what: str = ''
  licence: str = ''


_OPENAI = 'https://openaipublic.azureedge.net/clip/models/'
_OMNIVORE = 'https://dl.fbaipublicfiles.com/omnivore/models/'

# Name -> sha256, which is also part of the address.
_CLIP = {
    'RN50':
        'afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762',
    'RN101':
        '8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599',
    'RN50x4':
        '7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd',
    'RN50x16':
        '52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa',
    'RN50x64':
        'be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c',
    'ViT-B/32':
        '40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af',
    'ViT-B/16':
        '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f',
    'ViT-L/14':
        'b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836',
    'ViT-L/14@336px':
        '3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02',
}


def _clip(name: str, sha256: str) -> Published:
  file = name.replace('/', '-').replace('@', '-') + '.pt'
  return Published(
      f'{_OPENAI}{sha256}/{file}',
      sha256,
      file,
      'OpenAI CLIP',
      'MIT (https://github.com/openai/CLIP)',
  )


CLIP = {name: _clip(name, sha256) for name, sha256 in _CLIP.items()}
# Name -> part of the name of its file.
_OMNIVORE_FILES = {
    'swinT': 'swinT',
    'swinS': 'swinS',
    'swinB': 'swinB',
    'swinB_imagenet21k': 'swinB_In21k',
    'swinB_epic': 'swinB_epic',
    'swinL_imagenet21k': 'swinL_In21k',
}
OMNIVORE: dict[str, Published] = {
    f'omnivore_{name}': Published(
        f'{_OMNIVORE}{file}_checkpoint.torch',
        None,
        f'omnivore_{file}_checkpoint.torch',
        'Omnivore trunk',
        'CC-BY-NC 4.0, not for commercial use '
        '(https://github.com/facebookresearch/omnivore)',
    )
    for name, file in _OMNIVORE_FILES.items()
}


def _videoprism(name: str, frames: int) -> Published:
  repository = f'videoprism-{name.replace("_", "-")}-f{frames}r288'
  file = f'flax_{name}_f{frames}r288_repeated.npz'
  # The authors publish no hashes.
  return Published(
      f'hf://google/{repository}/{file}',
      None,
      file,
      'VideoPrism video-text model' if 'lvt' in name else 'VideoPrism trunk',
      'see its model card '
      f'(https://huggingface.co/google/{repository})',
  )


_VIDEOPRISM = {'base': 16, 'large': 8, 'lvt_base': 16, 'lvt_large': 8}
VIDEOPRISM = {
    f'videoprism_{name}': _videoprism(name, frames)
    for name, frames in _VIDEOPRISM.items()
}

VOCABULARIES: dict[str, Published] = {
    'vocab': Published(
        'https://github.com/openai/CLIP/raw/main/clip/'
        'bpe_simple_vocab_16e6.txt.gz',
        '924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a',
        'bpe_simple_vocab_16e6.txt.gz',
        'CLIP vocabulary',
    ),
    'vocab-hub': Published(
        'hf://openai/clip-vit-base-patch32/tokenizer.json',
        None,
        'tokenizer.json',
        'CLIP vocabulary from the Hugging Face hub',
    ),
}
VIDEOPRISM_VOCABULARY = 'videoprism_vocab'
_SENTENCES = {
    VIDEOPRISM_VOCABULARY: Published(
        'https://storage.googleapis.com/t5-data/vocabs/cc_en.32000/'
        'sentencepiece.model',
        None,
        'cc_en.32000.sentencepiece.model',
        "vocabulary of VideoPrism's video-text models",
    )
}

# The name of the packaged networks and vocabulary.
TINY = 'tiny'

ALL: dict[str, Published] = (
    CLIP | OMNIVORE | VIDEOPRISM | VOCABULARIES | _SENTENCES
)


def licence(name: str) -> str:
  """Returns the terms of published weights; '' if none are known."""
  return ALL[name].licence if name in ALL else ''


def find(name: str) -> Published:
  """Returns the published file with a name.

  Raises:
    UserError: the name is unknown; the message suggests similar ones.
  """
  if name in ALL:
    return ALL[name]
  near = difflib.get_close_matches(name, ALL, n=3, cutoff=0.4)
  hint = f'Did you mean {" or ".join(near)}?' if near else 'See --list.'
  raise UserError(
      f'{name!r} is not a published file that this project knows.\n  {hint} '
      '"python -m evclip_jax.download --list" shows all names.'
  )


def packaged(filename: str) -> pathlib.Path:
  """Returns the path of a file in the package.

  Raises:
    UserError: the installation lacks it.
  """
  folder = pathlib.Path(str(importlib.resources.files('evclip_jax')))
  path = folder / 'assets' / filename
  if not path.is_file():
    raise UserError(
        f'the packaged file {path} is missing. Install evclip_jax again, or '
        'make the file with "python -m evclip_jax.lab.pretrain".'
    )
  return path


def command(name: str, cache_dir: str = '') -> str:
  """Returns the command that fetches a published file, for messages."""
  text = f'python -m evclip_jax.download {name}'
  return f'{text} --cache_dir={cache_dir}' if cache_dir else text


def fetch(name: str, cache_dir: str = '') -> pathlib.Path:
  """Returns the path of a published file, and fetches it if necessary.

  Raises:
    UserError: the name is unknown, the connection failed, or the hash is wrong.
      The message says where to put a file that was fetched by hand.
  """
  file = find(name)
  path = cache_folder(cache_dir) / file.filename
  if os.path.isfile(path):
    _check(path, file, f'Delete {path} and fetch {name} again')
    return path
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file.replacing(path) as temporary:
      if file.url.startswith('hf://'):
        _from_hub(file, path, temporary)
      else:
        _from_web(file, name, path, temporary)
      what_to_do = f'Try again, or put a file fetched elsewhere at {path}'
      _check(temporary, file, what_to_do)
  except OSError as e:
    raise UserError(
        f'could not write to {path.parent}: {e.strerror or e}.\n  Set '
        '--cache_dir to a folder with room.'
    ) from e
  return path


def _check(path: pathlib.Path, file: Published, what_to_do: str):
  wrong = ''
  if file.sha256 and (found := file_sha256(path)) != file.sha256:
    wrong = f'its sha256 is {found}, wanted {file.sha256}'
  elif not file.sha256:
    # A login page, or nothing, can come in its place.
    with path.open('rb') as f:
      head = f.read(64)
    page = 'it is a web page' if head.lstrip().startswith(b'<') else ''
    wrong = page if head else 'it is empty'
  if wrong:
    raise UserError(
        f'{file.filename} is not the file published at {file.url}: {wrong}.\n'
        f'  {what_to_do}.'
    )


def _from_web(
    file: Published, name: str, path: pathlib.Path, temporary: pathlib.Path
):
  for attempt in range(_ATTEMPTS):
    try:
      return _attempt(file.url, name, temporary)
    except _DROPPED as e:
      code = getattr(e, 'code', 500)
      if attempt + 1 == _ATTEMPTS or (code < 500 and code not in (408, 429)):
        host = urllib.parse.urlsplit(file.url).netloc
        raise UserError(
            f'could not fetch {name} from {host} ({_reason(e)}).\n  Try again, '
            f'or fetch {file.url} by hand and put it at {path}.'
        ) from e
    time.sleep(_WAIT_SECONDS * 2**attempt)


def _attempt(url: str, name: str, temporary: pathlib.Path):
  with (
      urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response,
      temporary.open('wb') as f,
      # disable=None shows a bar only in a terminal.
      tqdm.tqdm.wrapattr(
          response, 'read', response.length, desc=name, disable=None
      ) as body,
  ):
    shutil.copyfileobj(body, f, _CHUNK)
    if response.length:
      raise ConnectionError(f'{response.length:,} bytes are missing')


def _from_hub(file: Published, path: pathlib.Path, temporary: pathlib.Path):
  """Fetches 'hf://owner/name/file' with the hub's own client."""
  # The import is slow, and only this function needs it.
  import huggingface_hub

  owner, name, filename = file.url.removeprefix('hf://').split('/', 2)
  try:
    found = huggingface_hub.hf_hub_download(f'{owner}/{name}', filename)
  except (OSError, ValueError, RuntimeError) as e:
    page = f'https://huggingface.co/{owner}/{name}'
    raise UserError(
        f'could not fetch {filename} of {page} ({_reason(e)}).\n  Fetch it by '
        f'hand and put it at {path}.'
    ) from e
  shutil.copyfile(found, temporary)


def _reason(error: BaseException) -> str:
  if isinstance(error, urllib.error.HTTPError):
    return f'HTTP {error.code}'
  inner = getattr(error, 'reason', None) or error
  text = getattr(inner, 'strerror', None) or str(inner) or type(inner).__name__
  return str(text).splitlines()[0]
