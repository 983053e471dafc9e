"""ImageHear, pictures of 30 kinds of things that sound (Sheffer and Adi, arXiv:2211.03089): a file name a line.

Its pictures are named by what they show and a number, `accordion1.jpg`. The listing here is that of the authors' own
repository (github.com/RoySheffer/im2wav, Data/ImageHear); the pictures are there, and not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.catalog.formats import CATALOG_FORMATS
from v2a_core.catalog.records import read_text
from v2a_core.catalog.rooted import RootedFormat, RootedSettings, rooted
from v2a_core.catalog.table import Row, bad_row
from v2a_core.config import setting
from v2a_core.storage.public import public

# How many pictures there are of each class; they are numbered from 1.
PICTURES: Mapping[str, int] = {
    "accordion": 3, "bass": 3, "bells": 3, "bird": 3, "bongo": 4, "car": 4, "cat": 3, "chicken": 3, "cow": 3,
    "cricket": 3, "dog": 3, "drums": 4, "duck": 4, "flute": 3, "frog": 2, "guitar": 8, "gun": 3, "harmonica": 2,
    "horse": 4, "lion": 3, "motorcycle": 4, "people": 4, "piano": 3, "police": 2, "rain": 4, "saxophone": 4, "sheep": 3,
    "train": 3, "trumpet": 3, "waterfall": 3,
}  # fmt: skip
LABELS: Mapping[str, str] = {
    f"{label}{number}.jpg": label for label, count in PICTURES.items() for number in range(1, count + 1)
}


class ImageHearSettings(RootedSettings):
    """Where the pictures are."""

    kind: Literal["imagehear"] = setting("imagehear", "a picture's name a line", flag="--catalog-format")


class ImageHear(RootedFormat):
    """A list of ImageHear's pictures: all of them, or some."""

    def rows(self, uri: str) -> Iterator[Row]:
        """The rows of a list; the label of a picture is what it is called by."""
        root = rooted(self._root)
        base = files.readable(public(files.path_of(uri)).rpartition("/")[2])
        for number, line in enumerate(read_text(uri).split("\n"), start=1):
            name, place = line.strip(), f"{base}, line {number}"
            if name in LABELS:
                yield Row(place, number, storage.join(root, name), {"label": LABELS[name]})
            elif name:
                yield bad_row(place, number, ValueError(f"{name[:80]!r} is no picture of ImageHear's"))


CATALOG_FORMATS.add("imagehear", ImageHear, ImageHearSettings)
