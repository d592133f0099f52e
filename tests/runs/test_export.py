"""Whole models for other programs, loaded where this project is not."""

import json
import pathlib
import re

import jax
import numpy as np
import optax
import pytest

import evclip_jax
from configs import folder as folder_config
from data_pipelines import whole_file
from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip
from data_pipelines.video import read_frames
from evclip_jax.config import identity
from evclip_jax.evaluation import look
from evclip_jax.methods import base
from evclip_jax.runs import export, prediction
from evclip_jax.training import checkpoints, session
from evclip_jax.training.params import merge
from tests import clips
from tests.methods import test_contract, tiny
from tests.runs import tiny_run

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'export.md'
CLASSES = ['waving', 'drinking a cup', 'jumping']
FRAMES = 2


def a_run(folder, method, **changes):
  """Writes a run with the weights that its training began from."""
  config = folder_config.get_config(method)
  config.update_from_flattened_dict(
      {'clip.name': 'tiny', 'encoder.name': 'tiny', 'data.num_frames': FRAMES}
      | changes
  )
  whole_file.write_json(folder / 'config.json', identity.to_dict(config))
  whole_file.write_json(folder / 'classes.json', CLASSES)
  first = session.build(config, CLASSES)
  saver = checkpoints.Checkpoints(folder, first.hashes)
  if first.trainable:
    saver.save('last', first.state(optax.sgd(1, momentum=0.9)), {})
  return folder


@pytest.fixture(scope='module')
def examples(tmp_path_factory):
  root = clips.write_folder(tmp_path_factory.mktemp('examples'), clips=2)
  return prediction.find_examples(str(root))


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
  return a_run(tmp_path_factory.mktemp('plain') / 'run', 'zero_shot')


@pytest.mark.parametrize(
    ('kind', 'method', 'changes'),
    [
        # TensorFlow has no erf of its own, which EV-CLIP's networks need.
        ('savedmodel', 'ev_clip', {'method.settings.prompt': 'context'}),
        ('stablehlo', 'zero_shot', {'data.preprocess': 'ez_clip'}),
        ('orbax', 'clip_fsar', {'method.settings.hidden': 32}),
    ],
)
def test_another_process_computes_the_same_logits(
    kind, method, changes, examples, tmp_path, capsys
):
  run = a_run(tmp_path / 'run', method, **changes)
  support = examples if method == 'clip_fsar' else None
  out = tmp_path / 'actions' / '1'
  said = export.save_model(run, out, kind, support=support)
  assert re.search(r'differ by at most \d', said)
  about = json.loads((out / 'model.json').read_text())
  assert about['classes'] == (
      ['class 0', 'class 1', 'class 2'] if support else CLASSES
  )
  assert about['input']['shape'] == ['batch', FRAMES, 224, 224, 3]
  # Any number of clips, as one of the page's snippets has them.
  model = evclip_jax.load(run)
  rng = np.random.default_rng(1)
  frames = rng.integers(0, 256, (5, FRAMES, 224, 224, 3), np.uint8)
  np.save(tmp_path / 'clips.npy', frames)
  code = re.findall(r'```python\n(# --to=.*?)```', PAGE.read_text(), re.S)
  (code,) = (c for c in code if c.startswith(f'# --to={kind}\n'))
  code = (
      "import sys; sys.modules['evclip_jax'] = None\nimport numpy as np\n"
      f"clips = np.load('clips.npy')\n{code}\nnp.save('logits', logits)"
  )
  tiny_run.python(code, tmp_path)
  looker = look.Looker(model.session, model.weights, 5)
  beside = looker.examples(model.read_examples(support)) if support else None
  seen = looker(frames, model.names(None, support), beside)
  logits = np.load(tmp_path / 'logits.npy')
  assert logits.shape == (5, 3)
  found = np.asarray(jax.nn.softmax(logits))
  wanted = np.stack([s.probabilities for s in seen])
  np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_the_trained_weights_come_back(tmp_path):
  run, file = a_run(tmp_path / 'run', 'ev_clip'), tmp_path / 'own.safetensors'
  said, model = export.save_trained(run, file), evclip_jax.load(run)
  # With the seed of the run they would be drawn again.
  changes = {'method.weights': str(file), 'seed': 7}
  with model.config.unlocked():
    model.config.update_from_flattened_dict(changes)
  back = session.build(model.config, CLASSES).trainable
  count = sum(x.size for x in back.values())
  assert f'{count:,} trained weights of ev_clip' in said
  assert set(back) == set(model.weights)
  for name, value in model.weights.items():
    np.testing.assert_array_equal(back[name], value)


def test_the_page_makes_clips_as_the_run_does(examples, tmp_path, monkeypatch):
  (path, *_) = examples['class_0']
  (tmp_path / 'a.mp4').symlink_to(path)
  monkeypatch.chdir(tmp_path)
  (code,) = re.findall(
      r'```python\n(# a video -> clips\n.*?)```', PAGE.read_text(), re.S
  )
  names = {}
  exec(code, names)
  spec = one_clip.spec_of(folder_config.get_config().data)
  view = one_clip.eval_view(spec, 20)
  wanted = view.pixels(read_frames(path, view.frames))
  difference = np.abs(names['clips'][0].astype(int) - wanted)
  assert difference.max() <= 3


@pytest.mark.parametrize('name', base.names())
def test_every_method_takes_any_number_of_clips_anywhere(name):
  case = test_contract.built(name)
  seen = jax.ShapeDtypeStruct((tiny.WAY, tiny.CLIP.embed_dim), np.float32)
  frames = (tiny.WAY, tiny.NUM_FRAMES, tiny.CLIP.embed_dim)
  scored = {'classes': case.bank}
  if case.method.episodic:
    scored['classes'] = case.bank[:, : tiny.WAY]
    frames = jax.ShapeDtypeStruct(frames, np.float32)
    scored['examples'] = {'clip': seen, 'frames': frames}
  tree = merge(case.frozen, case.trainable) | {'scored': scored}
  shape = *jax.export.symbolic_shape('b'), *tiny.batch(1)['video'].shape[1:]
  video = jax.ShapeDtypeStruct(shape, np.uint8)
  program = jax.jit(export.program(case.method))
  whole = jax.export.export(program, platforms=export.PLATFORMS)(tree, video)
  classes = scored['classes'].shape[1]
  assert [str(n) for n in whole.out_avals[0].shape] == ['b', str(classes)]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'out': '.'}, r'--out=\. exists already'),
        ({'support': {'a': ['x.mp4']}}, 'does not compare with examples'),
        ({'classes': ['one']}, 'nothing to choose'),
    ],
)
def test_what_cannot_be_exported(options, message, plain, tmp_path):
  options = {'out': tmp_path / 'out'} | options
  with pytest.raises(UserError, match=message):
    export.save_model(plain, kind='stablehlo', **options)
  assert not [*tmp_path.iterdir()]


def test_what_differs_is_not_kept(plain, tmp_path, monkeypatch):
  monkeypatch.setattr(export, '_TOLERANCE', -1.0)
  with pytest.raises(UserError, match='differs by .* from the run'):
    export.save_model(plain, tmp_path / 'out', 'stablehlo')
  assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    'error', [OSError(28, 'disk is full'), ValueError('x: No space left on y')]
)
def test_a_full_disk_is_told(error, plain, tmp_path, monkeypatch):
  def full(*given):
    raise error

  monkeypatch.setitem(export._WRITERS, 'orbax', full)
  with pytest.raises(UserError, match='cannot write .*out: .*disk is full'):
    export.save_model(plain, tmp_path / 'out', 'orbax')
  assert not [*tmp_path.iterdir()]
