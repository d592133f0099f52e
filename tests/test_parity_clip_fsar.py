"""Cases of CLIP-FSAR that are spoilt do not pass."""

import json
import pathlib
import shutil

import pytest

from tests.parity.__main__ import run_case

GOLDEN = pathlib.Path(__file__).parent / 'golden'


@pytest.fixture
def spoil(tmp_path):
  """(change of the manifest) -> names of the misses and their notes."""
  case = tmp_path / 'case'
  shutil.copytree(GOLDEN / 'fsar-1shot-combine', case)

  def act(change):
    path = case / 'manifest.json'
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return {x.name: x.note for x in run_case(case) if not x.ok}

  return act


@pytest.mark.parametrize(
    ('change', 'note'),
    [
        (lambda m: m.update(dim=32), 'dim 32'),
        (lambda m: m.update(depth=2), 'depth 2'),
        (lambda m: m.update(frames=4), 'frames 4'),
        (lambda m: m.update(shot=2), 'equally many'),
        (lambda m: m.update(way=4), 'support_labels'),
        (lambda m: m['flags'].update(PROTO=True), 'PROTO'),
        (lambda m: m['params'].pop('scale'), 'method/scale'),
        (lambda m: m['inputs'].pop('dirs'), 'dirs'),
        (lambda m: m.pop('adam'), 'adam'),
    ],
)
def test_manifests_that_contradict_themselves(spoil, change, note):
  missed = spoil(change)
  assert list(missed) == ['case']
  assert note in missed['case']


@pytest.mark.parametrize(
    'flags', [{'EVAL_TEXT': True}, {'TEXT_COFF': 0.9}, {'COMBINE': False}]
)
def test_another_evaluation_shows_in_its_logits_only(spoil, flags):
  missed = spoil(lambda m: m['flags'].update(flags))
  assert list(missed) == ['eval_logits']


def test_another_weight_shows_in_total_and_the_scales_gradient(spoil):
  missed = spoil(lambda m: m.update(class_weight=1.5))
  assert list(missed) == ['total', 'losses', 'grad scale']
