"""An item becomes files with blind names: the same picture with the sound of each system."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from v2a_core import storage
from v2a_core.listening.key import Item, Stimulus
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.making.material import Candidate
from v2a_core.listening.making.pictures import film
from v2a_core.listening.making.sounds import RATE, alike, read_sound
from v2a_core.media.audio_formats import as_it_comes
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.loudness import FinishedWaveform
from v2a_core.media.mux import MuxRequest, mux_soundtrack
from v2a_core.media.types import MediaError
from v2a_core.media.write import write_audio

MEDIA = "media"


@dataclass(frozen=True)
class Places:
    """Where files of a test go.

    Attributes:
        page: Folder of the page.
        sounds: Folder of sounds and silent films for webMUSHRA; None: they are not wanted.
    """

    page: str
    sounds: str | None


class ItemWriter:
    """Writes items.

    Args:
        places: Where to.
        settings: Lengths and loudness.
        guarded: The process that reads videos.
        random: Draws the blind names.
    """

    def __init__(
        self, places: Places, settings: MakingSettings, guarded: GuardedDecoder, random: np.random.Generator
    ) -> None:
        self._places, self._settings, self._guarded, self._random = places, settings, guarded, random

    def write(self, candidate: Candidate, *, practice: bool) -> Item:
        """Write the files of an item, in the order of their blind names: also times of files tell nothing.

        Args:
            candidate: The item.
            practice: Whether it is one to practise on.

        Raises:
            MediaError: When it cannot be presented; then nothing of it was written.
        """
        with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
            length_s, clip = self._film(candidate, Path(folder))
            sounds = {name: read_sound(sound.place.uri) for name, sound in candidate.sounds.items()}
            finished = alike(sounds, length_s, self._settings)
            item = Item(
                id=blind_name("i", 4, self._random),
                key=candidate.key,
                practice=practice,
                length_s=length_s,
                label=candidate.told("label"),
                caption=candidate.told("caption"),
                stimuli=self._stimuli(candidate, finished),
            )
            for stimulus in item.stimuli:
                self._write(stimulus.id, finished[stimulus.system], clip)
            if clip is not None and self._places.sounds is not None:
                with storage.writing(storage.join(self._places.sounds, f"{item.id}.mp4")) as target:
                    shutil.copyfile(clip, target)
            return item

    def _film(self, candidate: Candidate, folder: Path) -> tuple[float, Path | None]:
        """Length of picture and sounds, and the picture."""
        settings = self._settings
        length_s = min(candidate.shortest_s, settings.length_s)
        if candidate.picture is None:
            return length_s, None
        clip = folder / "clip.mp4"
        length_s = min(length_s, film(candidate.picture, self._guarded, clip, length_s, settings.picture_px))
        if length_s < settings.min_length_s:
            least = f"the shortest may be {settings.min_length_s:g} s"
            raise MediaError("clip", "Short", f"its video is {length_s:.2f} s long, {least}")
        return length_s, clip

    def _stimuli(self, candidate: Candidate, finished: dict[str, FinishedWaveform]) -> list[Stimulus]:
        stimuli = [
            Stimulus(
                id=blind_name("s", 8, self._random),
                system=name,
                uri=sound.place.uri,
                sha256=sound.sha256,
                loudness_lufs=round(finished[name].loudness_lufs, 2),
            )
            for name, sound in candidate.sounds.items()
        ]
        return sorted(stimuli, key=lambda stimulus: stimulus.id)

    def _write(self, name: str, sound: FinishedWaveform, clip: Path | None) -> None:
        wav = as_it_comes("wav")
        with storage.writing(storage.join(self._places.page, media_path(name, film=clip is not None))) as target:
            if clip is None:
                write_audio(target, sound.waveform, RATE, wav)
            else:
                mux_soundtrack(MuxRequest(clip, sound.waveform, RATE, target))
        if self._places.sounds is not None:
            with storage.writing(storage.join(self._places.sounds, f"{name}.wav")) as target:
                write_audio(target, sound.waveform, RATE, wav)


def blind_name(kind: str, size: int, random: np.random.Generator) -> str:
    """A name that tells nothing; no reader of YAML takes it for a number, as `12e34567` would be.

    Args:
        kind: A letter above f.
        size: Bytes that are drawn.
        random: Draws them.
    """
    return f"{kind}{random.bytes(size).hex()}"


def media_path(name: str, *, film: bool) -> str:
    """Where the file of a blind name lies, from the page."""
    return f"{MEDIA}/{name}.{'mp4' if film else 'wav'}"


def write_items(
    candidates: Iterable[Candidate], writer: ItemWriter, practice: int, wanted: int
) -> tuple[list[Item], dict[str, str]]:
    """Write as many items as are wanted, as far as there are candidates: those that count come first in the draw.

    Args:
        candidates: In the order in which they are tried.
        writer: Writes them.
        practice: How many to practise on.
        wanted: How many that count.

    Returns:
        The items, practice first, and why others could not be presented, by id.
    """
    rated: list[Item] = []
    practised: list[Item] = []
    left_out: dict[str, str] = {}
    for candidate in candidates:
        if len(rated) == wanted and len(practised) == practice:
            break
        try:
            item = writer.write(candidate, practice=len(rated) == wanted)
        except (MediaError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise
            left_out[candidate.key] = " ".join(str(error).split())
            continue
        (practised if item.practice else rated).append(item)
    return [*practised, *rated], left_out


def shuffled(candidates: Sequence[Candidate], random: np.random.Generator) -> list[Candidate]:
    """Candidates in the order in which they are tried."""
    return [candidates[place] for place in random.permutation(len(candidates))]
