"""The reading of a row on one line of the overview, by the rules of :mod:`genolm.results_contest`."""

from collections.abc import Iterator

from genolm.cards import format_number, metric_name
from genolm.result_row import PUBLISHED, STRICT, RowResult, View
from genolm.results_contest import (
    BEST,
    ORIGINAL,
    against_baseline,
    against_naive,
    apart,
    noise_words,
    published_contest,
    sign_of,
)
from genolm.results_reading import SEEN, both_protocols, capital, estimate_words, protocol_words


def verdict(row: RowResult, view: View) -> str:
    """Return the reading of a line of the overview, each protocol in a line of its own."""
    if view.main is None:
        titles = ", ".join(item.title or item.name for item in row.figures)
        return f"Figures only: {titles}." if titles else "Not run yet."
    shown = [key for key in (PUBLISHED, STRICT) if row.main(key)] if view.is_usual else [view.main]
    parts = {key: [*_short_published(row, view, key), *_short_own(row, key)] for key in shown}
    if view.is_usual and STRICT in parts:
        parts[STRICT] = [*_short_strict(row), *parts[STRICT]]
    said = [_line_of(row, key, words, several=len(parts) > 1) for key, words in parts.items()]
    text = "\n".join(filter(None, said))
    if row.missing:
        return f"{text} Incomplete.".strip()
    return text or "Nothing to compare with."


def _line_of(row: RowResult, protocol: str, parts: list[str], *, several: bool) -> str:
    """Return what is said of one protocol within a line, "" where nothing is."""
    method = row.main(protocol)
    if method is None:
        return ""
    if row.is_seen(protocol):
        return f"{capital(protocol_words(row, protocol))}: {SEEN}" if several else SEEN
    count = len(row.scores[protocol][method].each(row.metric))
    repeats = f"{count} {row.repeat}s" if count > 1 else f"one {row.repeat}"
    parts = parts or [*_alone_words(row, protocol, method)]
    parts += [f"not counted, as {row.uncounted(protocol)}"] if row.uncounted(protocol) else []
    if several:
        return f"{capital(protocol_words(row, protocol))}, {repeats}: {'; '.join(parts)}."
    return capital("; ".join([*parts, repeats])) + "."


def _alone_words(row: RowResult, protocol: str, method: str) -> Iterator[str]:
    """Say the figure of what is compared with nothing, and what a control has."""
    yield f"{metric_name(row.metric)} {estimate_words(row.estimate(protocol, method))}"
    for key in row.controls(protocol):
        yield f"a control ({row.title_of(key)}) has {estimate_words(row.estimate(protocol, key))}"


def _short_published(row: RowResult, view: View, protocol: str) -> Iterator[str]:
    """Say how ours stands to what was published under a protocol."""
    for kind, name in ((ORIGINAL, "the original"), (BEST, "the best published")):
        pair = published_contest(row, kind, view)
        if pair is None or pair.item.protocol != protocol:
            continue
        found, words = pair.contest, f"{name} (on other data)" if pair.item.other_test else name
        leak = f" ({pair.item.leak})" if pair.item.leak else ""
        if found.clear is None:
            why = "tested on an unknown number of rows" if found.of_unknown_size else "no interval"
            yield f"{found.ahead:+z.3f} to {words}, {why}{leak}"
        elif found.clear:
            yield f"{found.side} than {words} by {abs(found.ahead):.3f}{leak}"
        else:
            yield f"within noise of {words} ({found.ahead:+z.3f}){leak}"


def _short_strict(row: RowResult) -> Iterator[str]:
    pair = both_protocols(row)
    if pair is None:
        return
    method, before, after = pair
    lost = sign_of(row.metric) * (before.value - after.value)
    noise = noise_words(apart(before, after))
    if {row.main(PUBLISHED), row.main(STRICT)} != {method}:
        # The columns show other ways, so that their difference is not this one.
        figures = f"{format_number(before.value)} to {format_number(after.value)}"
        yield f"one way run on both splits goes from {figures}{noise}"
    else:
        yield f"the strict split takes {lost:.3f} away{noise}" if lost > 0 else "the strict split takes nothing away"


def _short_own(row: RowResult, protocol: str) -> Iterator[str]:
    method = row.main(protocol)
    if method is None:
        return
    if found := against_naive(row, protocol, method):
        best, more = row.naive(protocol), ""
        if best != row.naive(protocol, method) and (other := against_naive(row, protocol, method, alike=False)):
            more = f" (over another training from scratch {other.short()})"
        yield f"pre-training gives {found.short()}{more}"
    elif other := against_naive(row, protocol, method, alike=False):
        yield f"{other.short()} over another network from scratch"
    if found := against_baseline(row, protocol, method):
        if found.better:
            yield f"better than simple baselines by {found.ahead:.3f}"
        elif found.worse:
            yield f"a simple baseline is better by {-found.ahead:.3f}"
        elif found.clear is None:
            yield f"{found.ahead:+z.3f} to the best simple baseline, no interval"
        else:
            yield f"within noise of the best simple baseline ({found.ahead:+z.3f})"
