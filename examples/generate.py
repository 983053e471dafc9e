"""Make soundtracks: `python examples/generate.py CATALOG MAPPER OUTPUT`."""

from __future__ import annotations

import sys

import pyarrow.parquet as pq

from v2a_core.config import load
from workflows.generate import job
from workflows.generate.config import GenerateJob


def main(catalog: str, mapper: str, output: str) -> None:
    """Generate with fewer steps than usual, and list the files."""
    settings = load(
        GenerateJob, job="generate", overrides=["generator.num_inference_steps=10", "finish.audio_format=flac"]
    )
    job.run([catalog], output, settings, mapper=mapper, models="miniature")
    for row in pq.read_table(f"{output}/index", columns=["source_name", "audio_path", "loudness_lufs"]).to_pylist():
        if row["audio_path"] is not None:
            print(f"{row['source_name']}: {output}/{row['audio_path']}, {row['loudness_lufs']:.1f} LUFS")


if __name__ == "__main__":
    main(*sys.argv[1:])
