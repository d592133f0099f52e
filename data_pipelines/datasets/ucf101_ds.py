"""UCF101-DS: clips of 47 actions of UCF-101 under natural shifts; test only.

A clip's name tells its shifts: `Haircut_outdoors+pov_<video>-14-of-22`.

Source: M. Schiappa et al., A large-scale robustness analysis of video action
recognition models, CVPR 2023; EZ-CLIP, dataset_splits/UCF/Zero_shot/test_DS.txt
(its list, labels as UCF-101's) and data_creation_ucf_DS.py (its folders).
"""

import re

from data_pipelines.datasets.description import Description
from data_pipelines.lists.classes import Classes, letters
from data_pipelines.lists.locate import folder_of

# In the order of UCF-101: clips are classified among all its 101 classes.
_CLASSES = (
    'ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam '
    'BandMarching BaseballPitch Basketball BasketballDunk BenchPress Biking '
    'Billiards BlowDryHair BlowingCandles BodyWeightSquats Bowling '
    'BoxingPunchingBag BoxingSpeedBag BreastStroke BrushingTeeth '
    'CleanAndJerk CliffDiving CricketBowling CricketShot CuttingInKitchen '
    'Diving Drumming Fencing FieldHockeyPenalty FloorGymnastics '
    'FrisbeeCatch FrontCrawl GolfSwing Haircut Hammering HammerThrow '
    'HandstandPushups HandstandWalking HeadMassage HighJump HorseRace '
    'HorseRiding HulaHoop IceDancing JavelinThrow JugglingBalls JumpingJack '
    'JumpRope Kayaking Knitting LongJump Lunges MilitaryParade Mixing '
    'MoppingFloor Nunchucks ParallelBars PizzaTossing PlayingCello '
    'PlayingDaf PlayingDhol PlayingFlute PlayingGuitar PlayingPiano '
    'PlayingSitar PlayingTabla PlayingViolin PoleVault PommelHorse PullUps '
    'Punch PushUps Rafting RockClimbingIndoor RopeClimbing Rowing SalsaSpin '
    'ShavingBeard Shotput SkateBoarding Skiing Skijet SkyDiving '
    'SoccerJuggling SoccerPenalty StillRings SumoWrestling Surfing Swing '
    'TableTennisShot TaiChi TennisSwing ThrowDiscus TrampolineJumping '
    'Typing UnevenBars VolleyballSpiking WalkingWithDog WallPushups '
    'WritingOnBoard YoYo'
)
CLASSES = tuple(_CLASSES.split())
_FOLDERS = {letters(name): name for name in CLASSES}
_LONGEST_FIRST = sorted(CLASSES, key=len, reverse=True)
# <class and tags>_<video, mostly of 11 letters>-<part>-of-<parts>
_PART = r'(?:-\d+)*-\d+-of-\d+(?:\.\w+)?'
_NAMES = (
    re.compile(rf'(.+?)_([\w-]{{11}}){_PART}'),
    re.compile(rf'(.+)_([\w-]+?){_PART}'),
)
# Kind of shift -> its tags; all further tags are of kind 'other'.
_ABOUT = {
    'viewpoint': 'pov go_pro camera_angle camera_angles obstructed '
    'obstructed_view upside_down shaky mirror',
    'light': 'dark low_light low_light_conditions at_night at_late_night',
    'style': 'animated animation vintage filter slow_mo slowmotion '
    'text_on_screen on_TV fastest',
    'scene': 'underwater in_rain rain snow fog muddy desert at_the_beach '
    'outdoors outside indoors in_garden in_the_fields in_court in_garage '
    'in_backyard at_home at_the_gym at_the_club on_the_road crowd',
    'actor': 'animal toy kids old_person costume african asian black '
    'indian_brown',
}
_KIND = {tag: kind for kind, tags in _ABOUT.items() for tag in tags.split()}


def class_of(key: str) -> str:
  """Returns the class of a clip: its folder, else the one in its file name."""
  known = _FOLDERS.get(letters(folder_of(key)))
  return known or _class_in(key.rsplit('/', 1)[-1])


def tags_of(key: str) -> tuple[str, ...]:
  """Returns the shifts that a clip's name tells, such as ('viewpoint: pov',).

  () for a name of another form.
  """
  name = key.rsplit('/', 1)[-1]
  match = next(filter(None, (n.fullmatch(name) for n in _NAMES)), None)
  wanted = letters(_class_in(name))
  if not match or not wanted:
    return ()
  words, taken = match[1].split('_'), ''
  # Basketball is called Basketball_Shooting there.
  while words and (len(taken) < len(wanted) or words[0][:1].isupper()):
    taken += letters(words.pop(0))
  tags = [tag.strip('_- ') for tag in '_'.join(words).split('+')]
  return tuple(f'{_KIND.get(tag, "other")}: {tag}' for tag in tags if tag)


def _class_in(name: str) -> str:
  own = letters(name)
  return next((c for c in _LONGEST_FIRST if own.startswith(letters(c))), '')


DESCRIPTION = Description(
    name='ucf101_ds',
    title='UCF101-DS',
    homepage='https://arxiv.org/abs/2207.01398',
    wanted=(
        'UCF101-DS needs a folder with its videos, or EZ-CLIP\'s folders of '
        'frames, and test_DS.txt in it (--config.data.root=DIR).\n  It is for '
        'scoring: use --mode=evaluate, or score it beside UCF-101 '
        '(data.others), see docs/data/ucf101_ds.md.'
    ),
    splits=(1,),
    roles=('train', 'test'),
    folders=('UCF101-DS',),
    video_places=('UCF101-DS', 'UCF_101-DS', 'videos', 'frames', '.'),
    list_places=('.', 'lists', 'splits', 'dataset_splits/UCF/Zero_shot', '..'),
    # In fact there is no train_DS.txt: the data set is for testing only.
    list_files=lambda role, split: (f'{role}_DS.txt',),
    read_classes=lambda _: Classes.of(CLASSES, 'the order of UCF-101'),
    class_of=class_of,
    all_classes=True,
)
