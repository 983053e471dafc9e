"""What a person sees of a run on terminals of several widths."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from workflows.streaming.progress import BAR_WIDTH, _Bar

TRAINING = {"epoch": 12, "train_loss": 0.1234, "validation_loss": 0.4321, "validation_cosine": 0.8765}
STAGES = {
    "decode": 1234.5,
    "vision": 60.0,
    "map": 3.0,
    "generate": 5000.0,
    "unet": 4000.0,
    "vae": 500.0,
    "finish": 70.0,
}


def shown(width: int, counts: dict, stages: dict, done: int = 61_000) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bar = _Bar("train", 123_000, console)
    bar.show(done, counts, stages)
    with console.capture() as captured:
        for each in bar.get_renderables():
            console.print(each)
    return captured.get().rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [80, 110, 200])
def test_a_bar_keeps_its_width_and_numbers_that_do_not_fit_are_left_out(width):
    (line,) = shown(width, TRAINING, {})
    assert line.index(" 61000/123000 ") >= len("train ") + BAR_WIDTH
    assert line.startswith(f"train {'━' * (BAR_WIDTH // 2 - 1)}")
    assert "…" not in line
    assert ("train loss 0.1234" in line) == (width >= 110)
    assert ("validation cosine 0.8765" in line) == (width == 200)
    assert re.search(r"0:00:0\d", line)


@pytest.mark.parametrize("width", [80, 200])
def test_work_of_stages_is_told_in_seconds_and_has_no_bar(width):
    first, *below = shown(width, {"rows": 10, "rejected": 0}, STAGES)
    assert "rows 10" in first
    assert not re.search("[━╸╺]", "".join(below))
    assert "decode 1234 s, vision 60 s" in below[0]
    assert "finish 70 s" in " ".join(below)
