"""What a caption says about a scene of the drawn world."""

import numpy as np

# A caption and how often it is drawn. The first is the sentence by which
# EV-CLIP asks for a class; the others teach what the words mean by themselves.
TEMPLATES: tuple[tuple[str, float], ...] = (
    ('a video of {motion} {thing}.', 0.5),
    ('a video of a {colour} {thing}.', 0.1),
    ('a video of {motion}.', 0.1),
    ('a {colour} {thing} {motion}.', 0.15),
    ('a photo of a {thing}.', 0.1),
    ('a photo of {motion} with a {colour} {thing}.', 0.05),
)

# Other ways to ask, so that the vocabulary has whole words for them.
_EXTRA = (
    'a photo of a person doing {motion} {thing}.',
    'the {thing} is {motion} in the dark, seen from a head camera.',
    'this is a picture of the action {motion} {thing}, an example of actions.',
)


def caption(scene, rng: np.random.Generator) -> str:
  """A sentence about a `drawn_world.scenes.Scene`, in lower case."""
  template = rng.choice(
      [t for t, _ in TEMPLATES], p=[share for _, share in TEMPLATES]
  )
  return str(template).format(
      motion=scene.motion, thing=scene.thing, colour=scene.colour
  )


def corpus(motions, things, colours) -> list[str]:
  """One sentence for every template and word, to learn a vocabulary from.

  Args:
    motions, things, colours: lists of words; those of one kind never meet in
      a sentence, and every word occurs.
  """
  templates = [t for t, _ in TEMPLATES] + list(_EXTRA)
  longest = max(len(motions), len(things), len(colours))
  return [
      template.format(
          motion=motions[n % len(motions)],
          thing=things[n % len(things)],
          colour=colours[n % len(colours)],
      )
      for template in templates
      for n in range(longest)
  ]
