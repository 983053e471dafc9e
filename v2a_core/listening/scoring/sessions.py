"""What one listener answered, whichever page asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Take:
    """A sound as one listener met it.

    Attributes:
        stimulus: Its blind name.
        ratings: Points, from 1, by question.
        repeat: Whether its item was shown a second time.
        position: Where it stood, from 1; None where that is not known.
        plays: How often it was heard to its end; None where that is not known.
        played_s: For how long it was heard, seconds; likewise.
        failed: Whether it could not be played.
    """

    stimulus: str
    ratings: Mapping[str, int]
    repeat: bool = False
    position: int | None = None
    plays: int | None = None
    played_s: float | None = None
    failed: bool = False


@dataclass(frozen=True)
class Session:
    """One listener's answers.

    Attributes:
        file: Where they are.
        session: Which session of the page it was; for webMUSHRA, its number in the file.
        listener: Name or code; may be empty.
        takes: What was rated, practice aside.
        form: Which order it was; None for webMUSHRA's own.
        started, finished: Times, ISO 8601; may be empty.
        device: `headphones`, `loudspeakers` or empty.
        headphones: Which tone was said to be the quietest, for each trial; None where nobody asked.
        problems: What of the file could not be used.
    """

    file: str
    session: str
    listener: str
    takes: tuple[Take, ...]
    form: int | None = None
    started: str = ""
    finished: str = ""
    device: str = ""
    headphones: tuple[int | None, ...] | None = None
    problems: tuple[str, ...] = field(default=())

    @property
    def rated(self) -> int:
        """How many ratings there are."""
        return sum(len(take.ratings) for take in self.takes)

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.listener or f"session {self.session[:8]}"
