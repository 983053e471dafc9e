"""A waveform becomes files: levelled, written, muxed into a copy of its video; then it is worth a row in the index."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from v2a_core import storage
from v2a_core.catalog import Source
from v2a_core.media import guarded_mux
from v2a_core.media.config import FinishSettings, GuardSettings
from v2a_core.media.guard import shared_decoder
from v2a_core.media.loudness import finish_waveform
from v2a_core.media.mux import MixUnder, MuxRequest
from v2a_core.media.types import MediaError
from v2a_core.media.write import write_audio
from v2a_core.outputs import names
from v2a_core.outputs.manifest import FILE_NAME
from v2a_core.storage import trouble
from v2a_core.storage.public import public_text
from v2a_core.tables import rows
from v2a_core.tables.rows import Row
from v2a_core.tables.schema import OK, REJECTED


class Marks(TypedDict):
    """The columns of the index that say what made a sound."""

    ai_generated: bool
    program: str
    bundle: str
    mapper: str


class MadeRow(TypedDict):
    """What finishing reads of a row of `gather.SOUNDTRACKS`; its other columns are kept as they are."""

    source_id: str
    source_name: str
    source: str
    status: str
    waveform: bytes
    losers: Sequence[bytes] | None
    sample_rate_hz: int


@dataclass(frozen=True)
class FinishJob:
    """Where files go and what is written into them.

    Attributes:
        output: Folder or URI of the job's output.
        settings: Level, format, muxing.
        marks: What made the sound.
        seed: Of the run.
        guard: Limits of the process that muxes.
    """

    output: str
    settings: FinishSettings
    marks: Marks
    seed: int
    guard: GuardSettings

    def tags(self) -> dict[str, str]:
        """The marks as metadata of a container, in the tags that players show."""
        marks = self.marks
        return {
            "encoder": marks["program"],
            "comment": f"AI-generated soundtrack; program {marks['program']}; models {marks['bundle']}; "
            f"mapper {marks['mapper']}; seed {self.seed}",
        }


def finish_row(row: MadeRow, job: FinishJob) -> Mapping[str, object]:
    """The index row of one gathered source; its files are complete when this returns.

    Args:
        row: A row of `gather.SOUNDTRACKS` with its waveform.
        job: Where and how.

    Raises:
        StorageStopError: When nothing can be written there, or the output was renamed or removed.
    """
    if row["status"] != OK:
        return row
    started = time.monotonic()
    storage.check_there(job.output, FILE_NAME)
    waveform = np.frombuffer(row["waveform"], np.float32)
    try:
        files = _write_files(rows.unpack_source(row["source"]), row, waveform, job)
    except trouble.StorageStopError:
        raise
    except MediaError as error:
        files = _rejected(error)
    except OSError as error:
        if trouble.stops_run(error, writing=True):
            raise trouble.stop(error, job.output) from None
        files = _rejected(MediaError("write", type(error).__name__, str(error)))
    except Exception as error:  # noqa: BLE001 (whatever a file does to levelling or muxing costs that file's row)
        files = _rejected(MediaError("finish", type(error).__name__, str(error)))
    return {**row, **files, "waveform": None, "losers": None, "finish_s": time.monotonic() - started}


def _rejected(error: MediaError) -> Row:
    return {
        "status": REJECTED,
        "reject_stage": error.stage,
        "reject_type": error.error_type,
        "reject_message": public_text(str(error)),
        "attempts": error.attempts,
    }


def _write_files(source: Source, row: MadeRow, waveform: npt.NDArray[np.float32], job: FinishJob) -> Row:
    settings = job.settings
    finished = finish_waveform(waveform, row["sample_rate_hz"], settings)
    sound, rate = finished.waveform, finished.sample_rate
    stem = names.output_stem(row["source_name"], row["source_id"])
    audio_path = f"audio/{stem}.{settings.audio_format.kind}"
    with _writing(job, audio_path) as file:
        write_audio(file.path, sound, rate, settings.audio_format, job.tags())
    files: Row = {"audio_path": audio_path, "audio_sha256": file.sha256}
    files["loser_paths"] = _write_losers(row["losers"] or [], row["sample_rate_hz"], stem, job)
    if source.kind == "video" and settings.mux != "none":
        # Two sounds added are lowered where they would clip, also where a soundtrack's own peak is left as it is.
        highest = 0.0 if settings.true_peak_dbtp == "none" else settings.true_peak_dbtp
        mix = MixUnder(settings.mix_under_db, highest) if settings.mux == "mix" else None
        guarded = shared_decoder(job.guard)
        # Fetching refuses a file that was replaced: its picture is not the one that the sound was made for.
        with source.fetch() as video:
            video_path = f"video/{stem}{guarded_mux.suffix(guarded, video)}"
            with _writing(job, video_path) as file:
                request = MuxRequest(
                    video.absolute(), sound, rate, file.path.absolute(), job.tags(), mix, source.start_s or 0.0
                )
                guarded_mux.mux(guarded, request)
        files |= {"video_path": video_path, "video_sha256": file.sha256}
    return {
        **job.marks,
        **files,
        "start_s": source.start_s,
        "sample_rate_hz": rate,
        "true_peak_dbtp": finished.true_peak_dbtp,
        "loudness_lufs": finished.loudness_lufs,
    }


@dataclass
class _File:
    """A file that is being written, and the hash of what was."""

    path: Path
    sha256: str = ""


@contextlib.contextmanager
def _writing(job: FinishJob, path: str) -> Iterator[_File]:
    """Write a file of the output, given by its path inside."""
    with storage.writing(storage.join(job.output, path)) as temporary:
        file = _File(temporary)
        yield file
        with temporary.open("rb") as written:
            file.sha256 = hashlib.file_digest(written, "sha256").hexdigest()


def _write_losers(losers: Sequence[bytes], sample_rate: int, stem: str, job: FinishJob) -> list[str] | None:
    """Candidates that were not chosen, levelled like the chosen one; None without any."""
    paths = []
    for number, loser in enumerate(losers):
        finished = finish_waveform(np.frombuffer(loser, np.float32), sample_rate, job.settings)
        paths.append(f"candidates/{stem}-{number}.{job.settings.audio_format.kind}")
        with _writing(job, paths[-1]) as file:
            write_audio(file.path, finished.waveform, finished.sample_rate, job.settings.audio_format, job.tags())
    return paths or None
