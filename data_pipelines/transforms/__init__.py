"""From decoded frames to a model's pixels: one module per system's recipe.

A recipe is a module with a `Spec` of sizes and switches and two functions,
`train_view` and `eval_view`, that say which frames of a clip to decode and what
to do with them. `clip_frames` knows the recipes by name and joins the two.
"""
