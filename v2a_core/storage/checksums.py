"""Checksums of files, wherever they are."""

from __future__ import annotations

import hashlib

from v2a_core import storage

_BLOCK_BYTES = 8 * 2**20


def sha256_of(uri: str) -> tuple[str, int]:
    """The sha256 of a file in hex, and its bytes; read in pieces."""
    digest, size = hashlib.sha256(), 0
    with storage.open_read(uri, _BLOCK_BYTES) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
