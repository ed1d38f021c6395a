"""The overview of all results: a line for each row, or for each protocol of a row of many; the count over all."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from genolm.bootstrap import Estimate
from genolm.cards import format_estimate, metric_name
from genolm.result_row import PUBLISHED, STRICT, RowResult, View
from genolm.results_contest import (
    BEST,
    ORIGINAL,
    Beside,
    Contest,
    against_baseline,
    against_naive,
    published_contest,
    sign_of,
)
from genolm.results_reading import protocol_words
from genolm.results_verdict import verdict

OVERVIEW = (
    "Question",
    "Original",
    "Best published",
    "Ours, published protocol",
    "Ours, strict protocol",
    "Naive",
    "Best simple baseline",
    "Reading",
)
NONE = "–"


class Cell(NamedTuple):
    """A cell of the overview: a figure, and beneath it whose or under what it is."""

    text: str
    detail: str = ""


class Line(NamedTuple):
    """A row of the overview; ``cells`` are those of :data:`OVERVIEW`."""

    row: RowResult
    cells: tuple[Cell, ...]


class Tally(NamedTuple):
    """Whom ours was compared with, and how that went, one contest for each line of the overview."""

    other: str
    contests: tuple[Contest, ...]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """How often ours was better, within noise, worse, and how often that could not be judged."""
        better, worse = sum(item.better for item in self.contests), sum(item.worse for item in self.contests)
        unknown = sum(item.clear is None for item in self.contests)
        return better, len(self.contests) - better - worse - unknown, worse, unknown


def overview(rows: Sequence[RowResult]) -> dict[str, list[Line]]:
    """Return the lines of the overview under their section, in the order of the rows."""
    found: dict[str, list[Line]] = {}
    for row in rows:
        lines = [Line(row, _cells(row, view, place)) for place, view in enumerate(row.views())]
        found.setdefault(row.section, []).extend(lines)
    return found


def tally(rows: Sequence[RowResult]) -> list[Tally]:
    """Count over the overview's lines how ours stands to the original, the best published, naive and baselines.

    A published figure that stands in several rows is counted once, where our interval is the narrowest, which can
    show most. A protocol whose test rows our models were trained on is not counted, nor is one that pools others or
    that its recipe says is not to be.
    """
    views = [(row, view) for row in rows for view in row.views()]
    known = [(row, view.main, row.main(view.main)) for row, view in views if view.main and row.main(view.main)]
    known = [item for item in known if not _is_left_out(*item[:2])]
    found: dict[str, list[Contest | None]] = {}
    for kind, words in ((ORIGINAL, "the original"), (BEST, "the best published")):
        pairs = _published_pairs(views, kind)
        found[f"{words}, the same data or made alike"] = [pair.contest for pair in pairs if not pair.item.other_test]
        found[f"{words}, other data"] = [pair.contest for pair in pairs if pair.item.other_test]
    found |= {
        "the same network without pre-training": [against_naive(*item) for item in known],
        "the best network without pre-training": [against_naive(*item, alike=False) for item in known],
        "the best simple baseline": [against_baseline(*item) for item in known],
    }
    return [Tally(words, tuple(item for item in items if item)) for words, items in found.items() if any(items)]


def _published_pairs(views: Sequence[tuple[RowResult, View]], kind: str) -> list[Beside]:
    """Return how ours stands to each published figure that it is compared with, once for each."""
    found: dict[tuple[str, float], tuple[float, Beside]] = {}
    for row, view in views:
        pair = published_contest(row, kind, view)
        if pair is None or _is_left_out(row, pair.item.protocol):
            continue
        ours = row.estimate(pair.item.protocol, row.beside(pair.item), pair.metric)
        width = math.inf if math.isnan(ours.high - ours.low) else ours.high - ours.low
        key = pair.item.source or pair.item.name, pair.item.scores[pair.metric]
        if key not in found or width < found[key][0]:
            found[key] = width, pair
    return [pair for _, pair in found.values()]


def _is_left_out(row: RowResult, protocol: str) -> bool:
    """Return whether a protocol's figures are no test of their own."""
    pooled = protocol in row.protocols and bool(row.protocols[protocol].pools)
    return row.is_seen(protocol) or pooled or bool(row.uncounted(protocol))


def tally_cells(results: Sequence[RowResult]) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of how often ours is better, within noise and worse."""
    rows = [[item.other, str(len(item.contests)), *map(str, item.counts)] for item in tally(results)]
    return ["Ours beside", "Lines", "Better", "Within noise", "Worse", "Not judged"], rows


def figure_words(estimate: Estimate | None) -> str:
    """Return a figure with its interval, a dash for none."""
    return NONE if estimate is None else format_estimate(estimate.as_dict())


def _cells(row: RowResult, view: View, place: int) -> tuple[Cell, ...]:
    """Return a line of the overview; of several lines of a row the first asks and the others say their protocol."""
    several = len(row.views()) > 1
    title = protocol_words(row, view.main) if view.main else ""
    metric = metric_name(row.metric) if row.scored or row.published else ""
    asked = f"{title}; {metric}" if several and not view.is_usual else metric
    question = Cell(title, metric) if place else Cell(row.question, asked)
    return (
        question,
        _published_cell(row, ORIGINAL, view),
        _published_cell(row, BEST, view),
        _own_cell(row, PUBLISHED) if view.is_usual else Cell(NONE),
        _strict_cell(row, view, several),
        _naive_cell(row, view),
        _baseline_cell(row, view),
        Cell(verdict(row, view) + _few_words(row, view)),
    )


def _few_words(row: RowResult, view: View) -> str:
    """Say that intervals of a line are too narrow, as few groups are drawn; "" where they are not."""
    shown = [key for key in ((PUBLISHED, STRICT) if view.is_usual else (view.main,)) if key and row.main(key)]
    few = dict.fromkeys(row.drawn_over(key) for key in shown if row.is_drawn_over_few(key))
    return f" Intervals over {' and over '.join(few)} are too narrow." if few else ""


def _published_cell(row: RowResult, kind: str, view: View) -> Cell:
    """Return the headline figure of the best that is published of a kind, else another, with its name.

    Where the best published is the original, another method is named in its place, if one was measured likewise.
    """
    found = row.figures_of(kind, view.published)
    if not found:
        return _next_best_cell(row, view) if kind == BEST else Cell(NONE)
    item = found[0]
    where = "" if item.protocol == view.published else f"; {protocol_words(row, item.protocol)}"
    name = item.name + (where if item.protocol in row.protocols else "; not comparable")
    name += "; other data" if item.other_test else ""
    if row.metric in item.scores:
        return Cell(figure_words(item.estimate(row.metric)), name)
    metric = next((key for key in row.metrics if key in item.scores), next(iter(item.scores)))
    return Cell(f"{metric_name(metric)} {figure_words(item.estimate(metric))}", name)


def _next_best_cell(row: RowResult, view: View) -> Cell:
    """Return the best figure of others that the original of a line is ahead of, a dash where there is none."""
    first = next((item for item in row.figures_of(ORIGINAL, view.published) if row.metric in item.scores), None)
    for item in row.figures_of("other", view.published):
        is_like = first and item.protocol == first.protocol == view.published and row.metric in item.scores
        if is_like and not item.beside and item.name.split(",")[0] != first.name.split(",")[0]:
            if sign_of(row.metric) * (first.scores[row.metric] - item.scores[row.metric]) >= 0:
                more = "; other data" if item.other_test else ""
                return Cell(figure_words(item.estimate(row.metric)), f"next to the original, {item.name}{more}")
    return Cell(NONE)


def _own_cell(row: RowResult, protocol: str) -> Cell:
    method = row.main(protocol)
    if method is None or row.is_seen(protocol):
        return Cell(NONE)
    return Cell(figure_words(row.estimate(protocol, method)), row.title_of(method))


def _strict_cell(row: RowResult, view: View, several: bool) -> Cell:
    """Return ours under the strict protocol; where there is none, under another one that is named."""
    if view.main in (PUBLISHED, STRICT, None):
        cell = _own_cell(row, STRICT)
        return cell._replace(detail="") if row.main(STRICT) == row.main(PUBLISHED) else cell
    cell = _own_cell(row, view.main)
    return cell if several else Cell(cell.text, f"{cell.detail}; {protocol_words(row, view.main)}")


def _naive_cell(row: RowResult, view: View) -> Cell:
    for protocol in _places(row, view):
        if other := row.naive(protocol):
            same = row.naive(protocol, row.main(protocol))
            details = (_other_words(row, protocol, same, other), _elsewhere(row, view, protocol))
            return Cell(figure_words(row.estimate(protocol, same or other)), "; ".join(filter(None, details)))
    return Cell(NONE)


def _other_words(row: RowResult, protocol: str, same: str | None, other: str) -> str:
    """Name the best network from scratch by validation where that is another one, with its figure beside the same."""
    if same == other:
        return ""
    title = row.title_of(other)
    return f"another training, {title}: {figure_words(row.estimate(protocol, other))}" if same else title


def _baseline_cell(row: RowResult, view: View) -> Cell:
    for protocol in _places(row, view):
        if other := row.best_baseline(protocol):
            details = (row.title_of(other), _elsewhere(row, view, protocol))
            return Cell(figure_words(row.estimate(protocol, other)), "; ".join(filter(None, details)))
    return Cell(NONE)


def _places(row: RowResult, view: View) -> list[str]:
    """Return the protocols of which a line shows naive and baselines: the first that has them."""
    return [view.published] if not view.is_usual else [*filter(None, [view.main]), *row.scored]


def _elsewhere(row: RowResult, view: View, protocol: str) -> str:
    """Return the protocol of a figure that is not the one that the column or the line says."""
    return "" if protocol == STRICT or protocol == view.main != PUBLISHED else protocol_words(row, protocol)
