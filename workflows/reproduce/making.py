"""Embeddings, mappers and sounds: each system that the chosen rows need, each part of it once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from v2a_core import storage
from v2a_core.catalog import CatalogSettings
from v2a_core.mappers.none import NO_MAPPER
from v2a_core.reproduction.systems import BundleRole, System
from workflows.command.arguments import AskedOfCatalog
from workflows.embed import job as embed
from workflows.generate import job as generate
from workflows.reproduce import jobs
from workflows.reproduce.asked import Reproduce
from workflows.reproduce.data import Data
from workflows.reproduce.models import Models
from workflows.reproduce.places import Places
from workflows.reproduce.plan import Plan, is_done, plan
from workflows.train import job as train
from workflows.train.sweep import run_sweep


@dataclass(frozen=True)
class Making:
    """What makes the sounds of a reproduction.

    Attributes:
        asked: What was asked for.
        data: The catalogs.
        models: The bundles.
    """

    asked: Reproduce
    data: Data
    models: Models

    @property
    def places(self) -> Places:
        """Where everything lies."""
        return self.asked.places

    @property
    def plan(self) -> Plan:
        """Who sees, and which mappers are trained."""
        return plan(self.asked.selection, self.models.eyes)

    def make(self) -> list[str]:
        """See, train and sound; what is done is not done again. Returns the outputs, by their places."""
        outputs = self._see()
        for eyes, runs in self.plan.trained.items():
            self._train(eyes, runs)
            outputs += [self.places.mapper(eyes, run) for run in runs]
        for system in self.asked.selection.systems():
            print(f"reproduce: sounds of {system.name}", flush=True)
            self._sound(system)
            outputs.append(self.places.soundtracks(system.name))
        return outputs

    def mapper_of(self, system: System) -> str | None:
        """Where the mapper of a system is; None: it has none."""
        return None if system.mapper is None else self.places.mapper(self.models.eyes(system.bundle), system.mapper)

    def seen(self, system: System) -> str | None:
        """The embeddings that a system's sounds are made from; None via text."""
        return None if system.via_text else self.places.shown(self.models.eyes(system.bundle))

    def _see(self) -> list[str]:
        """Embed what mappers learn from, and what gets sounds."""
        lessons, listed = self.data.lessons
        planned, outputs = self.plan, []
        for eyes in planned.eyes:
            if eyes in planned.trained:
                outputs.append(self._embed(lessons, listed, self.places.lessons(eyes), eyes))
            if eyes in planned.looking:
                outputs.append(self._embed(self.data.shown, CatalogSettings(), self.places.shown(eyes), eyes))
        return outputs

    def _embed(self, catalog: Sequence[str], listed: CatalogSettings, output: str, eyes: BundleRole) -> str:
        print(f"reproduce: embeddings -> {self.places.inside(output)}", flush=True)
        embed.run(catalog, output, jobs.embed_job(self.asked, listed), **self._asked(eyes))
        return output

    def _train(self, eyes: BundleRole, runs: Sequence[str]) -> None:
        """Train the mappers: together where one is left to train, else each says that it was."""
        sweep, output, lessons = jobs.sweep_of(self.asked, runs), self.places.mappers(eyes), self.places.lessons(eyes)
        print(f"reproduce: mappers -> {self.places.inside(output)}", flush=True)
        address, steal = self.asked.address, self.asked.steal
        if any(not is_done(storage.join(output, run)) for run in runs):
            run_sweep(lessons, output, sweep, address=address, steal=steal)
            return
        for run, job in sweep.jobs.items():
            train.run(lessons, storage.join(output, run), job, address=address, steal=steal)

    def _sound(self, system: System) -> None:
        job = jobs.generate_job(self.asked, via_text=system.via_text)
        job = job.model_copy(update={"catalog": CatalogSettings()})
        mapper = self.mapper_of(system) or (None if system.via_text else NO_MAPPER)
        output = self.places.soundtracks(system.name)
        asked = self._asked(system.bundle)
        generate.run(self.data.shown, output, job, mapper=mapper, embeddings=self.seen(system), **asked)

    def _asked(self, role: BundleRole) -> AskedOfCatalog:
        return {"models": self.models.names[role], "address": self.asked.address, "steal": self.asked.steal}
