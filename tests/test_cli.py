"""How commands start; what they say of mistakes is tested with each."""

import os
import sys

import pytest

from data_pipelines import cli


@pytest.mark.parametrize(
    ('module', 'offered', 'set_before', 'starts_anew'),
    [
        ('evclip_jax.main', 'always [madvise] never', None, True),
        ('evclip_jax.main', 'always [madvise] never', 'glibc.x=3', False),
        ('evclip_jax.main', '[always] madvise never', None, False),
        ('evclip_jax.main', None, None, False),
        ('ipykernel_launcher', 'always [madvise] never', None, False),
    ],
)
def test_huge_pages_are_used_where_there_are_some(
    module, offered, set_before, starts_anew, tmp_path, monkeypatch
):
  started = []
  monkeypatch.setattr(os, 'execv', lambda *given: started.append(given))
  monkeypatch.setattr(os, 'environ', {})
  monkeypatch.setattr(cli, '_HUGE_PAGES', tmp_path / 'enabled')
  monkeypatch.setattr(sys, 'orig_argv', ['python', '-m', module, '--b'])
  if offered:
    (tmp_path / 'enabled').write_text(offered)
  if set_before:
    os.environ['GLIBC_TUNABLES'] = set_before
  cli.use_huge_pages()
  command = [sys.executable, '-m', module, '--b']
  assert started == [(sys.executable, command)] * starts_anew
  assert ('hugetlb=1' in os.environ.get('GLIBC_TUNABLES', '')) == starts_anew
