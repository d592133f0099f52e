"""How commands start; what they say of mistakes is tested with each."""

import os
import subprocess
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


@pytest.mark.parametrize(
    ('body', 'status', 'told'),
    [
        ('print("x" * 99999)', 141, 'stopped: nobody reads'),
        ('print("x")', 141, 'stopped: nobody reads'),
        ('print("x"); raise UserError("bad")', 2, 'error: bad'),
        # Of another pipe, such as one between processes.
        ('sys.stdout = sys.stderr; raise BrokenPipeError', 1, '\nTraceback'),
    ],
)
def test_a_reader_that_has_ended_is_told_in_one_line(body, status, told):
  lines = (
      'import sys',
      'from data_pipelines import cli',
      'from data_pipelines.errors import UserError',
      'def main(args):',
      f'  {body}',
      'cli.run(main)',
  )
  reader, writer = os.pipe()
  os.close(reader)
  with open(writer, 'w') as output:
    done = subprocess.run(
        [sys.executable, '-c', '\n'.join(lines)],
        stdout=output, stderr=subprocess.PIPE, text=True, check=False,
        env=os.environ | {'PYTHONUNBUFFERED': ''},
    )  # fmt: skip
  assert done.returncode == status, done.stderr
  assert done.stderr.startswith(told)
  assert status == 1 or len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='Linux')
@pytest.mark.parametrize('unbuffered', ['', '1'])
def test_a_full_disk_is_told_in_one_line(unbuffered):
  code = "from data_pipelines import cli; cli.run(lambda _: print('x'))"
  with open('/dev/full', 'w') as output:
    done = subprocess.run(
        [sys.executable, '-c', code],
        stdout=output, stderr=subprocess.PIPE, text=True, check=False,
        env=os.environ | {'PYTHONUNBUFFERED': unbuffered},
    )  # fmt: skip
  assert done.returncode == 2
  assert done.stderr.startswith('error: the disk is full')
  assert len(done.stderr.splitlines()) == 1
