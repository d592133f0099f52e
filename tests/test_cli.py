"""How commands start; what they say of mistakes is tested with each."""

import os
import sys

import pytest

from data_pipelines import cli


@pytest.mark.parametrize(
    ('offered', 'set_before', 'starts_anew'),
    [
        ('always [madvise] never', None, True),
        ('always [madvise] never', 'glibc.malloc.check=3', False),
        ('[always] madvise never', None, False),
        (None, None, False),
    ],
)
def test_huge_pages_are_used_where_there_are_some(
    offered, set_before, starts_anew, tmp_path, monkeypatch
):
  started = []
  monkeypatch.setattr(os, 'execv', lambda *given: started.append(given))
  monkeypatch.setattr(os, 'environ', {})
  monkeypatch.setattr(cli, '_HUGE_PAGES', tmp_path / 'enabled')
  monkeypatch.setattr(sys, 'orig_argv', ['python', '-m', 'a.command', '--b'])
  if offered:
    (tmp_path / 'enabled').write_text(offered)
  if set_before:
    os.environ['GLIBC_TUNABLES'] = set_before
  cli.use_huge_pages()
  command = [sys.executable, '-m', 'a.command', '--b']
  assert started == [(sys.executable, command)] * starts_anew
  assert ('hugetlb=1' in os.environ.get('GLIBC_TUNABLES', '')) == starts_anew
