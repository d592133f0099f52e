"""TensorFlow for reading data only: quiet, and off every accelerator."""

import os

from data_pipelines.errors import UserError


def load():
  """Imports TensorFlow and keeps it away from GPUs and TPUs.

  Returns:
    The module.

  Raises:
    UserError: it is not installed.
  """
  # Before the import; afterwards they have no effect. The second one silences
  # a message that no level hides; nothing here computes with oneDNN.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  try:
    import tensorflow as tf
  except ImportError as e:
    raise UserError(
        f'reading videos needs TensorFlow ({e}): pip install tensorflow-cpu, '
        'or tensorflow where there is no such package.'
    ) from e
  for kind in ('GPU', 'TPU'):
    try:
      tf.config.set_visible_devices([], kind)
    except RuntimeError:
      # Somebody has used TensorFlow before; then it has its devices.
      break
  return tf
