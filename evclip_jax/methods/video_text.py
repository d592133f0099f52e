"""Zero-shot recognition with VideoPrism's video-text model; trains nothing."""

import dataclasses

from data_pipelines.errors import UserError
from evclip_jax.methods import base, heads
from evclip_jax.methods.class_texts import ClassTexts, DescriptionSettings
from evclip_jax.models.videoprism.video_text import VideoTextModel

# Number and size of frames as in the training of the published models.
RECIPE = {
    'encoder.name': 'videoprism_lvt_base',
    'encoder.weights': '',
    'data.preprocess': 'ev_clip',
    'data.num_frames': 16,
    'data.resize_height': 288,
    'data.resize_width': 384,
    'data.crop_pixels': 288,
    'eval.batch_size': 4,
    'variants': (
        {
            'when': {'encoder.name': 'videoprism_lvt_large'},
            'set': {'data.num_frames': 8},
        },
    ),
}
# How `pixels` normalises; `trunk_pixels` maps that to the model's own 0..1.
_CONSTANTS = 'imagenet'


@dataclasses.dataclass(frozen=True)
class Settings(DescriptionSettings):
  """Holds the method's settings.

  Attributes:
    templates: class texts; '{}' stands for the class name. With several, the
      class embeddings are averaged.
    temperature: logits are cosines divided by this.
  """

  templates: tuple[str, ...] = ('a video of {}.',)
  temperature: float = 0.01


def uses_clip(settings: Settings) -> bool:
  """Returns False: the model has its own text tower."""
  return False


def uses_encoder(settings: Settings) -> bool:
  """Returns True: encoder.name is the video-text model."""
  return True


def trains(settings: Settings) -> bool:
  """Returns False: nothing is trained."""
  return False


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds zero-shot recognition by a video-text model.

  Raises:
    UserError: encoder.name is not such a model, or the temperature is not
      positive.

  Source: VideoPrism, the zero-shot example of its authors.
  Differs: several templates may be averaged.
  """
  model = backbones.encoder
  if not isinstance(model, VideoTextModel):
    raise UserError(
        'method video_text needs a video-text model: set encoder.name to '
        'videoprism_lvt_base or videoprism_lvt_large.'
    )
  if settings.temperature <= 0:
    raise UserError(
        f'method.settings.temperature={settings.temperature}: wanted more '
        'than 0.'
    )

  def video(params, pixels, rngs, train):
    frames = base.trunk_pixels(model, pixels, _CONSTANTS)
    return base.VideoFeatures(*model.video(params['encoder'], frames))

  def text(params, tokens):
    rows = model.text(params['encoder'], tokens.reshape(-1, tokens.shape[-1]))
    return rows.reshape(*tokens.shape[:2], -1)

  def score(params, features, classes, batch):
    return heads.cosine_score(1 / settings.temperature, features.clip, classes)

  return heads.by_texts(
      None,
      ClassTexts(settings),
      init=lambda rng: {},
      pixels=base.pixels_of(_CONSTANTS),
      video=video,
      text=text,
      score=score,
      trainable=(),
  )
