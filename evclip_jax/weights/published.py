"""The published weights and vocabularies: names, addresses and hashes."""

import dataclasses
import difflib

from data_pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class Published:
  """A file that others publish.

  Attributes:
    url: its address; 'hf://owner/name/file' for a file on the Hugging Face hub.
    sha256: hex digest, or None where the authors give none.
    filename: its name in the cache folder.
    what: one phrase for lists.
  """

  url: str
  sha256: str | None
  filename: str
  what: str = ''


_OPENAI = 'https://openaipublic.azureedge.net/clip/models/'
_OMNIVORE = 'https://dl.fbaipublicfiles.com/omnivore/models/'


def _clip(sha256: str, filename: str) -> Published:
  # The authors put the hash of a file into its address.
  return Published(
      f'{_OPENAI}{sha256}/{filename}', sha256, filename, 'OpenAI CLIP'
  )


def _omnivore(filename: str) -> Published:
  return Published(
      f'{_OMNIVORE}{filename}', None, f'omnivore_{filename}', 'Omnivore trunk'
  )


CLIP: dict[str, Published] = {
    'RN50': _clip(
        'afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762',
        'RN50.pt',
    ),
    'RN101': _clip(
        '8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599',
        'RN101.pt',
    ),
    'RN50x4': _clip(
        '7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd',
        'RN50x4.pt',
    ),
    'RN50x16': _clip(
        '52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa',
        'RN50x16.pt',
    ),
    'RN50x64': _clip(
        'be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c',
        'RN50x64.pt',
    ),
    'ViT-B/32': _clip(
        '40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af',
        'ViT-B-32.pt',
    ),
    'ViT-B/16': _clip(
        '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f',
        'ViT-B-16.pt',
    ),
    'ViT-L/14': _clip(
        'b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836',
        'ViT-L-14.pt',
    ),
    'ViT-L/14@336px': _clip(
        '3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02',
        'ViT-L-14-336px.pt',
    ),
}

OMNIVORE: dict[str, Published] = {
    'omnivore_swinT': _omnivore('swinT_checkpoint.torch'),
    'omnivore_swinS': _omnivore('swinS_checkpoint.torch'),
    'omnivore_swinB': _omnivore('swinB_checkpoint.torch'),
    'omnivore_swinB_imagenet21k': _omnivore('swinB_In21k_checkpoint.torch'),
    'omnivore_swinB_epic': _omnivore('swinB_epic_checkpoint.torch'),
    'omnivore_swinL_imagenet21k': _omnivore('swinL_In21k_checkpoint.torch'),
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

ALL: dict[str, Published] = CLIP | OMNIVORE | VOCABULARIES


def find(name: str) -> Published:
  """The published file of that name.

  Raises:
    UserError: for an unknown name, with the nearest known ones.
  """
  if name in ALL:
    return ALL[name]
  near = difflib.get_close_matches(name, ALL, n=3, cutoff=0.4)
  hint = f'Did you mean {" or ".join(near)}?' if near else 'See --list.'
  raise UserError(
      f'{name!r} is not a published file that this project knows.\n  {hint} '
      '"python -m evclip_jax.download --list" shows all names.'
  )
