"""Who may write into a run folder."""

import pytest

import evclip_jax
from data_pipelines.errors import UserError
from evclip_jax.config import schema
from evclip_jax.runs import folder as run_folder


def config(**changes):
  c = schema.base()
  c.method.name = 'ev_clip'
  c.update_from_flattened_dict(changes)
  return c


def test_a_folder_is_named_after_config_method_and_seed():
  name = run_folder.default('configs/ucf.py:ev_clip', config(seed=3))
  assert name == 'runs/ucf-ev_clip-s3'


def test_others_are_refused_by_key(tmp_path):
  run_folder.prepare(str(tmp_path), config())
  with pytest.raises(UserError, match='seed: 1 there, 2 now'):
    run_folder.prepare(str(tmp_path), config(seed=2))
  # An evaluation needs the same model only.
  run_folder.check_same_model(str(tmp_path), config(batch_size=8))
  with pytest.raises(UserError, match='clip.name'):
    run_folder.check_same_model(str(tmp_path), config(**{'clip.name': 'RN50'}))


def test_what_is_no_folder_of_a_run(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(UserError, match='cannot write to the run folder'):
    run_folder.prepare(str(tmp_path / 'file' / 'run'), config())


def test_a_folder_of_several_runs_names_them(tmp_path):
  run_folder.prepare(tmp_path, config(**{'protocol.name': 'seeds'}))
  for part in ('seed-2', 'seed-1'):
    run_folder.prepare(tmp_path / part, config())
  for read in (evclip_jax.load, evclip_jax.shift):
    with pytest.raises(UserError, match=r'several .* in seed-1, seed-2\.'):
      read(str(tmp_path))


def test_lists_and_texts_that_changed_are_noticed(tmp_path):
  lists = {'train': {'clips': 3, 'sha256': 'a' * 64}}
  before = {'lists': lists, 'texts': {'train': 'x', 'test': 'y'}}
  run_folder.check_data(tmp_path, before)
  changed = {'train': {'clips': 3, 'sha256': 'b' * 64}}
  with pytest.raises(UserError, match="the list 'train' has changed"):
    run_folder.check_data(tmp_path, {'lists': changed})
  with pytest.raises(UserError, match="texts of 'test' have changed"):
    run_folder.check_data(tmp_path, before | {'texts': {'test': 'z'}})
