"""Where in the output everything lies; `v2a verify` knows the same places."""

from __future__ import annotations

from dataclasses import dataclass

from v2a_core import storage

TABLES_MD, TABLES_JSON, TABLES_TEX, PAGE = "tables.md", "tables.json", "tables.tex", "index.html"


@dataclass(frozen=True)
class Places:
    """Of one reproduction.

    Attributes:
        output: Its folder.
    """

    output: str

    def of(self, *parts: str) -> str:
        """A place inside."""
        return storage.join(self.output, *parts)

    def inside(self, place: str) -> str:
        """The path of a place in the output."""
        return place.removeprefix(self.output).lstrip("/")

    def lessons(self, eyes: str) -> str:
        """Embeddings that mappers learn from."""
        return self.of("embeddings", f"{eyes}-train")

    def shown(self, eyes: str) -> str:
        """Embeddings of what gets sounds."""
        return self.of("embeddings", f"{eyes}-test")

    def mappers(self, eyes: str) -> str:
        """The sweep of mappers of these embeddings."""
        return self.of("mappers", eyes)

    def mapper(self, eyes: str, run: str) -> str:
        """One of them."""
        return storage.join(self.mappers(eyes), run)

    def soundtracks(self, system: str) -> str:
        """The sounds of a system."""
        return self.of("soundtracks", system)

    def scores(self, of: str) -> str:
        """The comparison of all systems on the videos, or on the pictures."""
        return self.of("scores", of)

    def figure(self, number: int) -> str:
        """The picture of a figure."""
        return self.of("figures", f"figure-{number}.png")

    @property
    def interpolation(self) -> str:
        """The sounds of figure 7."""
        return self.of("interpolations", "figure-7")

    @property
    def listening(self) -> str:
        """The listening test of figure 5."""
        return self.of("listening", "test")

    @property
    def listening_key(self) -> str:
        """Its key, which listeners must not get."""
        return self.of("listening", "test.key.json")
