"""How mappers are trained: reading embeddings, the loop, checkpoints, validation, which step is kept, plots.

It trains whatever `mappers` offers and runs in one process or several; starting them is for `workflows.train`. The
miniature's own models are trained in `miniature.training`.
"""
