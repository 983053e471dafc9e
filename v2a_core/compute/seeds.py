"""Seeds travel with segments: noise depends on the run's seed and the segment, never on batch position."""

from __future__ import annotations

import hashlib


def segment_seed(run_seed: int, segment_id: str, stream: str) -> int:
    """A 63-bit seed for one use of randomness in one segment.

    Args:
        run_seed: The seed of the run (`--set seed=...`).
        segment_id: The segment.
        stream: What the noise is for (`mapper`, `latents`), so that two uses never share it.
    """
    digest = hashlib.blake2b(f"{run_seed}/{stream}/{segment_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
