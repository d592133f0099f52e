"""Makes batches of videos: lists, data sets, decoding, recipes, `tf.data`."""

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
  float32 [B], 'index': int32 [B]}: 'index' is the position of a clip in its
  list; 'mask' is 1 for clips and 0 for rows that only pad the last batch of a
  list that is scored. Such a list also has 'view': int32 [B]. The batches do
  not depend on the number of workers. The data set has the attributes
  `class_names`, K names in label order, and `steps`, the batches of an epoch.

  Args:
    root, name: data.root and data.name.
    batch_size: rows over all processes; in training at most the list's clips.
    training: True = endless batches of the training list, reshuffled and
      cropped anew in each epoch; False = each clip of `list_name` once per
      view, in order.
    list_name: the list to score: 'val', 'test', or that of another test list.
    seed: decides everything that is drawn.
    split: official split, if the data set has several.
    start_step: number of batches to skip, at no cost.
    process_index, process_count: which share of each batch to return.
    clips, crops: views of a clip that is scored: windows in time, and 1 or 3
      crops of each.
    cache_dir: where the probes of files are kept.
    **settings: more keys of `data_pipelines.settings`, such as preprocess,
      num_frames, crop_pixels, train_list, shots, workers.

  Raises:
    UserError: settings or data that cannot be used. A clip that cannot be read
      raises TensorFlow's error, which names it.
  """
  # Not at the top, so that a user of one module does not import all of them.
  from data_pipelines import settings as all_settings
  from data_pipelines.errors import UserError
  from data_pipelines.loaders import batches as batch_lib
  from data_pipelines.loaders import eval_set, loader, one_clip, open_data

  for key, value, allowed in (
      ('batch_size', batch_size, 1),
      ('start_step', start_step, 0),
      ('process_count', process_count, 1),
      ('process_index', process_index, tuple(range(process_count))),
      ('clips', clips, 1),
      ('crops', crops, (1, 3)),
  ):
    all_settings.check(key, all_settings.Key(1, '', allowed), value)
  data = all_settings.make(name=name, root=root, **settings)
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
