"""The tables as LaTeX, for a document with the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from v2a_core.reproduction.filled import FilledTable
from v2a_core.reproduction.reproduction import Reproduction
from v2a_core.reproduction.words import UNTRAINED_NOTE, interval, our_number, row_title

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def to_latex(found: Reproduction) -> str:
    """Each table as a `table` with its caption; a number that nobody knows is a dash."""
    return "\n".join(
        ["% needs \\usepackage{booktabs}", *(line for table in found.tables for line in _table(table)), ""]
    )


def escaped(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return re.sub(r"[\\&%$#_{}~^]", lambda match: _SPECIAL[match[0]], text)


def _table(filled: FilledTable) -> Iterator[str]:
    table = filled.table
    yield from ("", r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'rr' * len(table.columns)}}}", r"\toprule")
    heads = []
    for column in table.columns:
        arrow = r"$\uparrow$" if column.better == "higher" else r"$\downarrow$"
        heads.append(rf"\multicolumn{{2}}{{c}}{{{escaped(column.title)} {arrow}}}")
    yield " & ".join(["", *heads]) + r" \\"
    yield " & ".join(["", *(["paper", "here"] * len(table.columns))]) + r" \\"
    yield r"\midrule"
    for row in table.rows:
        cells = [escaped(row_title(row, filled.untrained))]
        for column in table.columns:
            cell = filled.cell(row, column)
            between = interval(cell.ours, column)
            ours = our_number(cell.ours, column) + (rf" {{\scriptsize ({between})}}" if between else "")
            cells += ["--" if cell.paper is None else f"{cell.paper:.{column.digits}f}", ours or "--"]
        yield " & ".join(cells) + r" \\"
    yield from (r"\bottomrule", r"\end{tabular}")
    yield rf"\caption{{{escaped(_caption(filled))}}}"
    yield from (rf"\label{{tab:paper-{table.number}}}", r"\end{table}")


def _caption(filled: FilledTable) -> str:
    said = [f"{filled.table.title} (table {filled.table.number} of the paper)."]
    for column in filled.table.columns:
        how = filled.measured_by.get(column.name)
        if how is not None and how.stands_in:
            said.append(f"{column.title}, here: {how.title}, which stands in for the paper's metric.")
    said += [f"{item.column.title}: the paper's order is {item.verdict}." for item in filled.orderings]
    return " ".join([*said, *([UNTRAINED_NOTE] if filled.untrained else [])])
