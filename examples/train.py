"""Train a mapper: `python examples/train.py EMBEDDINGS OUTPUT`."""

from __future__ import annotations

import sys

from v2a_core.config import load
from v2a_core.mappers.export import Mapper
from workflows.train import job
from workflows.train.config import TrainJob


def main(embeddings: str, output: str) -> None:
    """Train with the shipped configuration `small`, for fewer epochs, and read the mapper back."""
    settings = load(TrainJob, job="train", source="small", overrides=["training.epochs=6"])
    job.run(embeddings, output, settings)
    mapper = Mapper.from_pretrained(output)
    print(f"{sum(weight.numel() for weight in mapper.parameters()):,} parameters -> {output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
