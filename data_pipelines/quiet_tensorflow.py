"""Imports TensorFlow for reading data only: quiet, and on the CPU."""

import os


def load():
  """Imports TensorFlow, keeps it away from GPUs and TPUs, and returns it."""
  # These work only before the import. The second one silences a message that
  # no log level hides; nothing here computes with oneDNN.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  import tensorflow as tf

  for kind in ('GPU', 'TPU'):
    try:
      tf.config.set_visible_devices([], kind)
    except RuntimeError:
      # TensorFlow is in use already and has its devices.
      break
  return tf
