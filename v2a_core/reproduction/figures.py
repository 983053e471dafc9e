"""Pictures of a reproduction that no job draws: the sounds of an interpolation side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from v2a_core import storage
from v2a_core.report.plots import read_waveform, spectrogram_png


def draw_interpolation(sounds: Sequence[str], ends: tuple[str, str]) -> bytes:
    """Spectrograms of the sounds on the way from one end to the other, as a PNG.

    Args:
        sounds: Files in their order.
        ends: What stands under the first and the last.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(sounds), 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(sounds), squeeze=False)[0]
    for place, (axes, sound) in enumerate(zip(panels, sounds, strict=True)):
        picture = _spectrogram(sound)
        if picture is not None:
            axes.imshow(picture.convert("RGB"), aspect="auto")
        share = place / max(1, len(sounds) - 1)
        said = {0: ends[0], len(sounds) - 1: ends[1]}.get(place, "")
        axes.set(title=f"{100 * share:.0f} %", xlabel=said.replace("$", r"\$"), xticks=[], yticks=[])
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return file.getvalue()


def _spectrogram(sound: str) -> Image.Image | None:
    """None for a silent sound."""
    with storage.local_copy(sound) as path:
        waveform = read_waveform(Path(path))
    return None if waveform is None else Image.open(io.BytesIO(spectrogram_png(waveform)))
