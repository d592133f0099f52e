"""A miniature Something-Something V2: a few clips, real annotations."""

import json
import pathlib

from data_pipelines.datasets import ssv2
from tests.data_pipelines import coded_clips
from tests.data_pipelines.trees import write_lines

TEMPLATES = (
    'Holding [something] next to [something]',
    'Pretending to close [something] without actually closing it',
    'Poking [one of many similar things on the surface]',
)
_WEBM = coded_clips.BY_NAME['vp9_webm']
# (id, class)
TRAIN = ((1, 0), (20, 1), (300, 2), (4, 0))
TEST = ((50, 1), (6, 2))


def entry(number: int, label: int) -> dict[str, object]:
  """What train.json and validation.json say of a clip."""
  template = TEMPLATES[label]
  return {
      'id': str(number),
      'label': template.replace('[something]', 'a cup').lower(),
      'template': template,
      'placeholders': ['a cup'],
  }


def write_labels(folder: pathlib.Path, prefix: str = '', train=TRAIN):
  """labels.json and the official lists; classes are not in the file's order."""
  names = list(map(ssv2.template, TEMPLATES))
  numbers = {name: str(k) for k, name in reversed(list(enumerate(names)))}
  write_lines(folder / f'{prefix}labels.json', json.dumps(numbers))
  for name, pairs in (('train', train), ('validation', TEST)):
    entries = json.dumps([entry(*pair) for pair in pairs])
    write_lines(folder / f'{prefix}{name}.json', entries)
  answers = (f'{number};{names[k]}' for number, k in TEST)
  write_lines(folder / 'test-answers.csv', *answers)


def make(root: pathlib.Path, train) -> pathlib.Path:
  """The official tree with clips in WebM."""
  write_labels(root / 'labels', train=train)
  folder = root / '20bn-something-something-v2'
  folder.mkdir()
  for number, _ in train + TEST:
    coded_clips.write(folder / f'{number}.webm', _WEBM, num_frames=12)
  return root
