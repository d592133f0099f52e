"""The schema of a run: every key, its default and what it means.

A file in `configs/` starts from `experiment.new(method)`, which is this schema
plus one method's settings, changes some values and returns it locked. Every
key can be overridden on the command line: `--config.data.shots=4`.
"""

import ml_collections


def base() -> ml_collections.ConfigDict:
  """The schema with its defaults, unlocked."""
  c = ml_collections.ConfigDict()
  # Chooses every random number of the run and nothing else: never a list.
  c.seed = 1
  # Which official split of the data set (1, 2 or 3) is used.
  c.split = 1
  # Clips per optimizer step over all devices together.
  c.batch_size = 64
  # Where downloaded weights are kept; '' = ~/.cache/evclip_jax.
  c.cache_dir = ''

  c.data = _data()
  c.clip = ml_collections.ConfigDict()
  # A published name (python -m evclip_jax.download --list) or 'tiny'.
  c.clip.name = 'ViT-B/16'
  # '' = the published weights of `name`; a file; another published name; or
  # 'random:SEED' to try things without weights.
  c.clip.weights = ''
  # The BPE vocabulary: '' = downloaded or packaged; or a file.
  c.clip.vocab = ''

  c.encoder = ml_collections.ConfigDict()
  # The video trunk of methods that use one.
  c.encoder.name = 'omnivore_swinS'
  c.encoder.weights = ''

  c.compute = ml_collections.ConfigDict()
  # 'float32' or 'bfloat16'. Parameters, optimizer, losses stay float32.
  c.compute.dtype = 'float32'
  # Recompute CLIP's blocks in the backward pass: less memory, more time.
  c.compute.remat = False

  c.mesh = ml_collections.ConfigDict()
  # Devices along the batch axis; 0 = all there are.
  c.mesh.data = 0
  # Spread the large frozen weights over the devices instead of copying them.
  c.mesh.shard_frozen = False

  c.method = ml_collections.ConfigDict()
  # A file name in evclip_jax/methods.
  c.method.name = ''
  # A file with trained weights of this method to start from (ours, or the
  # original code's); '' = the method's own initialisation.
  c.method.weights = ''
  c.method.settings = ml_collections.ConfigDict()

  c.optimizer = _optimizer()

  c.episodes = _episodes()

  c.train = ml_collections.ConfigDict()
  c.train.epochs = 500
  c.train.eval_every_epochs = 5
  c.train.checkpoint_every_epochs = 5
  c.train.log_every_steps = 1
  # Parts that a batch goes through the network in, one after the other: less
  # memory, the same numbers. For methods whose loss is a mean over rows.
  c.train.accumulate = 1
  # Which checkpoint is reported: 'last'; 'best_val'; 'best_on_test' (the
  # original's protocol: optimistic, and the output says so); 'auto' =
  # best_val if there is validation data, else last.
  c.train.select = 'auto'

  c.eval = ml_collections.ConfigDict()
  # Clips per evaluation step; 0 = batch_size.
  c.eval.batch_size = 0
  # Views per video: temporal windows x spatial crops, probabilities averaged.
  c.eval.clips = 1
  c.eval.crops = 1

  # Values that go with other values, unless the command line gives them:
  # {'when': {'clip.name': 'ViT-L/14'}, 'set': {'batch_size': 16}}.
  c.variants = ()

  # Variants run one after the other and shown in one table, in this order:
  # {'name': ..., 'method': ..., 'settings': {...}}. Empty = one ordinary run.
  c.compare = ()

  c.protocol = ml_collections.ConfigDict()
  # Several runs combined to one result: 'few_shot', 'zero_shot',
  # 'base_to_novel', 'supervised' or 'episodes' (see `protocols`); '' = one run.
  c.protocol.name = ''
  # few_shot: clips per class of each run; 0 = all. episodes: shots to score.
  c.protocol.shots = (2, 4, 8, 16)
  # base_to_novel: seeds to average over.
  c.protocol.seeds = (1, 2, 3)
  # supervised: splits to average over; () = the split of the config.
  c.protocol.splits = ()
  return c


def _optimizer() -> ml_collections.ConfigDict:
  o = ml_collections.ConfigDict()
  # 'adamw', or 'adam_l2' (the decay is part of the gradient).
  o.name = 'adamw'
  o.learning_rate = 4e-4
  o.weight_decay = 0.05
  # Patterns of the paths of leaves without decay, matched in full.
  o.no_decay = ()
  o.b1 = 0.9
  o.b2 = 0.999
  o.eps = 1e-8
  # Longest gradient over all leaves together; 0 = any.
  o.clip_norm = 0.0
  # 'delayed_cosine', 'warmup_cosine' or 'relative_steps': see `schedules`.
  o.schedule = 'delayed_cosine'
  o.warmup_epochs = 1
  # Where the warm-up stays (delayed_cosine) or begins (relative_steps).
  o.warmup_learning_rate = 2e-5
  # warmup_cosine: the rate is set every so many steps.
  o.rate_every_steps = 1
  # relative_steps: from which epochs on which shares of learning_rate hold.
  o.stair_epochs = (0,)
  o.stair_rates = (1.0,)
  # relative_steps: count epochs twice, as CLIP-FSAR's code does.
  o.epochs_count_twice = False
  # relative_steps: iterations that a step stands for, whose last one's rate
  # holds (CLIP-FSAR: 4), and those of an epoch (0 = those of its steps).
  o.iterations_per_step = 1
  o.iterations_per_epoch = 0
  return o


def _episodes() -> ml_collections.ConfigDict:
  # For methods that learn from episodes, in place of batch_size and epochs.
  e = ml_collections.ConfigDict()
  # Classes of an episode, and of each class support and query clips.
  e.way = 5
  e.shot = 1
  e.query = 5
  # Likewise in testing; 0 = as in training.
  e.test_way = 0
  e.test_shot = 0
  e.test_query = 1
  # Episodes of one optimizer step over all devices together.
  e.per_step = 16
  # Episodes to train on, whole steps of them, and how many the schedule calls
  # an epoch (rounded down to steps, like those between evaluations).
  e.train_episodes = 20_000
  e.epoch_episodes = 2_000
  # How often the watched lists are scored and the state is saved.
  e.eval_every_episodes = 2_000
  # Episodes of each list to score.
  e.test_episodes = 10_000
  # A folder of <list>-episodes.txt, as a run writes into its lists/: the
  # episodes to score; '' = drawn from the seed.
  e.listing = ''
  # Compute the features of each clip to score once, for all its episodes.
  e.bank = True
  return e


def _data() -> ml_collections.ConfigDict:
  d = ml_collections.ConfigDict()
  # A data set ('ucf101', 'hmdb51', ...: see README), 'folder' or 'demo'.
  d.name = 'ucf101'
  # The folder that holds the videos.
  d.root = ''
  # List files; '' = the data set's own lists (folder data: see README).
  d.train_list = ''
  d.val_list = ''
  d.test_list = ''
  # Several named test lists instead of one: name -> list file.
  d.tests = ml_collections.ConfigDict()
  # For mirrors: 'REGEX=>REPLACEMENT' rewrites every path that a list names.
  d.path_rule = ''
  # Clips that a list names and the data lack: 'error', or 'skip' them.
  d.on_missing = 'error'
  # The share of a list that may be left out so; more of it is an error.
  d.most_missing = 0.2
  # EPIC-Kitchens: what is told apart: 'verb', 'noun' or 'action' (both).
  d.label_kind = 'verb'
  # Training clips per class, drawn from the training list; 0 = all.
  d.shots = 0
  # A class with fewer clips than `shots`: 'error', or 'keep' what there is.
  d.few_shot_short = 'error'
  # A file with one class name per line, in label order; '' = from the data.
  # With class_scope 'per_list' also, with commas between them: a JSON file
  # {"train": [...], "test": [...]}, LIST=FILE for one list, 'clip_fsar/<data
  # set>' for CLIP-FSAR's published lists.
  d.class_names = ''
  # 'shared': one numbering of classes for all lists; 'per_list': each given
  # list numbers its own, as CLIP-FSAR's and EZ-CLIP's base and novel lists do.
  d.class_scope = 'shared'
  # Classes kept out of training; the lists 'base' and 'novel' replace 'test'.
  # '' = none; 'half' = the second half in label order; 'first_half' = the
  # first half (HMDB51's published choice); or a file of class names.
  d.novel_classes = ''
  # Other data sets to score, each against its own classes: name -> {'name',
  # 'root', 'splits', 'test_list', 'class_names', 'tfds_dir'}; see
  # data_pipelines.datasets.others.
  d.others = ml_collections.ConfigDict()
  # Whether the data set's own test lists are scored beside data.others.
  d.score_own = True
  # A prepared TFDS folder (python -m data_pipelines.build); '' = read files.
  d.tfds_dir = ''
  # Whose recipe makes pixels of videos: 'ev_clip', 'ez_clip' or 'clip_fsar',
  # a module in data_pipelines/transforms. The names at the keys below say
  # which recipe reads them; the others use fixed rules.
  d.preprocess = 'ev_clip'
  # T, frames per clip (all).
  d.num_frames = 8
  # Frames of the video that they are spread over (ev_clip).
  d.window_frames = 32
  # 'center' or 'random': where the window lies in training (ev_clip), or the
  # frame in each of T segments (ez_clip).
  d.train_temporal = 'center'
  # Which frames (clip_fsar): 'segment' draws one of each of T segments, in
  # scoring as well; 'segment_center' scores their middle ones; 'interval'
  # takes evenly spaced ones (Kinetics).
  d.frame_rule = 'segment'
  # What every frame is squeezed into (ev_clip).
  d.resize_height = 256
  d.resize_width = 340
  # P, the side of the square that is cut out (all).
  d.crop_pixels = 224
  # Mirror half of the training clips (ez_clip). False where left and right
  # are different classes, as in Something-Something.
  d.flip = True
  # Mirror half of the training queries (clip_fsar, Kinetics).
  d.query_augment = False
  # A clip that cannot be decoded: 'error' or 'skip'.
  d.on_broken = 'error'
  # Clips read at once, each by a process of its own (about 200 MB): 0 = one per
  # core, at most 16; 1 = by the trainer itself.
  d.workers = 0
  # Batches decoded ahead.
  d.prefetch = 2
  return d
