"""A miniature Kinetics: lists in the official form, clips of any mirror."""

import pathlib

from tests.data_pipelines import coded_clips, trees
from tests.data_pipelines.trees import write_lines

CLASSES = ('playing guitar', 'air drumming', 'shaking hands')
# (id, start, class): ids hold dashes and underscores.
TRAIN = (
    ('-abc_DEF-01', 1, 0), ('_x-yzABCD02', 20, 1), ('aaaaaaaaaaa', 137, 2),
    ('bbbbbbbbbbb', 9, 0),
)
TEST = (('ccccccccccc', 0, 1), ('ddddddddddd', 33, 2))
ROWS = (TRAIN, TEST)


def file_name(video: str, start: int) -> str:
  """As the official scripts call a clip."""
  return f'{video}_{start:06d}_{start + 10:06d}.mp4'


def official(role: str, name: str, video: str, start: int) -> str:
  """Where the official scripts put a clip."""
  return f'{role}/{file_name(video, start)}'


def write_lists(
    folder: pathlib.Path, test: str = 'val', form: str = '{}', rows=ROWS
):
  """train.csv and val.csv, or other names of them."""
  for name, own in zip(('train', test), rows, strict=True):
    write_lines(
        folder / f'{form.format(name)}.csv',
        'label,youtube_id,time_start,time_end,split',
        *(f'{CLASSES[k]},{v},{s},{s + 10},{name}' for v, s, k in own),
    )


def write_clips(
    root: pathlib.Path, place=official, rows=ROWS, real: bool = False
):
  """Clips of 4 bytes, or real ones, each at its `place` below `root`."""
  for role, own in zip(('train', 'val'), rows, strict=True):
    for video, start, k in own:
      name = place(role, CLASSES[k], video, start)
      trees.write_clips(root, name)
      if real:
        coded_clips.write(root / name, num_frames=12)
