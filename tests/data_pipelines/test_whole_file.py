"""Files that are whole, whoever writes them at the same time."""

from concurrent import futures

from data_pipelines import whole_file


def test_threads_that_write_one_file_do_not_collide(tmp_path):
  contents = [bytes([65 + k]) * 200_000 for k in range(8)] * 10
  with futures.ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda c: whole_file.write(tmp_path / 'x', c), contents))
  assert (tmp_path / 'x').read_bytes() in contents
  assert [p.name for p in tmp_path.iterdir()] == ['x']
