"""A waveform becomes files: levelled, written, muxed into a copy of its video; then it is worth a row in the index."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from v2a_core import naming, rows, storage
from v2a_core.catalog import Source
from v2a_core.media import guarded_mux
from v2a_core.media.config import FinishSettings, GuardSettings
from v2a_core.media.guard import shared_decoder
from v2a_core.media.loudness import finish_waveform
from v2a_core.media.mux import MixUnder
from v2a_core.media.types import MediaError
from v2a_core.media.write import write_audio
from v2a_core.schema import OK, REJECTED


@dataclass(frozen=True)
class FinishJob:
    """Where files go and what is written into them.

    Attributes:
        output: Folder or URI of the job's output.
        settings: Level, format, muxing.
        marks: Columns of the index that say what made the sound: `ai_generated`, `program`, `bundle`, `mapper`.
        seed: Of the run.
        guard: Limits of the process that muxes.
    """

    output: str
    settings: FinishSettings
    marks: dict[str, Any]
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


def finish_row(row: dict[str, Any], job: FinishJob) -> dict[str, Any]:
    """The index row of one gathered source; its files are complete when this returns.

    Args:
        row: A row of `gather.SOUNDTRACKS` with its waveform.
        job: Where and how.
    """
    if row["status"] != OK:
        return row
    started = time.monotonic()
    waveform = np.frombuffer(row["waveform"], np.float32)
    try:
        files = _write_files(rows.unpack_source(row["source"]), row, waveform, job)
    except MediaError as error:
        files = {"reject_stage": error.stage, "reject_type": error.error_type, "reject_message": str(error)}
        files |= {"status": REJECTED, "attempts": error.attempts}
    except OSError as error:
        files = {"reject_stage": "write", "reject_type": type(error).__name__, "reject_message": str(error)}
        files |= {"status": REJECTED, "attempts": 1}
    return {**row, **files, "waveform": None, "losers": None, "finish_s": time.monotonic() - started}


def _write_files(
    source: Source, row: dict[str, Any], waveform: npt.NDArray[np.float32], job: FinishJob
) -> dict[str, Any]:
    settings = job.settings
    finished = finish_waveform(waveform, row["sample_rate_hz"], settings)
    sound, rate = finished.waveform, finished.sample_rate
    stem = naming.output_stem(row["source_name"], row["source_id"])
    audio_uri = storage.join(job.output, "audio", f"{stem}.{settings.audio_format}")
    with storage.writing(audio_uri) as path:
        write_audio(path, sound, rate, settings.audio_format, job.tags())
    loser_uris = _write_losers(row["losers"] or [], row["sample_rate_hz"], stem, job)
    video_uri = None
    if source.kind == "video" and settings.mux != "none":
        mix = MixUnder(settings.mix_under_db, settings.true_peak_dbtp) if settings.mux == "mix" else None
        guarded = shared_decoder(job.guard)
        with source.fetch() as video:
            video_uri = storage.join(job.output, "video", f"{stem}{guarded_mux.suffix(guarded, video)}")
            with storage.writing(video_uri) as path:
                request = guarded_mux.MuxRequest(
                    video.absolute(), sound, rate, path.absolute(), job.tags(), mix, source.start_s or 0.0
                )
                guarded_mux.mux(guarded, request)
    return {
        **job.marks,
        "audio_uri": audio_uri,
        "video_uri": video_uri,
        "loser_uris": loser_uris,
        "sample_rate_hz": rate,
        "true_peak_dbtp": finished.true_peak_dbtp,
        "loudness_lufs": finished.loudness_lufs,
    }


def _write_losers(losers: Sequence[bytes], sample_rate: int, stem: str, job: FinishJob) -> list[str] | None:
    """Candidates that were not chosen, levelled like the chosen one; None without any."""
    uris = []
    for number, loser in enumerate(losers):
        finished = finish_waveform(np.frombuffer(loser, np.float32), sample_rate, job.settings)
        uris.append(storage.join(job.output, "candidates", f"{stem}-{number}.{job.settings.audio_format}"))
        with storage.writing(uris[-1]) as path:
            write_audio(path, finished.waveform, finished.sample_rate, job.settings.audio_format, job.tags())
    return uris or None
