"""What a benchmark measured, as text."""

from typing import Any


def table(result: dict[str, Any]) -> str:
  """The measurements as aligned text."""
  versions = result['versions']
  rows = [
      ('config', f'{result["config"]}, method {result["method"]}'),
      (
          'device',
          f'{len(result["devices"])} x {result["device_kind"]}, '
          f'jax {versions["jax"]}, {result["dtype"]}',
      ),
  ]
  if 'parameters' in result:
    counts = result['parameters']
    rows += [
        ('trainable weights', f'{counts["trainable"]:,}'),
        ('frozen weights', f'{counts["frozen"]:,}'),
        (
            'batch',
            f'{result["batch_size"]} clips of {result["num_frames"]} frames, '
            f'{result["classes"]} classes',
        ),
    ]
  for name, title in (('train', 'training step'), ('evaluate', 'evaluation')):
    if name in result:
      rows += [('', ''), *_speed_rows(title, result[name])]
  rows += [('', ''), *_decode_rows(result['decode'])]
  for key, title in (
      ('host_peak_bytes', 'peak memory, host process'),
      ('device_peak_bytes', 'peak memory, device'),
  ):
    if key in result['memory']:
      rows.append((title, _bytes(result['memory'][key])))
  wide = max(len(title) for title, _ in rows)
  lines = [f'{title:<{wide}}  {value}'.rstrip() for title, value in rows]
  return '\n'.join(lines)


def _speed_rows(title: str, speed: dict[str, Any]) -> list[tuple[str, str]]:
  times = speed['step_ms']
  rows = [
      (
          f'{title}: compile',
          f'{speed["compile_seconds"]:.1f} s '
          f'(and {speed["trace_seconds"]:.1f} s to trace)',
      ),
      (
          f'{title}: time',
          f'{times["median"]:,.1f} ms, the median of {speed["steps"]} '
          f'(p10 {times["p10"]:,.1f}, p90 {times["p90"]:,.1f})',
      ),
      (f'{title}: speed', f'{speed["clips_per_second"]:,.1f} clips/s'),
  ]
  if speed['flops']:
    rate = speed['flops'] / times['median'] * 1e3
    share = speed['share_of_peak']
    rows += [
        (f'{title}: FLOPs', f'{speed["flops"]:.3e} by the compiler'),
        (
            f'{title}: rate',
            f'{rate / 1e12:.3f} TFLOP/s, '
            + (f'{share:.1%} of' if share else 'this chip has no known')
            + ' peak',
        ),
    ]
  if speed['program_bytes']:
    rows.append(
        (f'{title}: memory', f'{_bytes(speed["program_bytes"])} per device')
    )
  return rows


def _decode_rows(decode: dict[str, Any]) -> list[tuple[str, str]]:
  rows = [('decode: clips from', decode['clips'])]
  for name, title in (
      ('bare', 'bare decoder'),
      ('frames', 'the frames needed'),
      ('loader', 'training loader'),
  ):
    speed = decode[f'{name}_clips_per_second']
    per_core = decode[f'{name}_clips_per_second_per_core']
    rows.append((
        f'decode: {title}',
        f'{speed:.1f} clips/s on {decode["workers"]} workers, '
        f'{per_core:.1f} per core',
    ))
  rows.append((
      'decode: loader keeps',
      f'{decode["loader_share_of_bare"]:.0%} of the bare decoder, '
      f'{decode["loader_share_of_frames"]:.0%} of the frames needed, per core',
  ))
  return rows


def _bytes(count: int) -> str:
  return f'{count / 2**20:,.0f} MiB'
