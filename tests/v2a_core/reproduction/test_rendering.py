"""Tables as Markdown, LaTeX, JSON and a page: both kinds of numbers, ours with intervals, gaps with reasons."""

from __future__ import annotations

import json
import math

import pytest

from v2a_core.metrics.base import Score
from v2a_core.reproduction.comparison import Comparison
from v2a_core.reproduction.filled import Measured, fill
from v2a_core.reproduction.latex import escaped, to_latex
from v2a_core.reproduction.markdown import to_markdown
from v2a_core.reproduction.page import render_page
from v2a_core.reproduction.paper import OURS
from v2a_core.reproduction.reproduction import Figure, Reproduction
from v2a_core.reproduction.selection import select

REASON = "give vggish-10086976.pth"


def metrics(value):
    return {
        "clap_frechet": {"title": "FD of CLAP", "value": value, "low": value - 0.5, "high": value + 0.5, "count": 9},
        "fad_vggish": {"title": "FAD (VGGish)", "not_measured": REASON},
    }


@pytest.fixture
def found():
    """Tables 1 and 5: ours and one of the other frames, of which the latter is better here."""
    names = {OURS: 3.0, "random-frame": 2.0}
    minus = {"clap_frechet": Score(1.0, 0.25, 1.75, 9)}
    comparison = Comparison({name: metrics(value) for name, value in names.items()}, {(OURS, "random-frame"): minus})
    measured = Measured(comparison, None, {OURS: {"seconds": 1.234, "parameters": 8.78}}, frozenset({"random-frame"}))
    tables = fill(select("1,5", "none", []), measured)
    figure = Figure(7, "From one sound to another", "figures/a b.png", note="From <b>bell</b> to rain.")
    return Reproduction(tables, [figure], {"models": "miniature"}, ["A note."], {"videos": "scores/videos/index.html"})


def test_both_kinds_of_numbers_stand_side_by_side(found):
    text = to_markdown(found)
    (ours,) = [line for line in text.splitlines() if line.startswith("| average")]
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    assert cells[1:3] == ["24.168", "3.000 (2.500 to 3.500)"]
    assert "| V2A-Mapper" in text
    assert "35.45" in text
    assert "1.23" in text
    assert "FD (lower is better), here: FD of CLAP, which stands in for the paper's metric" in text


def test_what_is_missing_says_why(found):
    text = to_markdown(found)
    assert f"nothing here for V2A-Mapper (FAD): {REASON}" in text
    assert "a system of others: give its sounds, --system im2wav=PLACE" in text
    assert "there are no pictures, or no system was scored on them" in text
    (reference,) = [line for line in text.splitlines() if line.startswith("| Reference")]
    cells = [cell.strip() for cell in reference.strip("|").split("|")]
    assert cells[7::2] == ["-", "-", "-"]  # the paper leaves these empty


def test_an_ordering_that_is_not_held_says_so(found):
    text = to_markdown(found)
    assert "- FD: **not held**. average, then random*" in text
    assert "average minus random: +1.000 (0.250 to 1.750), not held" in text
    assert found.verdicts() == "Orderings of the paper: 1 not held"


def test_untrained_stand_ins_are_marked(found):
    assert "| random*" in to_markdown(found)
    (row,) = [row for row in found.to_dict()["tables"][1]["rows"] if row["name"] == "random-frame"]
    assert row["untrained"] is True


def test_json_is_plain_and_whole(found):
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["verdicts"] == {"not held": 1}
    ours = {row["name"]: row for row in content["tables"][0]["rows"]}[OURS]["columns"]
    assert ours["fd"]["paper"] == 24.168
    assert ours["fd"]["ours"] == {"value": 3.0, "low": 2.5, "high": 3.5, "count": 9}
    assert ours["fad"] == {"paper": 0.841, "ours": None, "reason": REASON}
    how = {column["name"]: column["measured_by"] for column in content["tables"][0]["columns"]}
    assert how["fd"] == {"metric": "clap_frechet", "title": "FD of CLAP", "stands_in": True}
    assert how["cs"] is None


def test_latex_has_a_row_a_row_and_closes_what_it_opens(found):
    text = to_latex(found)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    lines = [line for line in text.splitlines() if line.startswith("average ")]
    assert lines[0].startswith(r"average & 24.168 & 3.000 {\scriptsize (2.500 to 3.500)} & 9.720 & -- &")
    assert lines[0].count("&") == 6
    assert escaped("50% of a_b & {c}") == r"50\% of a\_b \& \{c\}"


def test_the_page_escapes_and_links_relatively(found):
    page = render_page(found).decode()
    assert 'src="./figures/a%20b.png"' in page
    assert 'href="./scores/videos/index.html"' in page
    assert "From &lt;b&gt;bell&lt;/b&gt; to rain." in page
    assert "img-src 'self' file:" in page
    assert "<script" not in page
    assert 'class="verdict not-held"' in page


def test_what_the_paper_says_and_nobody_noted_is_not_made_up():
    (table,) = fill(select("7", "none", []), Measured())
    text = to_markdown(Reproduction([table], [], {}))
    (row,) = [line for line in text.splitlines() if line.startswith("| AudioLDM-l")]
    assert row.count("not known here") == 1


def test_a_number_without_an_interval_has_none(found):
    comparison = Comparison({OURS: {"clap_frechet": {"title": "FD of CLAP", "value": 1.0, "count": 2}}}, {})
    (table,) = fill(select("5", "none", [OURS]), Measured(comparison))
    score = table.cells[OURS, "fd"].ours
    assert score is not None
    assert math.isnan(score.low)
    text = to_markdown(Reproduction([table], [], {}))
    assert "1.000 " in text
    assert "nothing here for random, middle: left out (--only)" in text
    assert table.orderings == ()
