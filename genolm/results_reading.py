"""What the figures of a row mean, in plain words, by the rules of :mod:`genolm.results_contest`."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from genolm.bootstrap import Estimate
from genolm.cards import LESS_IS_BETTER, format_estimate, format_number, metric_name
from genolm.published import Published
from genolm.result_row import LEARNED, PUBLISHED, STRICT, RowResult, View
from genolm.results_contest import (
    BEST,
    ORIGINAL,
    Contest,
    against_baseline,
    against_naive,
    against_published,
    apart,
    contest,
    is_defined,
    published_contest,
    shared_metrics,
    sign_of,
)

SEEN = "No test: our models were trained on these rows."
_WHO = {
    (ORIGINAL, True): "The original",
    (ORIGINAL, False): "Also of the original",
    (BEST, True): "The best published",
}
_NAN = float("nan")


class Point(NamedTuple):
    """One point of a reading: what it is about, and what is to be said, each a sentence or two."""

    head: str
    sentences: tuple[str, ...]


def protocol_words(row: RowResult, protocol: str) -> str:
    """Return how a protocol is called within a sentence."""
    if protocol in (PUBLISHED, STRICT):
        return f"{protocol} protocol"
    return row.protocols[protocol].title if protocol in row.protocols else protocol


def points(row: RowResult) -> tuple[Point, ...]:
    """Return the whole reading of a row."""
    order = sorted(row.scored, key=lambda key: {PUBLISHED: 0, STRICT: 1}.get(key, 2))
    found = [Point(capital(protocol_words(row, key)), tuple(_of_protocol(row, key))) for key in order]
    found.append(Point("From the published to the strict protocol", tuple(_strict_words(row))))
    found.append(Point("Published figures that are not compared", tuple(_not_compared(row))))
    if not row.scored:
        text = "This row has no scores, only figures." if row.figures else "Nothing of this row was run yet."
        found.append(Point("Scores", (text,)))
    found.append(Point("Not run yet", tuple(f"{capital(item)}." for item in row.missing)))
    found.append(Point("Not asked for by its recipe", tuple(f"{capital(item)}." for item in row.unplanned)))
    return tuple(point for point in found if point.sentences)


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
    yield f"{metric_name(row.metric)} {_figure(row.estimate(protocol, method))}"
    for key in row.controls(protocol):
        yield f"a control ({row.title_of(key)}) has {_figure(row.estimate(protocol, key))}"


def _of_protocol(row: RowResult, protocol: str) -> list[str]:
    """Return what is to be said of one protocol: ours, then each that it is compared with."""
    method = row.main(protocol)
    if method is None:
        return ["No training from a language model is finished here."]
    own, variants = _own_words(row, protocol, method), _variant_words(row, protocol, method)
    if row.is_seen(protocol):
        return [SEEN, *filter(None, [own, variants])]
    said = [own]
    for item in (item for item in row.published if item.protocol == protocol):
        said.append(_published_words(row, item))
    said += [make(row, protocol, method) for make in (_naive_words, _baseline_words, _control_words)]
    said += [f"It is in no count of rows, as {row.uncounted(protocol)}."] if row.uncounted(protocol) else []
    said += [f"Intervals are drawn over {words}."] if (words := row.drawn_over(protocol)) else []
    return [words for words in [*said, variants] if words]


def _own_words(row: RowResult, protocol: str, method: str) -> str:
    scores, metric = row.scores[protocol][method], row.metric
    words = f"{row.title_of(method)}: {metric_name(metric)} {_figure(row.estimate(protocol, method))}"
    count, spread = len(scores.each(metric)), scores.spread(metric)
    if spread is None:
        other = "another start" if row.repeat == "seed" else f"another {row.repeat}"
        alone = f"One {row.repeat} only, so it is unknown how much {other} would change." if count == 1 else ""
        return f"{words}. {alone}".strip()
    low, high = map(format_number, spread)
    said = f"{words}, the mean of {count} {row.repeat}s (lowest {low}, highest {high})."
    if is_defined(scores.together.get(metric)):
        said += f" Together, their probabilities averaged, they reach {_figure(scores.together[metric])}."
    return said


def _published_words(row: RowResult, item: Published) -> str:
    """Say how ours stands to a published figure; "" for one with nothing in common that is not the first to ask for."""
    alike = (one for one in row.figures_of(item.kind, item.protocol) if one.protocol == item.protocol)
    first = next(alike, item)
    who = f"{_WHO.get((item.kind, first == item), 'Also published')}, {item.name},"
    found, metrics = against_published(row, item), shared_metrics(row, item)
    if found is None and item.beside and row.beside(item) is None:
        return f"{who} is not compared, since the way of ours beside it was not run yet."
    if found is None:
        return f"{who} gives no figure that ours has." if item.kind in (ORIGINAL, BEST) else ""
    metric, method = metrics[0], row.beside(item)
    said = f"{who} gives {metric_name(metric)} {_figure(item.estimate(metric))}"
    said += " on other data" if item.other_test else ""
    if item.beside or metric != row.metric:
        whose = f"ours, {row.title_of(method)}," if item.beside else "ours"
        said += f" ({whose} {_figure(row.estimate(item.protocol, method, metric))})"
    leak = f" {capital(item.leak)}." if item.leak else ""
    return _judged(said, found) + leak + _further_words(row, item, metrics[1:])


def _further_words(row: RowResult, item: Published, metrics: Sequence[str]) -> str:
    """Name the other figures of a publication that ours stays behind beyond noise."""
    behind = [key for key in metrics if (found := against_published(row, item, key)) and found.worse]
    figures = (
        f"{metric_name(key)} {_figure(item.estimate(key))} "
        f"(ours {_figure(row.estimate(item.protocol, row.beside(item), key))})"
        for key in behind
    )
    return f" It is ahead in {', '.join(figures)}." if behind else ""


def _judged(said: str, found: Contest) -> str:
    """Return a sentence on a published figure with how ours stands to it."""
    if found.clear is None:
        return f"{said}; ours has no interval to judge the difference of {found.ahead:+.3f} by."
    if found.is_paired and not found.clear:
        return f"{said}: the difference is {found.signed()} on the same test rows, within noise."
    if found.is_paired:
        return f"{said}: ours is {_side(found)} by {found.size()} on the same test rows."
    if found.has_interval and not found.clear:
        return f"{said}: the difference is {found.signed()}, within the noise of two tests."
    if found.has_interval:
        return f"{said}: ours is {_side(found)} by {found.size()}, more than the noise of two tests."
    if not found.clear:
        return f"{said}: within noise, as it lies inside our 95 % interval (difference {abs(found.ahead):.3f})."
    return (
        f"{said}: ours is {_side(found)} by {found.size()}; that figure lies outside our 95 % interval, its own is not "
        "known."
    )


def _naive_words(row: RowResult, protocol: str, method: str) -> str:
    same, other = row.naive(protocol, method), row.naive(protocol)
    if other is None:
        return ""
    figure = _figure(row.estimate(protocol, other))
    if same is None:
        said = f"Without pre-training only another network was tried: {row.title_of(other)} has {figure}"
        return said + _to_another(row, protocol, method, other)
    found = contest(row, protocol, method, same)
    if found is None:
        return ""
    said = f"The same network without pre-training has {_figure(row.estimate(protocol, same))}: "
    basis = _basis(row, protocol, (method, same), found)
    if found.better:
        said += f"pre-training gives {found.size()}{basis}."
    elif found.worse:
        said += f"pre-training does harm here, {found.size()}{basis}."
    else:
        said += f"what pre-training gives is {_open_words(found, basis)}."
    if row.reads_otherwise(same, method, LEARNED):
        said += " The two learned from differently shifted or trimmed sequences, which may account for a part."
    if row.reads_otherwise(same, method, ("framed",)):
        said += " The two do not answer by the same frames, which may account for a part."
    # Of all networks from scratch ``other`` has the lowest loss on validation rows.
    if same == other:
        return said
    said = f"{said} Of other trainings without it the best by validation, {row.title_of(other)}, has {figure}"
    return said + _to_another(row, protocol, method, other)


def _to_another(row: RowResult, protocol: str, method: str, other: str) -> str:
    """Return the end of a sentence on a network from scratch that is not the same: how far ours is ahead of it."""
    found = contest(row, protocol, method, other)
    return f", to which the difference is {_short_size(found)}." if found else "."


def _baseline_words(row: RowResult, protocol: str, method: str) -> str:
    other, found = row.best_baseline(protocol), against_baseline(row, protocol, method)
    if other is None or found is None:
        return ""
    said = f"The best simple baseline, {row.title_of(other)}, has {_figure(row.estimate(protocol, other))}"
    basis = _basis(row, protocol, (method, other), found)
    if found.better:
        return f"{said}: ours is better by {found.size()}{basis}."
    if found.worse:
        # A model of text is asked for no answer; it is what others start from.
        advice = "" if row.metric in LESS_IS_BETTER else " Take the simple one for this question."
        return f"{said}: it is better than ours by {found.size()}{basis}.{advice}"
    if found.clear is None:
        return f"{said}: the difference is {_open_words(found, basis)}."
    return f"{said}: ours is neither better nor worse beyond noise; the difference is {_open_words(found, basis)}."


def _control_words(row: RowResult, protocol: str, method: str) -> str:
    """Name what answers by chance or knows nothing, which ours need not be held beside."""
    found = row.controls(protocol)
    figures = "; ".join(f"{row.title_of(key)} {_figure(row.estimate(protocol, key))}" for key in found)
    return f"A control, not a rival: {figures}." if found else ""


def _variant_words(row: RowResult, protocol: str, method: str) -> str:
    """Say what other ways of ours reach; the main one stays what it is."""
    others = [key for key in row.ours(protocol) if key != method and is_defined(row.estimate(protocol, key))]
    if not others:
        return ""
    figures = {key: _figure(row.estimate(protocol, key)) for key in others}
    listed = "; ".join(f"{row.title_of(key)} {figures[key]}{_aside_words(row, key)}" for key in others)
    sign, own = sign_of(row.metric), row.estimate(protocol, method)
    if own and any(sign * (row.estimate(protocol, key).value - own.value) > 0 for key in others):
        how = "has the lowest loss on validation rows" if row.is_chosen(protocol) else "was fixed beforehand"
        return f"Other ways of ours: {listed}. The one named first {how}; the test rows chose nothing."
    return f"Other ways of ours: {listed}."


def _aside_words(row: RowResult, method: str) -> str:
    return f" (not chosen from: {row.aside(method)})" if row.aside(method) else ""


def _not_compared(row: RowResult) -> Iterator[str]:
    """Say of published figures without a scored protocol of ours that they stand alone."""
    for item in row.published:
        if item.kind in (ORIGINAL, BEST) and item.protocol not in row.scored and item.scores:
            metric = row.metric if row.metric in item.scores else next(iter(item.scores))
            why = "was not run yet" if item.protocol in row.protocols else "is none of ours"
            figure = f"{metric_name(metric)} {format_number(item.scores[metric])}"
            yield f"{item.name} gives {figure} under a protocol that {why}, so it is not compared."


def _strict_words(row: RowResult) -> Iterator[str]:
    """Say how much of the figure under the published protocol the strict one takes away."""
    pair = _both_protocols(row)
    if pair is None:
        return
    method, before, after = pair
    lost = sign_of(row.metric) * (before.value - after.value)
    figures = f"{row.title_of(method)} has {format_number(before.value)} and {format_number(after.value)}"
    are_apart = apart(before, after)
    rule = {
        True: "more than noise, as the intervals do not overlap",
        False: "not judged in pairs; the intervals overlap",
        None: "not judged for want of an interval",
    }[are_apart]
    if lost <= 0:
        yield f"{figures}: the strict protocol takes nothing away (difference {-lost:+.3f}, {rule})."
    else:
        yield f"{figures}: the strict protocol takes {lost:.3f} away ({rule}). The two have other test rows."


def _both_protocols(row: RowResult) -> tuple[str, Estimate, Estimate] | None:
    """Return a way of ours with its figure under the published and under the strict protocol, where both are tests."""
    if row.is_seen(PUBLISHED) or row.is_seen(STRICT):
        return None
    for method in row.ours(STRICT):
        before, after = (row.estimate(protocol, method) for protocol in (PUBLISHED, STRICT))
        if is_defined(before) and is_defined(after):
            return method, before, after
    return None


def _short_published(row: RowResult, view: View, protocol: str) -> Iterator[str]:
    """Say how ours stands to what was published under a protocol."""
    for kind, name in ((ORIGINAL, "the original"), (BEST, "the best published")):
        pair = published_contest(row, kind, view)
        if pair is None or pair.item.protocol != protocol:
            continue
        found, words = pair.contest, f"{name} (on other data)" if pair.item.other_test else name
        leak = f" ({pair.item.leak})" if pair.item.leak else ""
        if found.clear is None:
            yield f"{found.ahead:+.3f} to {words}, no interval{leak}"
        elif found.clear:
            yield f"{_side(found)} than {words} by {abs(found.ahead):.3f}{leak}"
        else:
            yield f"within noise of {words} ({found.ahead:+.3f}){leak}"


def _short_strict(row: RowResult) -> Iterator[str]:
    pair = _both_protocols(row)
    if pair is None:
        return
    method, before, after = pair
    lost = sign_of(row.metric) * (before.value - after.value)
    noise = _noise(apart(before, after))
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
            more = f" (over another training from scratch {_short_size(other)})"
        yield f"pre-training gives {_short_size(found)}{more}"
    elif other := against_naive(row, protocol, method, alike=False):
        yield f"{_short_size(other)} over another network from scratch"
    if found := against_baseline(row, protocol, method):
        if found.better:
            yield f"better than simple baselines by {found.ahead:.3f}"
        elif found.worse:
            yield f"a simple baseline is better by {-found.ahead:.3f}"
        elif found.clear is None:
            yield f"{found.ahead:+.3f} to the best simple baseline, no interval"
        else:
            yield f"within noise of the best simple baseline ({found.ahead:+.3f})"


def _open_words(found: Contest, basis: str) -> str:
    """Say of a difference that is not clear how large it is, and by which rule it is within noise."""
    if found.clear is None:
        return f"{found.ahead:+.3f}, not judged for want of an interval"
    if not found.is_paired:
        return f"{found.ahead:+.3f}, not judged in pairs; the intervals overlap"
    return f"{found.signed()}, within noise{basis}"


def _basis(row: RowResult, protocol: str, pair: tuple[str, str], found: Contest) -> str:
    """Say what a difference was worked out on, where it is not that of the figures named before."""
    if not found.is_paired:
        return ", and the intervals do not overlap" if found.clear else ""
    ours, theirs = (len(row.scores[protocol][key].seeds) for key in pair)
    if ours == theirs and row.repeat != "seed":
        return f", of the means over {ours} {row.repeat}s" if ours > 1 else ""
    if ours == theirs:
        return f", with the {row.repeat}s' probabilities averaged" if ours > 1 else ""
    counts = [f"{count} {row.repeat}s averaged" if count > 1 else f"one {row.repeat}" for count in (ours, theirs)]
    return f", ours with the probabilities of {counts[0]}, the other with {counts[1]}"


def _short_size(found: Contest) -> str:
    return f"{found.ahead:+.3f}{_noise(found.clear)}"


def _noise(clear: bool | None) -> str:
    return {True: "", False: ", within noise", None: ", no interval"}[clear]


def _figure(estimate: Estimate | None) -> str:
    return format_estimate(estimate.as_dict()) if estimate else format_number(_NAN)


def _side(found: Contest) -> str:
    return "better" if found.ahead > 0 else "worse"


def capital(text: str) -> str:
    """Return a text with a capital letter at its front, the rest as it is."""
    return text[:1].upper() + text[1:]
