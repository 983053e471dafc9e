"""What a person asks of a reproduction, checked in seconds: what contradicts itself is refused before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from v2a_core import storage
from v2a_core.catalog import Source
from v2a_core.catalog.apart import check_apart
from v2a_core.config import ConfigError
from v2a_core.models import load_bundle
from v2a_core.reproduction.selection import Selection, check_external
from v2a_core.reproduction.systems import BundleRole
from workflows.reproduce.config import AUTO, ReproduceJob
from workflows.reproduce.places import Places
from workflows.streaming.listing import list_catalog

MINIATURE = "miniature"
_OF_PAPER: Mapping[BundleRole, str] = {"blip": "paper-blip", "small": "paper-s", "large": "paper-l"}


@dataclass(frozen=True)
class Reproduce:
    """What is asked for.

    Attributes:
        output: Local folder.
        selection: Tables, figures, rows.
        settings: The configuration.
        models: The main bundle's name or file.
        catalog: What mappers learn from; none: the miniature world.
        test: What gets sounds.
        pictures: Still pictures that get sounds, too.
        external: Sounds of systems of others, by their names.
        answers: What listeners answered: files and folders.
        address: A running Ray cluster.
        steal: Take the output over from the run that owns it.
    """

    output: str
    selection: Selection
    settings: ReproduceJob
    models: str = MINIATURE
    catalog: Sequence[str] = ()
    test: Sequence[str] = ()
    pictures: Sequence[str] = ()
    external: Mapping[str, str] = field(default_factory=dict)
    answers: Sequence[str] = ()
    address: str | None = None
    steal: bool = False

    @property
    def places(self) -> Places:
        """Where in the output everything lies."""
        return Places(storage.canonical(self.output))

    @property
    def wanted_external(self) -> dict[str, str]:
        """Of the systems of others those whose rows are asked for."""
        wanted = self.selection.names()
        return {name: storage.canonical(place) for name, place in self.external.items() if name in wanted}

    @property
    def in_small(self) -> bool:
        """Whether the models are the miniature's."""
        return load_bundle(self.models).name == MINIATURE

    def bundle_of(self, role: BundleRole) -> str | None:
        """Name or file of a bundle; None: a stand-in that is written into the output.

        Raises:
            ConfigError: When nobody said which one, and it does not belong to the main one.
        """
        if role == "main":
            return self.models
        said = str(getattr(self.settings.bundles, role))
        if said != AUTO:
            load_bundle(said)
            return said
        if self.in_small:
            return None
        if load_bundle(self.models).name == "paper":
            return _OF_PAPER[role]
        rows = ", ".join(system.name for system in self.selection.systems() if system.bundle == role)
        raise ConfigError(
            f"the rows {rows} need another bundle than {self.models}: name it (--set bundles.{role}=NAME), or choose "
            "rows without it (--only)"
        )

    def check(self) -> None:
        """Refuse what cannot be done.

        Raises:
            ConfigError: Naming the options.
        """
        if not storage.is_local(self.output):
            raise ConfigError(
                f"--output {self.output}: a reproduction has pages to open in a browser, give a local folder"
            )
        check_external(self.external)
        self._check_catalogs()
        for system in self.selection.systems():
            self.bundle_of(system.bundle)
        if self.answers and 5 not in self.selection.figures:
            raise ConfigError("--answers are what listeners said: they go with --figures 5")
        for place in self.answers:
            if not storage.exists(place):
                raise ConfigError(f"--answers {place}: there is no such file or folder")
        for name, place in self.external.items():
            if not storage.exists(place):
                raise ConfigError(f"--system {name}={place}: there is no such file or folder")

    def _check_catalogs(self) -> None:
        given = {"--catalog": self.catalog, "--test": self.test}
        lacking = [option for option, places in given.items() if not places]
        if len(lacking) == 1:
            (there,) = (option for option, places in given.items() if places)
            raise ConfigError(
                f"{there} needs {lacking[0]}: --catalog is what mappers learn from, --test what gets sounds"
            )
        if lacking and not self.in_small:
            raise ConfigError(
                f"--models {self.models} needs --catalog and --test; without them there is only the miniature world, "
                "which its own models know"
            )
        if lacking and self.pictures:
            raise ConfigError("--pictures go with --catalog and --test: the miniature world has pictures of its own")
        for places in (self.catalog, self.test, self.pictures):
            check_apart(places, self.output)

    def list_test(self) -> list[Source]:
        """The videos that get sounds.

        Raises:
            ConfigError: When there are none, or one is no file of its own: their sounds could not be references.
        """
        sources = [
            item for item in list_catalog(self.test, self.settings.catalog, None).sources if item.kind == "video"
        ]
        if not sources:
            raise ConfigError(f"--test {' '.join(self.test)}: there is no video in it")
        _check_files("--test", sources)
        return sources

    def list_pictures(self) -> list[Source]:
        """The pictures that get sounds; none when none are given."""
        if not self.pictures:
            return []
        listed = list_catalog(self.pictures, self.settings.pictures, None).sources
        sources = [source for source in listed if source.kind == "image"]
        _check_files("--pictures", sources)
        return sources


def _check_files(option: str, sources: Sequence[Source]) -> None:
    """Refuse what no table of files can name: it is written down, and without passwords.

    Raises:
        ConfigError: Naming the first of them.
    """
    for source in sources:
        what = ""
        if source.member is not None:
            what = "inside a tar shard"
        elif source.start_s is not None:
            what = "a span of a longer video"
        elif storage.public(source.uri) != source.uri:
            what = "behind a password or a signature"
        if what:
            raise ConfigError(
                f"{option}: {storage.public(source.uri)} is {what}; give files of their own, whose sounds are compared "
                "as a whole"
            )
