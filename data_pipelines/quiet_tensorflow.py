"""TensorFlow for reading data only: quiet, and off every accelerator."""

import os


def load():
  """Imports TensorFlow, keeps it away from GPUs and TPUs, and returns it."""
  # Before the import; afterwards they have no effect. The second one silences
  # a message that no level hides; nothing here computes with oneDNN.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  import tensorflow as tf

  for kind in ('GPU', 'TPU'):
    try:
      tf.config.set_visible_devices([], kind)
    except RuntimeError:
      # Somebody has used TensorFlow before; then it has its devices.
      break
  return tf
