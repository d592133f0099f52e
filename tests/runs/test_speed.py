"""Measuring speed: what is reported, not how fast it is."""

import json

import pytest

from configs import folder
from data_pipelines.loaders import one_clip
from data_pipelines.video import pool
from evclip_jax.runs import decode_speed, speed
from tests.runs.tiny_run import called, failures

TINY = (
    '--config=configs/ucf.py:st_adapter',
    '--config.clip.name=tiny',
    '--config.batch_size=2',
    '--config.data.num_frames=4',
    '--config.mesh.data=1',
    '--classes=5',
    '--steps=2',
    '--seconds=0.2',
)


@pytest.mark.parametrize(
    ('kind', 'dtype', 'teraflops'),
    [
        ('NVIDIA A100-SXM4-40GB', 'bfloat16', 312),
        ('NVIDIA A100-SXM4-40GB', 'float32', 156),
        ('NVIDIA H100 80GB HBM3', 'bfloat16', 989),
        ('NVIDIA H100 PCIe', 'bfloat16', 756),
        ('NVIDIA H200', 'float32', 494.5),
        ('NVIDIA L4', 'bfloat16', 121),
        ('Tesla T4', 'float32', 8.1),
        ('TPU v4', 'bfloat16', 275),
        ('TPU v5 lite', 'bfloat16', 197),
        ('TPU v5p', 'bfloat16', 459),
        ('TPU v6 lite', 'bfloat16', 918),
        ('cpu', 'float32', None),
        ('Tesla T4', 'bfloat16', None),
        ('NVIDIA L40S', 'float32', None),
    ],
)
def test_peaks_of_known_chips(kind, dtype, teraflops):
  found = speed.peak_flops(kind, dtype)
  assert found == (teraflops and pytest.approx(teraflops * 1e12))


def test_everything_the_contract_names_is_reported(tmp_path):
  out = tmp_path / 'speed.json'
  done = called('benchmark', *TINY, f'--out={out}')
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout.splitlines()[-1])
  assert json.loads(out.read_text()) == result
  for name in ('train', 'evaluate'):
    measured = result[name]
    assert measured['compile_seconds'] > 0
    assert measured['step_ms']['p10'] <= measured['step_ms']['median']
    assert measured['step_ms']['median'] <= measured['step_ms']['p90']
    assert measured['clips_per_second'] == pytest.approx(
        2e3 / measured['step_ms']['median']
    )
    assert measured['program_bytes'] > 0
    assert measured['share_of_peak'] is None
  # The backward pass costs about as much again, or twice that.
  assert 1.3 < result['train']['flops'] / result['evaluate']['flops'] < 4
  assert result['parameters']['trainable'] > 0
  assert result['parameters']['frozen'] > 0
  assert result['memory']['host_peak_bytes'] > 1e8
  assert result['decode']['bare_clips_per_second_per_core'] > 0
  assert result['decode']['loader_clips_per_second'] > 0
  text = speed.as_text(result)
  assert text in done.stdout
  for word in ('train compile seconds', 'evaluate step ms median', 'flops'):
    assert word in text


def test_data_only_leaves_the_model_alone():
  flags = '--config=configs/ucf.py', '--data-only', '--seconds=0.2'
  done = called('benchmark', *flags)
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout.splitlines()[-1])
  assert 'train' not in result
  assert result['decode']['loader_share_of_bare'] > 0


def test_decoders_read_what_the_loader_reads(monkeypatch, tmp_path):
  read, add = {'loader': [], True: [], False: []}, pool.Tasks.add
  decoding = one_clip.decoding

  def note(way, reading):
    read[way].append((str(reading.media), reading.frames.tolist()))

  def added(tasks, function, *args):
    # Decoders return no pixels.
    if function is one_clip.Reading.read and args[0].shape[0]:
      note('loader', *args)
    add(tasks, function, *args)

  def decoded(reading, plainly):
    note(plainly, reading)
    return decoding(reading, plainly)

  monkeypatch.setattr(pool.Tasks, 'add', added)
  monkeypatch.setattr(one_clip, 'decoding', decoded)
  monkeypatch.setattr(decode_speed, '_TURNS', 1)
  config = folder.get_config()
  config.cache_dir, config.data.workers = str(tmp_path), 1
  decode_speed.measure(config, 0.3)
  # Its clock starts after four batches of four clips.
  counted = read.pop('loader')[16:]
  for clips in read.values():
    both = min(len(clips), len(counted))
    assert both and clips[:both] == counted[:both]
  assert len({frames[0] for _, frames in counted}) > 1


def test_weights_that_are_not_there_end_with_a_way_out(tmp_path):
  flags = '--config=configs/ucf.py', f'--config.cache_dir={tmp_path}'
  (said,) = failures('benchmark', flags)
  assert 'random:0' in said
