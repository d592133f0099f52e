"""Reading files of torch without torch."""

import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from data_pipelines.errors import WeightsError
from data_pipelines.unpickle import Inert
from evclip_jax.weights import files, torch_file

DATA = pathlib.Path(__file__).parent / 'data'


def ramp(*shape):
  """Returns 0, 1/8, 2/8, ..., as in data/make.py."""
  return (np.arange(np.prod(shape, dtype=int)) / 8).reshape(shape)


SHARED = ramp(4, 6)
EXPECTED = {
    'float32': (ramp(2, 3), 'float32'),
    'float64': (ramp(2, 3), 'float64'),
    'float16': (ramp(2, 3), 'float16'),
    'bfloat16': (ramp(2, 3), 'float32'),
    'int64': (np.arange(-2, 4), 'int64'),
    'int32': (np.arange(-2, 4), 'int32'),
    'int16': (np.arange(-2, 4), 'int16'),
    'int8': (np.arange(-2, 4), 'int8'),
    'uint8': (np.arange(6), 'uint8'),
    'bool': ([True, False, True], 'bool'),
    'complex64': (ramp(3) + 1j * (ramp(3) + 1), 'complex64'),
    'scalar': (2.5, 'float32'),
    'bfloat16_scalar': (2.5, 'float32'),
    'empty': (np.zeros((0, 3)), 'float32'),
    'shared_whole': (SHARED, 'float32'),
    'shared_rows': (SHARED[1:3], 'float32'),
    'shared_columns': (SHARED[:, 2:4], 'float32'),
    'transposed': (SHARED.T, 'float32'),
    'expanded': (np.broadcast_to(ramp(1, 3), (4, 3)), 'float32'),
    'parameter': (ramp(2, 2), 'float32'),
}


@pytest.mark.parametrize(
    ('name', 'kind'), [('zip.pt', 'torch-zip'), ('legacy.pt', 'torch-legacy')]
)
def test_every_type_and_layout(name, kind):
  file = files.read_tensors(DATA / name)
  assert file.kind == kind
  assert list(file.tensors) == list(EXPECTED)
  for key, (values, dtype) in EXPECTED.items():
    tensor = file.tensors[key]
    assert isinstance(tensor, np.ndarray), key
    assert tensor.dtype == dtype, key
    assert tensor.flags.c_contiguous, key
    np.testing.assert_array_equal(tensor, np.asarray(values, dtype), key)


@pytest.mark.parametrize('name', ['script.pt', 'traced.pt'])
def test_torchscript_modules_give_dotted_names(name):
  file = files.read_tensors(DATA / name)
  assert file.kind == 'torchscript'
  assert {n: t.shape for n, t in file.tensors.items()} == {
      'positional_embedding': (2, 3),
      'layers.0.weight': (2, 3),
      'layers.0.bias': (2,),
      'layers.2.weight': (2,),
      'layers.2.bias': (2,),
      'input_resolution': (),
  }
  assert file.tensors['input_resolution'] == 224
  assert file.tensors['positional_embedding'].dtype == np.float16
  np.testing.assert_array_equal(file.tensors['layers.0.weight'], ramp(2, 3))


@pytest.mark.parametrize('name', ['model-best.pth.tar', 'model-legacy.pth.tar'])
def test_live_objects_of_a_checkpoint_stay_inert(name):
  _, root, _ = torch_file.read(DATA / name)
  schedule = root['scheduler']['successor']
  assert isinstance(schedule, Inert)
  assert schedule.name == 'torch.optim.lr_scheduler.CosineAnnealingLR'
  assert schedule.state['T_max'] == 10
  assert schedule.state['optimizer'].name == 'torch.optim.adamw.AdamW'
  assert root['epoch'] == 5
  assert root['val_result'] == 12.5
  assert root['names'] == {'a', 'b'}
  table = np.arange(6.0).reshape(2, 3)
  np.testing.assert_array_equal(root['table'].value, table)


@pytest.mark.parametrize('name', ['model-best.pth.tar', 'model-legacy.pth.tar'])
def test_the_state_dict_is_taken_from_a_checkpoint(name):
  file = files.read_tensors(DATA / name)
  assert list(file.tensors) == [
      'image_prompt_learner.dec.context_scale',
      'logit_scale',
      'weight',
  ]
  np.testing.assert_array_equal(file.tensors['weight'], ramp(2, 2))
  assert "took the entry 'state_dict' (3 tensors)" in file.notes
  assert 'optimizer.state.0.exp_avg' in file.left_out
  assert 'table' in file.left_out


@pytest.mark.parametrize('name', ['zip.pt', 'legacy.pt', 'script.pt'])
def test_a_file_cut_short_is_an_error_that_names_it(name, tmp_path):
  whole = (DATA / name).read_bytes()
  path = tmp_path / name
  # All lengths would be slow; these cut headers, pickles and numbers.
  for length in range(1, len(whole), 97):
    path.write_bytes(whole[:length])
    with pytest.raises(WeightsError, match=name):
      files.read_tensors(path)


@pytest.mark.parametrize('name', ['zip.pt', 'legacy.pt', 'model-best.pth.tar'])
def test_damaged_bytes_never_raise_anything_else(name, tmp_path):
  whole = (DATA / name).read_bytes()
  path = tmp_path / name
  generator = np.random.default_rng(0)
  for _ in range(150):
    damaged = bytearray(whole)
    for place in generator.integers(len(whole), size=3):
      damaged[place] = generator.integers(256)
    path.write_bytes(damaged)
    try:
      files.read_tensors(path)
    except WeightsError as e:
      assert name in str(e)


def test_a_changed_number_in_a_zip_is_noticed(tmp_path):
  whole = (DATA / 'zip.pt').read_bytes()
  value = np.asarray(ramp(2, 3), np.float64).tobytes()
  assert value in whole
  path = tmp_path / 'changed.pt'
  path.write_bytes(whole.replace(value, b'\1' + value[1:]))
  with pytest.raises(WeightsError, match=r'changed\.pt.*damaged'):
    files.read_tensors(path)


@pytest.mark.parametrize('protocol', [2, 4])
def test_numpy_arrays_in_the_pickle(protocol, tmp_path):
  arrays = {'a': ramp(2, 3), 'b': ramp(2, 3).T, 'none': ramp(0)}
  with zipfile.ZipFile(tmp_path / 'a.pt', 'w') as archive:
    archive.writestr('a/data.pkl', pickle.dumps({'model': arrays}, protocol))
  found = files.read_tensors(tmp_path / 'a.pt').tensors
  for name, value in arrays.items():
    np.testing.assert_array_equal(found[name], value, name, strict=True)
