"""Read outputs with DuckDB: `python examples/read_with_duckdb.py EMBEDDINGS SOUNDTRACKS`."""

from __future__ import annotations

import sys

import duckdb


def newest(files: str) -> duckdb.DuckDBPyRelation:
    """The rows of the newest version of each source, where files were replaced between two runs."""
    parts = duckdb.read_parquet(files)
    return parts.query(
        "parts",
        "SELECT * FROM parts QUALIFY source_id = arg_max(source_id, recorded_at) OVER (PARTITION BY source_key)",
    )


def main(embeddings: str, soundtracks: str) -> None:
    """Rows of each label, reasons of what was rejected, the soundtrack with the highest peak."""
    rows, index = newest(f"{embeddings}/rows/*.parquet"), newest(f"{soundtracks}/index/*.parquet")
    good = rows.filter("status = 'ok'").aggregate("label, count(*), sum(duration_s)").order("label")
    for label, count, seconds in good.fetchall():
        print(f"{label}: {count} segments, {seconds:.1f} s")
    for reason, count in rows.filter("status = 'rejected'").aggregate("reject_type, count(*)").fetchall():
        print(f"{reason}: {count} rejected")
    highest = index.filter("status = 'ok'").order("true_peak_dbtp DESC").limit(1)
    for path, level in highest.project("audio_path, true_peak_dbtp").fetchall():
        print(f"highest peak: {soundtracks}/{path} ({level:.1f} dBTP)")


if __name__ == "__main__":
    main(*sys.argv[1:])
