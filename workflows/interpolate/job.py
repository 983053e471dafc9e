"""`v2a interpolate`: sounds on the way between two things, and a page to hear them in a row. Small: it needs no Ray."""

from __future__ import annotations

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.generators import tell_doubt
from v2a_core.interpolation.config import InterpolationSettings
from v2a_core.interpolation.ends import read_end
from v2a_core.interpolation.run import MappedBy, interpolate
from v2a_core.mappers.choice import check_mapper, load_condition_mapper
from v2a_core.models import check_spaces, check_weights, load_bundle
from v2a_core.storage import StorageAccess
from v2a_core.storage.preflight import check_storage


def run(
    first: str,
    second: str,
    output: str,
    settings: InterpolationSettings,
    *,
    mapper: str | None = None,
    models: str = "paper",
) -> str:
    """Make the sounds and the page.

    Args:
        first: An image, a video, an audio file or a text.
        second: The other end.
        output: Folder or URI.
        settings: How many, how long, how made.
        mapper: Folder or URI of a mapper, or `none`; for ends that are seen.
        models: A bundle's name or file.

    Returns:
        The page.
    """
    access = StorageAccess.of_job(settings.storage, output, settings.output_storage)
    with storage.reach(access):
        check_storage([], output, access)
        page, trained = _make((first, second), output, settings, mapper, models)
    note = "" if trained else " (untrained weights: the sounds mean nothing)"
    print(f"interpolate: {settings.steps} sounds -> {page}{note}", flush=True)
    return page


def _make(
    given: tuple[str, str], output: str, settings: InterpolationSettings, mapper: str | None, models: str
) -> tuple[str, bool]:
    """The page, and whether the models that made its sounds are trained."""
    ends = (read_end(given[0]), read_end(given[1]))
    if mapper is None and any(end.seen for end in ends):
        raise ConfigError("an image or a video needs --mapper URI (what `v2a train` wrote), or --mapper none")
    local = load_bundle(models).resolve()
    check_weights(local)
    check_spaces(local)
    tell_doubt(local)
    # After the checks of what was given: this import takes seconds.
    from v2a_core.compute.precision import default_device

    mapped_by = MappedBy(None, "none")
    if mapper is not None:
        fingerprint = check_mapper(mapper, settings.sampling, local)
        mapped_by = MappedBy(load_condition_mapper(mapper, default_device(), settings.sampling), fingerprint)
    page = interpolate(ends, output, settings, local, mapped_by, default_device())
    return page, local.trained
