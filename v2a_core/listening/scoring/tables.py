"""The scored test as text: the paper's table 2 and figure 5 in numbers, comparisons, listeners, files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from v2a_core.listening.scoring.measure import Answered
from v2a_core.listening.scoring.scored import Scored

_SHOWN = 50


def to_markdown(scored: Scored) -> str:
    """All tables, as markdown."""
    parts = (_head, _opinions, _spreads, _differences, _pairs, _left_out)
    return "\n".join(line for part in parts for line in part(scored)) + "\n"


def _head(scored: Scored) -> Iterator[str]:
    key, counted = scored.key, len(scored.counted)
    yield f"# Listening test {key.test}"
    yield ""
    yield f"{counted} of {len(scored.listeners)} listeners count; {len(key.rated)} items, {len(key.systems)} systems."
    percent = f"{100 * scored.settings.confidence:g} %"
    yield f"Intervals are of {percent}, over other listeners and other items ({scored.settings.resamples} resamples)."
    if counted < 2 or len(key.rated) < 2:
        yield "**One listener, or one item, says nothing of others: these intervals mean nothing.**"
    for found in scored.answered:
        if found.reason:
            yield f"**{found.question}: {found.reason}.**"
    yield ""


def _opinions(scored: Scored) -> Iterator[str]:
    """As the paper's table 2."""
    yield from ("## Mean opinion scores (the paper's table 2)", "")
    yield from _by_system(scored, [_score(scored, found) for found in scored.answered])


def _score(scored: Scored, found: Answered) -> list[str]:
    scores = found.opinions or [None] * len(scored.key.systems)
    return ["-" if score is None else _interval(score.mean, score.low, score.high) for score in scores]


def _spreads(scored: Scored) -> Iterator[str]:
    yield from ("", 'What else "±" could mean, in points: standard deviations of')
    yield from ("", "| question | system | the ratings | listeners' means | items' means | ratings |")
    yield "|---|---|---:|---:|---:|---:|"
    for found in scored.answered:
        for name, score in zip(scored.key.systems, found.opinions, strict=False):
            spreads = (score.rating_deviation, score.listener_deviation, score.item_deviation)
            told = " | ".join(_number(value) for value in spreads)
            yield f"| {found.question} | {_cell(name)} | {told} | {score.ratings} |"


def _differences(scored: Scored) -> Iterator[str]:
    """As the paper's figure 5."""
    if not any(found.differences for found in scored.answered):
        return
    ours = _cell(scored.key.systems[scored.ours])
    share = 100 / (1 + math.exp(-scored.settings.jmd_unit))
    yield from ("", f"## Just meaningful differences from {ours} (the paper's figure 5)", "")
    yield f"From the cumulative-logit model; one step is a preference of {share:.0f} %, ties aside."
    yield from ("", *_by_system(scored, [_steps(scored, found) for found in scored.answered]))
    doubtful = [found.question for found in scored.answered if found.differences and not found.differences.agrees]
    if doubtful:
        yield from ("", f"The adjacent-categories model says otherwise of {', '.join(doubtful)}: trust neither alone.")
    yield from ("", "The model's own values, in logits, with mean 0 over the systems:", "")
    yield from _by_system(scored, [_scale(scored, found) for found in scored.answered])


def _steps(scored: Scored, found: Answered) -> list[str]:
    if found.differences is None:
        return ["-"] * len(scored.key.systems)
    values = zip(found.differences.values_S, found.differences.low_S, found.differences.high_S, strict=True)
    told = [_interval(*(float(part) for part in triple)) for triple in values]
    told[scored.ours] = "0"
    return told


def _scale(scored: Scored, found: Answered) -> list[str]:
    if found.differences is None:
        return ["-"] * len(scored.key.systems)
    fitted = found.differences
    values = zip(fitted.scale_S, fitted.scale_low_S, fitted.scale_high_S, strict=True)
    return [_interval(*(float(part) for part in triple)) for triple in values]


def _pairs(scored: Scored) -> Iterator[str]:
    if not any(found.pairs for found in scored.answered):
        return
    yield from ("", "## Paired comparisons", "")
    yield "How often a listener rated the first system of a pair higher on an item, alike, or lower."
    yield from ("", "| question | pair | higher | alike | lower | preferred | difference, points |")
    yield "|---|---|---:|---:|---:|---:|---:|"
    names = [_cell(name) for name in scored.key.systems]
    for found in scored.answered:
        for pair in found.pairs:
            both = f"{names[pair.first]} : {names[pair.second]}"
            preferred = "-" if math.isnan(pair.preference) else f"{100 * pair.preference:.0f} %"
            difference = _interval(pair.difference, pair.low, pair.high)
            yield (
                f"| {found.question} | {both} | {pair.won} | {pair.tied} | {pair.lost} | {preferred} | {difference} |"
            )


def _left_out(scored: Scored) -> Iterator[str]:
    failed = [checked for checked in scored.listeners if checked.reasons]
    if failed:
        counts = "they count all the same" if scored.settings.keep_failed else "they do not count"
        yield from ("", f"## Listeners who fail a check ({counts})", "")
        yield from _first([f"- {_cell(one.session.name)}: {'; '.join(one.reasons)}" for one in failed])
    if scored.read.left_out:
        yield from ("", f"## Files and listeners left out, of {scored.read.files} files", "")
        yield from _first([f"- `{_cell(out.file)}`: {_cell(out.reason)}" for out in scored.read.left_out])
    odd = [checked.session for checked in scored.listeners if checked.session.problems]
    if odd:
        yield from ("", "## What of files could not be used", "")
        yield from _first([f"- {_cell(one.name)}, `{_cell(one.file)}`: {'; '.join(one.problems)}" for one in odd])


def _by_system(scored: Scored, columns: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| system | {' | '.join(found.question for found in scored.answered)} |"
    yield f"|---|{'---:|' * len(columns)}"
    for place, name in enumerate(scored.key.systems):
        yield f"| {_cell(name)} | {' | '.join(column[place] for column in columns)} |"


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _cell(text: str) -> str:
    """Text from a file, inside of a table or list: nothing in it ends a cell or becomes a tag."""
    plain = " ".join(text.split())
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "'")


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"- and {len(lines) - _SHOWN} more, in the JSON"
