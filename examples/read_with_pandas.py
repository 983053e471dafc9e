"""Read outputs with pandas: `python examples/read_with_pandas.py EMBEDDINGS SOUNDTRACKS`."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd


def newest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the newest version of each source, where files were replaced between two runs."""
    rows = rows.sort_values("recorded_at")
    return rows[rows["source_id"] == rows.groupby("source_key")["source_id"].transform("last")]


def main(embeddings: str, soundtracks: str) -> None:
    """Vectors of what was seen, reasons of what was rejected, the soundtrack with the highest peak."""
    rows = newest(pd.read_parquet(f"{embeddings}/rows"))
    for reason, group in rows[rows["status"] == "rejected"].groupby("reject_type"):
        print(f"{reason}: {len(group)} rejected, such as {group['source_name'].iloc[0]}")
    good = rows[rows["status"] == "ok"]
    means = np.stack([np.stack(list(frames)).astype(np.float32).mean(0) for frames in good["vision_frames"]])
    print(f"{len(means)} segments seen, vectors of {means.shape[1]} numbers")

    index = newest(pd.read_parquet(f"{soundtracks}/index")).dropna(subset="audio_path")
    highest = index.loc[index["true_peak_dbtp"].idxmax()]
    print(f"highest peak: {soundtracks}/{highest['audio_path']} ({highest['true_peak_dbtp']:.1f} dBTP)")


if __name__ == "__main__":
    main(*sys.argv[1:])
