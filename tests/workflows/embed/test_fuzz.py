"""Two thousand mutated files through one real `embed` job: no crash, no hang, no stray process, a row for each.

`make fuzz`; another seed or number of files: V2A_FUZZ_SEED, V2A_FUZZ_FILES.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import time
import uuid
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers_media import make_tar, moving, render, tone
from PIL import Image

from v2a_core.catalog import CatalogSettings, list_sources
from v2a_core.config import load
from v2a_core.outputs.ledger import part_files
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(3600)]

SEED = int(os.environ.get("V2A_FUZZ_SEED", "0"))
FILES = int(os.environ.get("V2A_FUZZ_FILES", "2000"))
TIME_LIMIT_S = 20.0
SETTINGS = [
    "segments.length_s=1.0", "frames.frames_per_second=3.0", "limits.max_reject_share=1.0", "decoder.attempts=1",
    f"decoder.time_limit_s={TIME_LIMIT_S}", "decoder.memory_limit_mb=768",
]  # fmt: skip


_EXTREMES = (b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0")


def seeds(folder: Path) -> list[Path]:
    """A small good file of each kind."""
    folder.mkdir()
    shown = {"pts": range(10), "fps": 10, "pictures": moving(10), "size": (160, 90), "sound": tone(1.0, rate=16_000)}
    kinds = [
        ("a.mp4", "libx264", "aac"),
        ("b.mkv", "libx264", "flac"),
        ("c.mov", "libx265", "aac"),
        ("d.webm", "libvpx-vp9", "libopus"),
        ("e.mp4", "libsvtav1", "aac"),
        ("f.avi", "mpeg4", "pcm_s16le"),
        ("g.ts", "libx264", "aac"),
        ("h.mp4", "mpeg4", "aac"),
    ]
    made = []
    for name, codec, audio_codec in kinds:
        rate = 48_000 if audio_codec == "libopus" else 16_000
        sound = {"sound": tone(1.0, rate=rate), "sound_rate": rate, "audio_codec": audio_codec}
        options = {"x265-params": "log-level=none"} if codec == "libx265" else {"g": "5"}
        made.append(render(folder / name, codec=codec, options=options, **{**shown, **sound}))
    made.append(render(folder / "i.gif", codec="gif", pix_fmt="rgb8", options={}, **{**shown, "sound": None}))
    for suffix in ("png", "jpg", "webp", "bmp"):
        made.append(folder / f"j.{suffix}")
        Image.fromarray(moving(1)[0]).save(made[-1])
    members = [("0.mp4", made[0].read_bytes()), ("0.json", b'{"label": "rain"}'), ("1.png", made[9].read_bytes())]
    made.append(make_tar(folder / "k.tar", members))
    for suffix, content in (
        ("tar.gz", gzip.compress(made[-1].read_bytes())),
        ("tar.zst", pa.compress(made[-1].read_bytes(), "zstd", asbytes=True)),
    ):
        made.append(folder / f"l.{suffix}")
        made[-1].write_bytes(content)
    return made


def mutate(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """One to four mutations; most of them early in the file, where its structure is."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = int(len(data) * chance.random() ** chance.choice((1, 3)))
        length = chance.choice((1, 2, 8, 64, 512, 4096))
        piece = bytes(data[place : place + length])
        end, replacement = chance.choice(
            [
                (place + length, chance.randbytes(length)),
                (place + 1, bytes(byte ^ 4 for byte in piece[:1])),  # one bit
                (place + length, b""),
                (len(data), b""),  # cut off
                (place, piece),  # said twice
                (place + 4, chance.choice(_EXTREMES)),
                (place, bytes(length)),
                (place + length, chance.choice(others)[:length]),  # another file's head
            ]
        )
        data[place:end] = replacement
    return bytes(data)


def mutated_catalog(folder: Path, kinds: list[Path]) -> Path:
    chance = random.Random(SEED)
    contents = [kind.read_bytes() for kind in kinds]
    folder.mkdir()
    for index in range(FILES):
        which = index % len(kinds)
        suffix = kinds[which].name.partition(".")[2]
        if chance.random() < 0.05:
            suffix = kinds[chance.randrange(len(kinds))].name.partition(".")[2]  # another name than it is
        (folder / f"{index:05d}.{suffix}").write_bytes(mutate(contents[which], contents, chance))
    return folder


def marked(mark: str) -> list[str]:
    """Command lines of other processes that inherited an environment with this mark."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if mark.encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return [line for line in found if line]  # a zombie has none


def test_mutated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    mark = f"v2a-fuzz-{uuid.uuid4().hex}"
    monkeypatch.setenv("V2A_FUZZ_MARK", mark)
    catalog = mutated_catalog(tmp_path / "catalog", seeds(tmp_path / "seeds"))
    listing = list_sources([str(catalog)], CatalogSettings())
    ray.shutdown()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    started = time.monotonic()
    try:
        job = load(EmbedJob, job="embed", overrides=SETTINGS)
        summary = embed.run([str(catalog)], str(tmp_path / "output"), job, models="miniature")
    finally:
        ray.shutdown()
    wall_s = time.monotonic() - started
    table = pa.concat_tables([pq.read_table(part) for part in part_files(str(tmp_path / "output" / "rows"))])
    rows = table.select(["segment_id", "source_uri", "status", "reject_type", "damaged"]).to_pylist()
    reasons = Counter(row["reject_type"] or ("damaged" if row["damaged"] else "whole") for row in rows)
    print(json.dumps({"files": FILES, "rows": len(rows), "wall_s": round(wall_s), "rows_by_reason": dict(reasons)}))
    assert len({row["segment_id"] for row in rows}) == len(rows)
    entries = {source.uri for source in listing.sources} | {source.uri for source, _ in listing.rejects}
    assert {row["source_uri"] for row in rows} == entries
    assert summary["counts"]["sources"] == len(listing.sources) + len(listing.rejects)
    assert any(row["status"] == "ok" for row in rows)
    # No hang: what reached its limit is counted, and all of them together explain the time.
    assert wall_s < 900 + TIME_LIMIT_S * reasons["TimeLimit"]
    for _ in range(100):
        if not marked(mark):
            break
        time.sleep(0.1)
    assert marked(mark) == []


def _listed(path: Path) -> str | None:
    """None, or why it cannot be listed."""
    try:
        list_sources([str(path)], CatalogSettings())
    except ValueError as error:
        return str(error)
    return None


def test_mutated_tables(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video bytes")
    rows = [{"uri": "a.mp4", "start_s": float(index), "label": 'rain, "x"', "duration_s": 1.0} for index in range(9)]
    (tmp_path / "t.csv").write_text("uri,start_s,label\n" + "".join(f'a.mp4,{i},"rain, ""x"""\n' for i in range(9)))
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    chance = random.Random(SEED)
    contents = {path: path.read_bytes() for path in tmp_path.glob("t.*")}
    outcomes: Counter[str] = Counter()
    for index in range(FILES // 2):
        path, content = list(contents.items())[index % 3]
        path.write_bytes(mutate(content, list(contents.values()), chance))
        message = _listed(path)
        assert message is None or str(path) in message
        outcomes["refused" if message else "listed"] += 1
    print(dict(outcomes))
    assert outcomes["listed"]
    assert outcomes["refused"]
