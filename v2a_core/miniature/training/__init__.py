"""Training of the miniature models on the small world: `train_miniature` runs all of it."""

from v2a_core.miniature.training.run import STAGES, train_miniature

__all__ = ["STAGES", "train_miniature"]
