"""Tables of many words: they wrap, and on a narrow screen each line becomes a card.

The style is also that of tables written in Markdown below :data:`WIDE`, which scroll within their frame.
"""

import html
from collections.abc import Iterable, Sequence

import pandas as pd

from genolm.results_overview import OVERVIEW, Cell, Line

WIDE = "wide"
"""Key, or start of the key, of a container whose Markdown tables may be wider than the page."""
STYLE = """<style>
.results { width: 100%; border-collapse: collapse; font-size: 0.875rem; line-height: 1.35; }
.results th, .results td { text-align: left; vertical-align: top; padding: 0.45rem 0.5rem;
  border: 0; border-bottom: 1px solid color-mix(in srgb, currentColor 22%, transparent); }
.results th { font-weight: 600; vertical-align: bottom; }
.results td { overflow-wrap: anywhere; }
.results td span { display: inline-block; white-space: nowrap; }
.frame { overflow-x: auto; }
.named th:first-child, .named td:first-child { min-width: 12rem; overflow-wrap: normal; }
.results small { display: block; font-size: 0.78rem; }
.overview { table-layout: fixed; }
.overview th:first-child { width: 15%; } .overview th:last-child { width: 26%; }
.overview td:last-child div { white-space: pre-line; }
@media (max-width: 1000px) {
  .results thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .results, .results tbody { display: block; }
  .results tr { display: block; padding: 0.5rem 0;
    border-bottom: 2px solid color-mix(in srgb, currentColor 35%, transparent); }
  .results td { display: grid; grid-template-columns: 9.5rem 1fr; column-gap: 0.6rem; border: 0;
    padding: 0.15rem 0; }
  .results td::before { content: attr(data-label); }
  .named td:first-child { min-width: 0; }
  .results td:first-child { display: block; font-weight: 600; padding-bottom: 0.3rem; }
  .results td:first-child::before { content: none; }
}
[class*="st-key-wide"] table { display: block; max-width: 100%; overflow-x: auto; }
[class*="st-key-wide"] td { overflow-wrap: normal; }
[class*="st-key-wide"] td:first-child { min-width: 9rem; }
</style>"""
# Letters of a figure with its unit, or a word or two, which stay on one line.
_UNBROKEN = 8


def overview_table(lines: Sequence[Line], *, label: str) -> str:
    """Return the overview of a section as HTML."""
    return _table(OVERVIEW, (line.cells for line in lines), label=label, kind="results overview")


def plain_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, label: str, named: bool = False
) -> str:
    """Return a table of texts as HTML; ``named`` gives its first column room for names, however many follow."""
    kind = "results named" if named else "results"
    return _table(header, ([Cell(text) for text in row] for row in rows), label=label, kind=kind)


def score_table(table: pd.DataFrame, *, label: str) -> str:
    """Return scores with a row for each model or baseline, which the index names, as HTML; "" without any."""
    if table.empty:
        return ""
    rows = [[str(name), *cells] for name, cells in zip(table.index, table.to_numpy().tolist(), strict=True)]
    return plain_table(["Model or baseline", *table.columns], rows, label=label, named=True)


def cell_table(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, label: str) -> str:
    """Return a table of texts, each with a smaller one beneath it, as HTML."""
    return _table(header, rows, label=label, kind="results")


def _table(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, label: str, kind: str) -> str:
    """Return a table in which every letter of a result is shown as it is."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row, header))}</tr>" for row in rows)
    front = f'<table class="{kind}" aria-label="{html.escape(label)}">'
    return f'<div class="frame">{front}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell, column: str) -> str:
    more = f"<small>{html.escape(cell.detail)}</small>" if cell.detail else ""
    return f'<td data-label="{html.escape(column)}"><div>{_figure(cell.text)}{more}</div></td>'


def _figure(text: str) -> str:
    """Return a text; a short one, and each part of a figure with its interval, is not broken over two lines."""
    if len(text) <= _UNBROKEN:
        return f"<span>{html.escape(text)}</span>"
    value, gap, interval = text.partition(" (")
    if not gap or not any(letter.isdigit() for letter in value[-3:]) or len(interval) > 20:
        return html.escape(text)
    return f"<span>{html.escape(value)}</span> <span>({html.escape(interval)}</span>"
