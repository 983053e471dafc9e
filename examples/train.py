"""Train a mapper: `python examples/train.py EMBEDDINGS OUTPUT`."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq

from v2a_core.config import load
from v2a_core.mappers.export import Mapper
from workflows.train import job
from workflows.train.config import TrainJob


def main(embeddings: str, output: str) -> None:
    """Train with the shipped configuration `small`, for fewer epochs, and try the mapper on one segment."""
    settings = load(TrainJob, job="train", source="small", overrides=["training.epochs=6"])
    job.run(embeddings, output, settings)
    mapper = Mapper.from_pretrained(output)
    rows = pq.read_table(f"{embeddings}/rows", filters=[("status", "==", "ok")]).to_pylist()
    row = next(row for row in rows if row["clap_embedding"] is not None)
    (mapped,) = mapper(row["vision_frames"], num_samples=1)
    print(f"{row['source_name']}: cosine {np.dot(mapped, row['clap_embedding']):.2f} to its own sound")


if __name__ == "__main__":
    main(*sys.argv[1:])
