"""Whether a bundle's models are the right ones and are run as they were trained: `v2a models check`.

Each file has one check: small functions that look at an opened bundle and return rows of what was expected and what was
found. Here belongs what can be said of models alone, with a handful of sounds and pictures. What a job wrote is looked
at by `verification`; how good sounds are is measured by `metrics` and `miniature.score`.
"""
