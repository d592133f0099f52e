"""Writes a run for other programs: its trained weights, or the whole model.

A whole model maps uint8 clips to logits and includes the normalisation. It is
read back and compared with the run before it is kept.
"""

import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax import export
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from safetensors.numpy import save

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip
from evclip_jax import __version__
from evclip_jax.evaluation import look
from evclip_jax.methods.base import Method
from evclip_jax.runs.trained_model import TrainedModel, Videos
from evclip_jax.training import params, steps

# The description beside every whole model.
ABOUT = 'model.json'
_PROGRAM = 'model.stablehlo'
PLATFORMS = ('cpu', 'cuda', 'tpu')
# Largest difference allowed of a logit.
_TOLERANCE = 1e-4

# Settings of the recipe that matter only in training.
_OF_TRAINING = ('train_temporal', 'flip', 'query_augment')
_OUTSIDE = {
    'ev_clip': 'Take the window_frames in the middle of the video, and of them '
    'every k-th, k = window_frames // num_frames. Resize them (OpenCV, '
    'bicubic) to resize_width x resize_height pixels, or with short_side their '
    'shorter side to resize_height. Cut out the middle square of crop_pixels. '
    'With trunk_pixels, put the same part of the frame, resized to such a '
    'square, under it, and zeros beside the smaller square.',
    'ez_clip': 'Take the middle frame of each of num_frames equal parts. '
    'Resize the shorter side (Pillow, bicubic) to 256 / 224 of crop_pixels. '
    'Cut out the middle square.',
    'clip_fsar': 'Take one frame of each of num_frames equal parts. Resize '
    'them (OpenCV, bilinear) to squares of 256 / 224 of crop_pixels. Cut out '
    'the middle square.',
}

Program = Callable[[Any, jax.Array], jax.Array]
Answer = Callable[[np.ndarray], np.ndarray]


def save_trained(workdir: str, path: str | os.PathLike) -> str:
  """Writes a run's trained leaves as .safetensors and says so, or UserError."""
  # Other programs bring their own frames, so data.corrupt does not count.
  run = TrainedModel(workdir, corrupt='')
  if not run.weights:
    raise UserError(f'{workdir} is a run without trained weights.')
  # Not ascontiguousarray, which gives scalars an axis.
  ordered = functools.partial(np.asarray, order='C')
  leaves = jax.tree.map(ordered, jax.device_get(run.weights))
  metadata = {
      'format': 'evclip-jax',
      'kind': 'trained',
      'method': run.config.method.name,
      'num_frames': str(run.config.data.num_frames),
      'step': str(run.step),
      'selected_by': run.selected_by,
      **{f'weights.{n}': h for n, h in run.session.hashes.items()},
  }
  try:
    whole_file.write(path, save(leaves, metadata))
  except OSError as e:
    raise UserError(f'cannot write {path}: {e.strerror or e}.') from e
  return (
      f'{path}: {params.count(leaves):,} trained weights of '
      f'{run.config.method.name}, step {run.step} ({run.selected_by})'
  )


def save_model(
    workdir: str,
    out: str | os.PathLike,
    kind: str,
    classes: Sequence[str] | None = None,
    support: Mapping[str, Videos] | None = None,
) -> str:
  """Writes a run as one function of clips, with model.json beside it.

  Clips are uint8 [B, T, P, P, 3] for any B, logits float32 [B, K].

  Args:
    workdir: the run folder.
    out: a folder that does not exist; it is written whole or not at all.
    kind: 'orbax' for all weights and a StableHLO program that takes them,
      'stablehlo' for a program with its weights inside, or 'savedmodel'.
    classes, support: as for `TrainedModel.predict`.

  Returns:
    Lines that say what was written and how well it agrees with the run.

  Raises:
    UserError: `out` exists or cannot be written, classes or support do not fit
      the method, or what was written differs from the run.
  """
  out = pathlib.Path(out)
  if out.exists():
    raise UserError(f'--out={out} exists already. Choose another folder.')
  # Other programs bring their own frames, so data.corrupt does not count.
  run = TrainedModel(workdir, corrupt='')
  names = run.names(classes, support)
  shape = one_clip.spec_of(run.config.data).shape
  rows = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
  tree = params.merge(run.session.frozen, run.weights)
  tree['scored'] = {'classes': run.session.classes(run.weights, names)}
  if support:
    looker = look.Looker(run.session, run.weights, len(rows))
    examples = looker.examples(run.read_examples(support))
    tree['scored']['examples'] = examples
  tree = jax.device_get(tree)
  batch = *export.symbolic_shape('batch'), *shape
  video = jax.ShapeDtypeStruct(batch, np.uint8)
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    # On the CPU, as accelerators round more and TensorFlow may not see them.
    with (
        tempfile.TemporaryDirectory(dir=out.parent) as parent,
        jax.default_device(_host()),
    ):
      folder = pathlib.Path(parent, out.name)
      folder.mkdir()
      logits = program(run.method)
      expected = np.asarray(jax.jit(logits)(tree, rows))
      found = _WRITERS[kind](logits, tree, video, folder)(rows)
      worst = float(np.abs(found - expected).max())
      if not worst <= _TOLERANCE:
        raise UserError(
            f'the {kind} differs by {worst:.1e} from the run (at most '
            f'{_TOLERANCE} is allowed) and was not kept. '
            'Try another --to, or a run with compute.dtype=float32.'
        )
      about = _about(run, names, kind, worst)
      whole_file.write_json(folder / ABOUT, about)
      shutil.move(folder, out)
  except OSError as e:
    raise UserError(f'cannot write {out}: {e.strerror or e}.') from e
  except Exception as e:
    # Orbax and TensorFlow have errors of their own for it.
    if 'No space left' not in str(e):
      raise
    raise UserError(f'cannot write {out}: the disk is full.') from e
  size = sum(f.stat().st_size for f in out.rglob('*') if f.is_file())
  return (
      f'{out}: {kind} of {run.config.method.name}, step {run.step} '
      f'({run.selected_by}), {len(names)} classes, {size / 2**20:.1f} MB\n'
      f'read back: logits differ by at most {worst:.1e}\n'
      f'{out / ABOUT}: classes, and what to do with a video before'
  )


def _host() -> jax.Device:
  try:
    return jax.local_devices(backend='cpu')[0]
  except RuntimeError:  # JAX_PLATFORMS leaves it out.
    return jax.local_devices()[0]


def program(method: Method) -> Program:
  """Returns the pure function (tree, clips) -> logits.

  The tree has the method's params and 'scored': class embeddings 'classes'
  [M, K, E] and, for a method that compares, the features of 'examples'.
  """

  def logits(tree, video):
    seen = method.video(tree, method.pixels(video, None), None, False)
    seen = {'clip': seen.clip, 'frames': seen.frames}
    scored = tree['scored']
    return steps.score(
        method, tree, scored['classes'], seen, scored.get('examples')
    )

  return logits


def _write_program(run: Callable, given: tuple, folder: pathlib.Path):
  """Writes a function for all platforms and returns it as read back."""
  whole = export.export(jax.jit(run), platforms=PLATFORMS)(*given)
  (folder / _PROGRAM).write_bytes(whole.serialize())
  return export.deserialize((folder / _PROGRAM).read_bytes()).call


def _write_orbax(run: Program, tree, video, folder: pathlib.Path) -> Answer:
  path = folder.absolute() / 'weights'
  with ocp.StandardCheckpointer() as orbax:
    orbax.save(path, tree)
  call = _write_program(run, (tree, video), folder)
  with ocp.StandardCheckpointer() as orbax:
    back = orbax.restore(path, jax.tree.map(np.empty_like, tree))
  return lambda rows: np.asarray(call(back, rows))


def _write_stablehlo(run: Program, tree, video, folder: pathlib.Path) -> Answer:
  # As JAX arrays, which traced numbers may index.
  tree = jax.device_put(tree)
  call = _write_program(lambda rows: run(tree, rows), (video,), folder)
  return lambda rows: np.asarray(call(rows))


def _write_savedmodel(
    run: Program, tree, video, folder: pathlib.Path
) -> Answer:
  # Not at the top, since only this needs TensorFlow.
  import tensorflow as tf
  from jax.experimental import jax2tf

  # TensorFlow would take the accelerator's memory from JAX.
  tf.config.set_visible_devices([], 'GPU')
  leaves, structure = jax.tree.flatten(tree)
  used = export.export(jax.jit(run))(tree, video).module_kept_var_idx
  used = [i for i in used if i < len(leaves)]

  def of_used(some, rows):
    own = list(leaves)
    for i, leaf in zip(used, some, strict=True):
      own[i] = leaf
    return run(jax.tree.unflatten(structure, own), rows)

  module = tf.Module()
  module.weights = [tf.Variable(leaves[i], trainable=False) for i in used]
  some = [leaves[i] for i in used]
  whole = export.export(jax.jit(of_used), platforms=PLATFORMS)(some, video)
  converted = jax2tf.convert(
      _without_composites(whole).call,
      polymorphic_shapes=[None, '(batch, ...)'],
      with_gradient=False,
      native_serialization_platforms=PLATFORMS,
  )
  module.logits = tf.function(
      lambda video: {'logits': converted(module.weights, video)},
      input_signature=[
          tf.TensorSpec([None, *video.shape[1:]], tf.uint8, 'video')
      ],
      autograph=False,
  )
  tf.saved_model.save(
      module, str(folder), signatures={'serving_default': module.logits}
  )
  serve = tf.saved_model.load(str(folder)).signatures['serving_default']
  return lambda rows: serve(video=tf.constant(rows))['logits'].numpy()


def _without_composites(whole: export.Exported) -> export.Exported:
  """Replaces composites such as erf, which TensorFlow lacks, by their parts."""
  with ir.Context() as context:
    stablehlo.register_dialect(context)
    module = stablehlo.deserialize_portable_artifact(
        context, whole.mlir_module_serialized
    )

    def plain(operation):
      if operation.name == 'stablehlo.composite':
        call = ir.Operation.create(
            'func.call',
            [x.type for x in operation.results],
            list(operation.operands),
            {'callee': operation.attributes['decomposition']},
            loc=operation.location,
            ip=ir.InsertionPoint(operation),
        )
        for old, new in zip(operation.results, call.results, strict=True):
          old.replace_all_uses_with(new)
        operation.erase()
      return ir.WalkResult.ADVANCE

    module.operation.walk(plain)
    version = stablehlo.get_version_from_compatibility_requirement(
        stablehlo.StablehloCompatibilityRequirement.WEEK_12
    )
    plainly = stablehlo.serialize_portable_artifact(module, version)
  return dataclasses.replace(whole, mlir_module_serialized=plainly)


_WRITERS = {
    'orbax': _write_orbax,
    'stablehlo': _write_stablehlo,
    'savedmodel': _write_savedmodel,
}


def _about(run: TrainedModel, names: list[str], kind: str, worst: float):
  """Returns the contents of model.json."""
  config, spec = run.config, one_clip.spec_of(run.config.data)
  settings = dataclasses.asdict(spec)
  for name in _OF_TRAINING:
    settings.pop(name, None)
  return {
      'kind': kind,
      'run': run.name,
      'method': config.method.name,
      'step': run.step,
      'selected_by': run.selected_by,
      'classes': names,
      'input': {
          'name': 'video',
          'dtype': 'uint8',
          'shape': ['batch', *spec.shape],
          'colours': 'RGB, 0 to 255',
      },
      'output': {
          'name': 'logits',
          'dtype': 'float32',
          'shape': ['batch', len(names)],
          'probabilities': 'softmax over the classes',
      },
      'inside': 'everything from uint8 on, such as normalisation',
      'outside': {
          'what': _OUTSIDE[config.data.preprocess],
          'settings': settings,
          'windows': config.eval.clips,
          'crops': config.eval.crops,
          'several': 'probabilities of windows and crops are averaged',
      },
      'weights': dict(run.session.hashes),
      'largest_difference': worst,
      'versions': {'evclip_jax': __version__, 'jax': jax.__version__},
  }
