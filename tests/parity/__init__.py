"""Runs golden cases: what the original PyTorch code computes, and we too.

`python -m tests.parity CASE_DIR...` from the root of the repository. A case is
a folder with `manifest.json` (how weights and inputs are drawn) and
`expected.npz` (the results). Its kind is the name of a module in this package
with a function `run(case) -> list of compare.Line`; a new kind is a new file.
"""
