"""The report of a run, of few classes and of many."""

import html.parser
import io
import json
import os
import re
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from evclip_jax.evaluation import run_card, scores
from evclip_jax.reporting import run_page
from evclip_jax.reporting.pictures import ClipPicture

BROWSERS = (
    'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'
)


def _report(folder, classes, pictures=None, scored=True):
  """Writes the report of a list with 4 clips of each class, or of none."""
  rng = np.random.default_rng(classes)
  names = [f'$<b>class</b> {k}_' for k in range(classes)]
  labels = np.arange(4 * classes) % classes
  logits = rng.normal(size=(len(labels), classes))
  logits[np.arange(len(labels)), labels] += 2
  logs = np.log(scores.softmax(logits))
  Image.new('RGB', (8, 8), 'red').save(small := io.BytesIO(), 'JPEG')
  frames = np.full((8, 32, 32, 3), 90, np.uint8)
  clip = ClipPicture('a <i>.mp4', frames, [(names[0], 0.7)], names[1])
  summary = scores.summarise(logs, labels)
  card = {
      'method': 'ev_clip',
      'step': 40,
      'final': {'test': summary},
      'zero_shot': {'test': summary | {'top1': 50.0}},
      'zero_shot_prompts': [['A video of <x>.']],
      'selection': {'step': 40, 'meaning': 'the last step'},
      'views': {'clips': 2, 'crops': 3},
      'parameters': {'trainable': 10, 'frozen': 20},
      'data': {'lists': {'test': {'clips': len(labels), 'skipped': 3}}},
      'wall_seconds': 3723.0,
      'costs': {'train step': {'gflops_per_clip': 40.94}, 'evaluate': {}},
      'environment': {
          'command': ['python', '-m', 'evclip_jax.main', '--config=a b'],
          'memory': {'host_peak_bytes': 2_500_000_000},
      },
  }
  details = {
      'class_names': names,
      'per_class': scores.per_class(scores.confusion(logs, labels), names),
      'zero_shot_per_class': dict.fromkeys(names, 50.0),
      'confusion': scores.confusion(logs, labels).tolist(),
      'arrays': {
          'log_probabilities': logs,
          'features': logits,
          'labels': labels,
          'index': np.arange(len(labels)),
      },
      'keys': [f'{i}.mp4' for i in range(len(labels))],
      'thumbnails': {0: small.getvalue()},
      'pictures': pictures or (lambda: {'the worst mistakes': [clip]}),
  }
  lines = [{'step': s, 'split': 'train', 'loss': 1 / s} for s in range(1, 41)]
  lines += [{'step': s, 'split': 'val', 'top1': 2.0 * s} for s in (20, 40)]
  lines += [{'step': 40, 'split': 'test', 'top1': 1.0, 'final': True}]
  text = ''.join(json.dumps(x) + '\n' for x in lines)
  (folder / 'metrics.jsonl').write_text(text)
  if not scored:
    return run_page.write(folder, card | {'final': {}, 'zero_shot': {}}, {})
  return run_page.write(folder, card, {'test': details})


class _Page(html.parser.HTMLParser):
  """Checks that elements close, and keeps texts and addresses."""

  def __init__(self, text):
    super().__init__()
    self.open, self.texts, self.addresses = [], [], []
    self.feed(text)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    if tag not in ('meta', 'img'):
      self.open.append(tag)
    self.addresses += [v for k, v in attrs if k in ('src', 'href')]

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.texts.append(data)


@pytest.mark.parametrize('classes', [2, 6, 101])
def test_it_is_whole(tmp_path, classes):
  text = _report(tmp_path, classes).read_text()
  page = _Page(text)
  assert all(x.startswith('data:image/jpeg') for x in page.addresses)
  assert 'not drawn' not in text
  for chart in re.findall('<svg .*</svg>', text):
    # One line may hold several, in other markup.
    ElementTree.fromstring(f'<p>{re.sub("<img[^>]*>", "", chart)}</p>')
  shown = ' '.join(page.texts)
  for said in (
      '$<b>class</b> 0_', 'a <i>.mp4', 'zero-shot CLIP', '"A video of <x>."',
      'skipped as broken', "'--config=a b'", '1 h 2 min', '2.50 GB', '40.9',
      'the worst mistakes', 'map of the clips', 'accuracy while training',
      'windows, crops', '2, 3',
  ):  # fmt: skip
    assert said in shown, said
  assert ('mask' in shown) is False
  assert ('top-5' in shown) == (classes > 5)
  # statsmodels: proportion_confint(4, 8, method='wilson').
  assert ('21.5 to 78.5' in text) == (classes == 2)


@pytest.mark.parametrize(('classes', 'shown'), [(5, False), (6, True)])
def test_the_terminal_leaves_out_a_top5_that_is_certain(classes, shown):
  summary = {'loss': 1, 'top1': 50, 'top5': 99, 'macro_f1': 1, 'clips': 4}
  assert ('top-5' in run_card.one_line('test', summary, classes)) == shown


def test_a_run_without_a_test_list_says_so(tmp_path):
  assert 'No clip was scored' in _report(tmp_path, 2, scored=False).read_text()


def test_clips_that_fail_cost_their_own_section(tmp_path):
  def fail():
    raise OSError('the film <is> gone')

  text = _report(tmp_path, 2, fail).read_text()
  assert 'No clips are shown, OSError: the film &lt;is&gt; gone' in text
  assert 'map of the clips' in text


@pytest.mark.parametrize('classes', [2, 10, 101])
def test_a_browser_shows_it_at_both_widths(tmp_path, classes):
  found = filter(shutil.which, (os.environ.get('BROWSER', ''), *BROWSERS))
  if not (browser := next(found, None)):
    pytest.skip('needs chromium; BROWSER may name it')
  page = _report(tmp_path, classes)
  # Run where the page is: the pointer comes to a dot, widths are measured.
  page.write_text(
      page.read_text()
      + """<script>
      const dot = document.querySelector('circle[data-picture^="/"]');
      dot.dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));
      const tip = document.querySelector('.tip');
      const wrapped = [...document.querySelectorAll('th')].filter(
          x => x.getClientRects()[0].height > 45).length;
      const enlarged = [...document.images].filter(
          x => x.naturalWidth && x.width > x.naturalWidth + 1).length;
      console.log('tip', !tip.hidden, tip.textContent, 'wide',
          document.documentElement.scrollWidth, innerWidth, wrapped, enlarged);
      </script>"""
  )
  frame = tmp_path / 'frame.html'
  frame.write_text(
      f'<iframe src="{page.name}" style="width:400px;height:900px"></iframe>'
  )
  for shown, width in ((page, 1280), (frame, 400)):
    done = subprocess.run(
        [
            browser, '--headless', '--no-sandbox', '--disable-gpu',
            '--enable-logging=stderr', '--window-size=1280,900',
            '--virtual-time-budget=2000', '--dump-dom',
            f'--user-data-dir={tmp_path}/profile', shown.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    said = [x for x in done.stderr.splitlines() if 'CONSOLE' in x]
    assert len(said) == 1, said
    tip, wide, room, wrapped, enlarged = re.search(
        r'tip true (.*) wide (\d+) (\d+) (\d+) (\d+)', said[0]
    ).groups()
    assert tip.startswith('0.mp4: $<b>class</b> 0_')
    assert int(wide) <= int(room) == width
    assert (wrapped, enlarged) == ('0', '0')
