"""`v2a page`: a page to listen to what `v2a generate` made, or to systems side by side. It needs no Ray."""

from __future__ import annotations

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.report import read_report, write_page
from v2a_core.report.systems import is_comparison, read_systems, write_systems_page
from v2a_core.storage import StorageAccess
from workflows.page.config import PageSettings


def run(soundtracks: str, settings: PageSettings, *, output: str | None = None, metrics: str | None = None) -> str:
    """Write the page.

    Args:
        soundtracks: Folder or URI that `v2a generate` or `v2a evaluate --system` wrote.
        settings: How much is shown.
        output: Path or URI of the page, or of a folder for its `index.html`; without one, that of the soundtracks.
        metrics: Folder or URI that `v2a evaluate` wrote for them.

    Returns:
        The page.

    Raises:
        ConfigError: When there are no such soundtracks or metrics.
    """
    place = output or soundtracks
    page = place if place.endswith(".html") else storage.join(place, "index.html")
    folder = page.rpartition("/")[0]
    with storage.reach(StorageAccess.of_job(settings.storage, folder, settings.output_storage if output else None)):
        if is_comparison(soundtracks):
            if metrics is not None:
                raise ConfigError("--metrics goes with soundtracks: a comparison of systems has its own")
            return _write_systems(soundtracks, page, settings)
        report = read_report(soundtracks, metrics, settings.limit)
        print(f"page: drawing {len(report.entries)} soundtracks", flush=True)
        page = write_page(page, report, settings.decoder)
        shown = f"{len(report.entries)} soundtracks"
        if report.total > len(report.entries):
            shown = f"the first {len(report.entries)} of {report.total} soundtracks (--limit {report.total} shows all)"
        print(f"page: {shown}, {report.rejected} rejects -> {page}", flush=True)
        return page


def _write_systems(comparison: str, page: str, settings: PageSettings) -> str:
    report = read_systems(comparison, settings.limit)
    print(f"page: drawing {len(report.clips)} clips of {len(report.systems)} systems", flush=True)
    page = write_systems_page(page, report, settings.decoder)
    shown = f"{len(report.clips)} clips"
    if report.total > len(report.clips):
        shown = f"the worst {len(report.clips)} of {report.total} clips (--limit {report.total} shows all)"
    print(f"page: {shown} -> {page}", flush=True)
    return page
