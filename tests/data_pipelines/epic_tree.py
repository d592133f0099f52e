"""A miniature EPIC-Kitchens-100: three short videos, real annotations."""

import pathlib

from tests.data_pipelines import coded_clips, pictures
from tests.data_pipelines.trees import write_lines

_HEAD = (
    'narration_id,participant_id,video_id,narration_timestamp,start_timestamp,'
    'stop_timestamp,start_frame,stop_frame,narration,verb,verb_class,noun,'
    'noun_class,all_nouns,all_noun_classes'
)
VERBS = ('take', 'put', 'turn-on')
NOUNS = ('tap', 'plate', 'board:chopping')
# (video, start, stop, verb, verb class, noun, noun class); 25 per second.
TRAIN = (
    ('P01_01', 0.2, 0.8, 'pick-up', 0, 'plate', 1),
    ('P01_01', 0.8, 1.6, 'turn-on', 2, 'tap', 0),
    ('P01_02', 0.0, 1.0, 'put', 1, 'board:chopping', 2),
    ('P02_101', 0.4, 1.2, 'take', 0, 'tap', 0),
)
TEST = (
    ('P01_02', 1.0, 1.4, 'take', 0, 'plate', 1),
    ('P02_101', 1.2, 1.6, 'turn-on', 2, 'plate', 1),
)
_NUM_FRAMES = 40


def _line(number, row):
  video, start, stop, verb, verb_class, noun, noun_class = row
  first, last = int(start * 25) + 1, int(stop * 25)
  narration = f'"{verb} {noun}, then wait"'
  return (
      f'{video}_{number},{video[:3]},{video},00:00:00.100,00:00:{start:05.2f},'
      f'00:00:{stop:05.2f},{first},{last},{narration},{verb},{verb_class},'
      f'{noun},{noun_class},"[\'{noun}\', \'tap\']","[{noun_class}, 0]"'
  )


def write_lists(folder: pathlib.Path, train=TRAIN, test=TEST):
  """The official CSVs with these pieces."""
  for name, rows in (('train', train), ('validation', test)):
    lines = (_line(n, row) for n, row in enumerate(rows))
    write_lines(folder / f'EPIC_100_{name}.csv', _HEAD, *lines)
  for kind, names in (('verb', VERBS), ('noun', NOUNS)):
    write_lines(
        folder / f'EPIC_100_{kind}_classes.csv',
        'id,key,instances,category',
        *(f"{k},{n},\"['{n}', 'x-{n}']\",c" for k, n in enumerate(names)),
    )


def write_frames(root: pathlib.Path, video: str, first: int = 1) -> str:
  """The published pictures of a video; some begin with number 0."""
  folder = root / video[:3] / 'rgb_frames' / video
  # Every video has another size, so that none is a copy.
  width = 56 + 8 * int(video[-1])
  return pictures.write(folder, _NUM_FRAMES, first=first, width=width)


def write_film(root: pathlib.Path, video: str):
  """The video itself."""
  path = root / video[:3] / 'videos' / f'{video}.MP4'
  path.parent.mkdir(parents=True, exist_ok=True)
  coded_clips.write(path, num_frames=_NUM_FRAMES, container='mp4')
