"""What the figures of a row mean, in plain words, by the rules of :mod:`genolm.results_contest`."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from genolm.bootstrap import Estimate
from genolm.cards import LESS_IS_BETTER, format_estimate, format_number, metric_name
from genolm.published import Published
from genolm.result_row import LEARNED, PUBLISHED, STRICT, RowResult
from genolm.results_contest import (
    BEST,
    ORIGINAL,
    Contest,
    against_baseline,
    against_published,
    apart,
    contest,
    is_defined,
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
    said.append(_drawn_words(row, protocol))
    return [words for words in [*said, variants] if words]


def _drawn_words(row: RowResult, protocol: str) -> str:
    """Say what intervals are drawn over, "" where it is rows."""
    words = row.drawn_over(protocol)
    few = " So few make them too narrow." if row.is_drawn_over_few(protocol) else ""
    return f"Intervals are drawn over {words}.{few}" if words else ""


def _own_words(row: RowResult, protocol: str, method: str) -> str:
    scores, metric = row.scores[protocol][method], row.metric
    words = f"{row.title_of(method)}: {metric_name(metric)} {estimate_words(row.estimate(protocol, method))}"
    count, spread = len(scores.each(metric)), scores.spread(metric)
    if spread is None:
        other = "another start" if row.repeat == "seed" else f"another {row.repeat}"
        alone = f"One {row.repeat} only, so it is unknown how much {other} would change." if count == 1 else ""
        return f"{words}. {alone}".strip()
    low, high = map(format_number, spread)
    said = f"{words}, the mean of {count} {row.repeat}s (lowest {low}, highest {high})."
    if is_defined(scores.together.get(metric)):
        said += f" Together, their probabilities averaged, they reach {estimate_words(scores.together[metric])}."
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
    said = f"{who} gives {metric_name(metric)} {estimate_words(item.estimate(metric))}"
    said += " on other data" if item.other_test else ""
    if item.beside or metric != row.metric:
        whose = f"ours, {row.title_of(method)}," if item.beside else "ours"
        said += f" ({whose} {estimate_words(row.estimate(item.protocol, method, metric))})"
    leak = f" {capital(item.leak)}." if item.leak else ""
    return _judged(said, found) + leak + _further_words(row, item, metrics[1:])


def _further_words(row: RowResult, item: Published, metrics: Sequence[str]) -> str:
    """Name the other figures of a publication that ours stays behind beyond noise."""
    behind = [key for key in metrics if (found := against_published(row, item, key)) and found.worse]
    figures = (
        f"{metric_name(key)} {estimate_words(item.estimate(key))} "
        f"(ours {estimate_words(row.estimate(item.protocol, row.beside(item), key))})"
        for key in behind
    )
    return f" It is ahead in {', '.join(figures)}." if behind else ""


def _judged(said: str, found: Contest) -> str:
    """Return a sentence on a published figure with how ours stands to it."""
    if found.clear is None and found.of_unknown_size:
        return (
            f"{said}: ours is {found.side} by {found.size()}, and that figure lies outside our 95 % interval. On how "
            "many rows it was tested is not known, so whether this is noise cannot be said."
        )
    if found.clear is None:
        return f"{said}; ours has no interval to judge the difference of {found.ahead:+z.3f} by."
    if found.is_paired and not found.clear:
        return f"{said}: the difference is {found.signed()} on the same test rows, within noise."
    if found.is_paired:
        return f"{said}: ours is {found.side} by {found.size()} on the same test rows."
    if found.has_interval and not found.clear:
        return f"{said}: the difference is {found.signed()}, within the noise of two tests."
    if found.has_interval:
        return f"{said}: ours is {found.side} by {found.size()}, more than the noise of two tests."
    return f"{said}: within noise, as it lies inside our 95 % interval (difference {abs(found.ahead):.3f})."


def _naive_words(row: RowResult, protocol: str, method: str) -> str:
    same, other = row.naive(protocol, method), row.naive(protocol)
    if other is None:
        return ""
    figure = estimate_words(row.estimate(protocol, other))
    if same is None:
        said = f"Without pre-training only another network was tried: {row.title_of(other)} has {figure}"
        return said + _to_another(row, protocol, method, other)
    found = contest(row, protocol, method, same)
    if found is None:
        return ""
    said = f"The same network without pre-training has {estimate_words(row.estimate(protocol, same))}: "
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
    said += _passes_words(row, protocol, method, same)
    # Of all networks from scratch ``other`` has the lowest loss on validation rows.
    if same == other:
        return said
    said = f"{said} Of other trainings without it the best by validation, {row.title_of(other)}, has {figure}"
    return said + _to_another(row, protocol, method, other)


def _passes_words(row: RowResult, protocol: str, method: str, naive: str) -> str:
    """Say that a network from scratch may not have learned to its end, "" where it has."""
    own, passes = row.passes(method), row.passes(naive)
    if not own or not passes or not row.is_best_last(protocol, naive):
        return ""
    said = f" It made {passes} passes over the training rows, ours {own}; its loss on validation rows was lowest in the"
    return f"{said} last{', as that of ours was' if row.is_best_last(protocol, method) else ''}: more might help it."


def _to_another(row: RowResult, protocol: str, method: str, other: str) -> str:
    """Return the end of a sentence on a network from scratch that is not the same: how far ours is ahead of it."""
    found = contest(row, protocol, method, other)
    return f", to which the difference is {found.short()}." if found else "."


def _baseline_words(row: RowResult, protocol: str, method: str) -> str:
    other, found = row.best_baseline(protocol), against_baseline(row, protocol, method)
    if other is None or found is None:
        return ""
    said = f"The best simple baseline, {row.title_of(other)}, has {estimate_words(row.estimate(protocol, other))}"
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
    figures = "; ".join(f"{row.title_of(key)} {estimate_words(row.estimate(protocol, key))}" for key in found)
    return f"A control, not a rival: {figures}." if found else ""


def _variant_words(row: RowResult, protocol: str, method: str) -> str:
    """Say what other ways of ours reach; the main one stays what it is."""
    others = [key for key in row.ours(protocol) if key != method and is_defined(row.estimate(protocol, key))]
    if not others:
        return ""
    figures = {key: estimate_words(row.estimate(protocol, key)) for key in others}
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
    pair = both_protocols(row)
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
        yield f"{figures}: the strict protocol takes nothing away (difference {-lost:+z.3f}, {rule})."
    else:
        yield f"{figures}: the strict protocol takes {lost:.3f} away ({rule}). The two have other test rows."


def _open_words(found: Contest, basis: str) -> str:
    """Say of a difference that is not clear how large it is, and by which rule it is within noise."""
    if found.clear is None:
        return f"{found.ahead:+z.3f}, not judged for want of an interval"
    if not found.is_paired:
        return f"{found.ahead:+z.3f}, not judged in pairs; the intervals overlap"
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


def estimate_words(estimate: Estimate | None) -> str:
    """Return a figure with its interval, as words that a sentence can hold."""
    return format_estimate(estimate.as_dict()) if estimate else format_number(_NAN)


def capital(text: str) -> str:
    """Return a text with a capital letter at its front, the rest as it is."""
    return text[:1].upper() + text[1:]


def both_protocols(row: RowResult) -> tuple[str, Estimate, Estimate] | None:
    """Return a way of ours with its figure under the published and under the strict protocol, where both are tests."""
    if row.is_seen(PUBLISHED) or row.is_seen(STRICT):
        return None
    for method in row.ours(STRICT):
        before, after = (row.estimate(protocol, method) for protocol in (PUBLISHED, STRICT))
        if is_defined(before) and is_defined(after):
            return method, before, after
    return None
