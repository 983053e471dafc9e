"""Settings of the making of a listening test."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting


class MakingSettings(Settings):
    """What a test consists of."""

    items: int = setting(20, "items that everybody rates; fewer when fewer can be presented", ge=1, le=200)
    practice: int = setting(1, "items before them whose ratings do not count", ge=0, le=5)
    repeats: int = setting(
        1, "items that are shown a second time at the end, to see whether somebody says the same again", ge=0, le=10
    )
    forms: int = setting(
        20, "orders of items and systems that the page has, rounded up to whole Latin squares", ge=1, le=1000
    )
    seed: int | None = setting(
        None, "of all that is drawn; none: one that nobody can guess, which the key tells", ge=0, lt=2**53
    )
    questions: Literal["both", "fidelity", "relevance"] = setting(
        "both", "what listeners are asked: how good it sounds, how well it fits what is seen"
    )
    length_s: float = setting(10.0, "what is behind is not heard", unit="s", gt=0, le=60)
    min_length_s: float = setting(1.0, "items with a shorter sound are left out", unit="s", gt=0)
    loudness_lufs: float = setting(
        -23.0,
        "loudness of every sound (ITU-R BS.1770); all of an item are as much lower as the peak of one of them asks for",
        unit="LUFS",
        ge=-50,
        le=-10,
    )
    true_peak_dbtp: float = setting(-1.0, "highest level of a sound, between samples, too", unit="dBTP", ge=-20, le=0)
    picture_px: int = setting(640, "longest side of the picture", unit="pixels", ge=64, le=1920)
    headphone_trials: int = setting(6, "trials of the headphone check; 0: no check", ge=0, le=12)
    title: str = setting("Listening test", "title of the page", min_length=1)
    send_to: str = setting("the person who asked you", "whom the page tells people to send their file to", min_length=1)
