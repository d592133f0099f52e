"""Videos -> batches: lists, data sets, decoding, recipes, `tf.data`."""

from typing import Any


def dataset(
    root: str = '',
    name: str = 'folder',
    *,
    batch_size: int,
    training: bool = True,
    list_name: str = 'test',
    seed: int = 1,
    split: int = 1,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    clips: int = 1,
    crops: int = 1,
    cache_dir: str = '',
    **settings: Any,
):
  """Returns a `tf.data.Dataset` of batches of clips.

  An element is {'video': uint8 [B, T, P, P, 3], 'label': int32 [B], 'mask':
  float32 [B], 'index': int32 [B]}: 'index' is the place of a clip in its list;
  'mask' tells which rows are clips, 1, and which only fill up the last batch of
  a list to score, 0. A list to score also has 'view': int32 [B]. It does not
  depend on the number of processes that read, and has `class_names`, K names in
  label order, and `steps`, the batches of an epoch, as attributes.

  Args:
    root, name: data.root and data.name.
    batch_size: rows over all processes.
    training: endless batches of the training list, shuffled and cropped anew
      in each epoch; else each clip of a list to score once per view, in order.
    list_name: which list to score: 'val', 'test', or another's name.
    seed: of all that is drawn.
    split: official split, where the data set has several.
    start_step: batches to begin behind; costs nothing.
    process_index, process_count: which share of each batch to give.
    clips, crops: views of a clip that is scored: windows in time, and 1 or 3
      crops of each.
    cache_dir: where what is known of files is kept.
    **settings: further ones of `data_pipelines.settings`, such as preprocess,
      num_frames, crop_pixels, train_list, shots, workers.

  Raises:
    UserError: settings or data that cannot be used. A clip that cannot be read
      raises TensorFlow's error, which names it.
  """
  # Not at the top: these import TensorFlow when they are used, and whoever
  # needs one module of this package should not pay for all.
  from data_pipelines import settings as all_settings
  from data_pipelines.errors import UserError
  from data_pipelines.loaders import batches as batch_lib
  from data_pipelines.loaders import eval_set, loader, one_clip, open_data

  data = all_settings.make(name=name, root=root, **settings)

  def check(key, value, allowed):
    all_settings.check(key, all_settings.Key(1, '', allowed), value)

  check('batch_size', batch_size, 1)
  check('start_step', start_step, 0)
  check('process_count', process_count, 1)
  check('process_index', process_index, tuple(range(process_count)))
  check('clips', clips, 1)
  check('crops', crops, (1, 3))
  sets = open_data.open_data(
      data, seed, split, cache_dir=cache_dir, evaluate_only=not training
  )
  ways = process_index, process_count, data.workers, data.prefetch
  read = loader.Loader(one_clip.spec_of(data), seed, *ways)
  if training:
    source = sets.train
    rows = read.train(source, batch_size, start_step)
    steps = loader.steps_per_epoch(len(source), batch_size)
  elif list_name in sets.evals():
    source = sets.evals()[list_name]
    scored = eval_set.EvalSet(read, source, batch_size, clips, crops)
    rows, steps = scored.rows(start_step), scored.num_batches
  else:
    raise UserError(
        f'list_name={list_name!r}: the lists to score are '
        f'{", ".join(sets.evals())}.'
    )
  batches = batch_lib.as_dataset(rows)
  batches.class_names, batches.steps = list(source.class_names), steps
  return batches
