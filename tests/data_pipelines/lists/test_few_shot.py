"""K clips per class: the published draws, and the refusals."""

import hashlib
import pathlib

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import few_shot, grammars
from data_pipelines.lists.clips import ClipList, ClipRecord

DATA = pathlib.Path(__file__).parent / 'data'
# SHA-256, first 16 letters, of the file names in EV-CLIP's published
# selections (shots/<data set>_vifi/shot_K-seed_1.pkl), one per line.
PUBLISHED = {
    ('ucf', 2): '18a882c788981223',
    ('ucf', 8): '3bdea234e049a712',
    ('ucf', 16): '6d50a04f4e3e9114',
    ('hmdb', 2): '042580620289d176',
    ('hmdb', 8): '67924391eaba42a6',
    ('hmdb', 16): '64ff62646046626c',
}


def clip_list(counts):
  return ClipList('train', tuple(
      ClipRecord(f'{label}/{k}.avi', label)
      for label, n in counts.items()
      for k in range(n)
  ), 'all.txt')  # fmt: skip


def select(clips, shots, seed, short='error'):
  return few_shot.select(clips, shots, seed, ['walk', 'run'], short)


@pytest.mark.parametrize(('name', 'shots'), PUBLISHED)
def test_seed_1_draws_the_published_selections(request, name, shots):
  # Copies of ViFi-CLIP's train1_few_shot_2.txt.
  file = DATA / f'vifi_{name}_{shots}.txt'
  if not file.exists():
    folder = request.getfixturevalue('shared') / 'splits' / 'vifi' / name
    file = folder / f'train1_few_shot_{shots}.txt'
  items = grammars.read(file, 'key').items
  records = tuple(ClipRecord(i.path, i.label) for i in items)
  # A list with exactly so many of every class is drawn from all the same.
  chosen = select(ClipList('train', records), shots, seed=1)
  assert chosen.counts() == dict.fromkeys(chosen.counts(), shots)
  text = '\n'.join(r.path for r in chosen.records)
  digest = hashlib.sha256(text.encode()).hexdigest()[:16]
  assert digest == PUBLISHED[name, shots]


def test_draws_as_pythons_generator_does():
  clips = clip_list({1: 5, 0: 6})
  # random.seed(7); random.sample(range(5), 2), random.sample(range(6), 2)
  chosen = select(clips, 2, seed=7)
  assert [r.path for r in chosen.records] == [
      '1/2.avi', '1/1.avi', '0/3.avi', '0/0.avi',
  ]  # fmt: skip
  assert chosen.origin == '2 clips per class of all.txt, seed 7'


def test_a_selection_is_read_as_it_is(tmp_path):
  clips = clip_list({0: 3, 1: 3})
  assert select(clips, 0, seed=5) is clips
  chosen = select(clips, 3, seed=5)
  assert select(chosen, 3, seed=6) is chosen
  assert select(chosen, 2, seed=6) is not chosen
  for written, selected in ((clips, False), (chosen, True)):
    written.write(tmp_path / 'train.txt')
    listing = grammars.read(tmp_path / 'train.txt', 'key')
    assert listing.selected is selected
    assert [i.path for i in listing.items] == [r.path for r in written.records]


def test_too_few_clips_are_refused_by_name_or_kept():
  clips = clip_list({0: 9, 1: 3})
  with pytest.raises(UserError, match=r"data.shots=4.*'run' with 3") as error:
    select(clips, 4, 1)
  assert 'data.few_shot_short=keep' in str(error.value)
  chosen = select(clips, 4, 1, short='keep')
  assert chosen.counts() == {0: 4, 1: 3}
  assert [r.path for r in chosen.records[4:]] == [
      f'1/{k}.avi' for k in range(3)
  ]
  assert select(chosen, 4, 2, short='keep') is chosen
  with pytest.raises(UserError, match='data.shots=4'):
    select(chosen, 4, 2)


def test_what_is_held_back_to_choose_by_shares_nothing_with_training():
  pieces = [ClipRecord('film', 0, k, k + 2) for k in range(8)]
  whole = [ClipRecord(f'{k}.avi', 1) for k in range(6)]
  pool = ClipList('train', (*pieces, *whole), 'all.txt')
  train = pool.replace([pieces[3], whole[0]])
  # The second file is a copy of the first.
  copies = {'1.avi': '0.avi'}
  val = few_shot.select_val(
      pool, train, 4, 1, ['run', 'walk'], lambda path: copies.get(path, path)
  )
  assert val.name == 'val' and val.counts() == {0: 4, 1: 4}
  assert {r.path for r in val.records[4:]} == {f'{k}.avi' for k in range(2, 6)}
  assert all(abs(r.start - 3) >= 2 for r in val.records[:4])
  with pytest.raises(UserError, match="val_shots=6: .*'run' has 5 clips left"):
    few_shot.select_val(pool, train, 6, 1, ['run', 'walk'])
