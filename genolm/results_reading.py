"""What the figures of a row mean, in plain words, by the rules of :mod:`genolm.results_contest`."""

from collections.abc import Iterator
from typing import NamedTuple

from genolm.bootstrap import Estimate
from genolm.cards import format_estimate, format_number, metric_name
from genolm.result_row import LEARNED, PUBLISHED, STRICT, Published, RowResult, View
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
    shared_metric,
    sign_of,
)

SEEN = "No test: our models were trained on these rows."
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
    return tuple(point for point in found if point.sentences)


def verdict(row: RowResult, view: View) -> str:
    """Return the reading of a line of the overview, itself in one line."""
    if view.main is None:
        titles = ", ".join(item.title or item.name for item in row.figures)
        return f"Figures only: {titles}." if titles else "Not run yet."
    if row.is_seen(view.main):
        return SEEN
    parts = [*_short_published(row, view), *(_short_strict(row) if view.is_usual else ())]
    if method := row.main(view.main):
        parts += _short_own(row, view.main, method)
    if row.missing:
        parts.append("incomplete")
    return capital("; ".join(parts)) + "." if parts else "Nothing to compare with."


def _of_protocol(row: RowResult, protocol: str) -> list[str]:
    """Return what is to be said of one protocol: ours, then each that it is compared with."""
    method = row.main(protocol)
    if method is None:
        return ["No training from a language model is finished here."]
    said = [SEEN] if row.is_seen(protocol) else []
    said.append(_own_words(row, protocol, method))
    said += [_published_words(row, item) for item in row.published if item.protocol == protocol]
    said += [make(row, protocol, method) for make in (_naive_words, _baseline_words, _control_words, _variant_words)]
    return [words for words in said if words]


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
    asked = {ORIGINAL: f"The original, {item.name},", BEST: f"The best published, {item.name},"}
    who = asked.get(item.kind, f"Also published, {item.name},")
    found, metric = against_published(row, item), shared_metric(row, item.protocol, item)
    if found is None:
        return f"{who} gives no figure that ours has." if item.kind in asked else ""
    said = f"{who} gives {metric_name(metric)} {format_number(item.scores[metric])}"
    if metric != row.metric:
        mine = row.estimate(item.protocol, row.main(item.protocol), metric)
        said += f" (ours {_figure(mine)})"
    if found.clear is None:
        return f"{said}; ours has no interval to judge the difference of {found.ahead:+.3f} by."
    if found.is_paired and not found.clear:
        return f"{said}: the difference is {found.signed()} on the same test rows, within noise."
    if found.is_paired:
        return f"{said}: ours is {_side(found)} by {found.size()} on the same test rows."
    if not found.clear:
        return f"{said}: within noise, as it lies inside our 95 % interval (difference {abs(found.ahead):.3f})."
    return f"{said}: ours is {_side(found)} by {found.size()}; that figure lies outside our 95 % interval."


def _naive_words(row: RowResult, protocol: str, method: str) -> str:
    same, other = row.naive(protocol, method), row.naive(protocol)
    if other is None:
        return ""
    figure = _figure(row.estimate(protocol, other))
    if same is None:
        return f"Without pre-training only another network was tried: {row.title_of(other)} has {figure}."
    found = contest(row, protocol, method, same)
    if found is None:
        return ""
    said = f"The same network without pre-training has {_figure(row.estimate(protocol, same))}: "
    if found.better:
        said += f"pre-training gives {found.size()}{_basis(row, protocol, method, found)}."
    elif found.worse:
        said += f"pre-training does harm here, {found.size()}{_basis(row, protocol, method, found)}."
    else:
        said += f"what pre-training gives is {_open_words(row, protocol, method, found)}."
    if row.reads_otherwise(same, method, LEARNED):
        said += " The two learned from differently shifted or trimmed sequences, which is a part of it."
    if row.reads_otherwise(same, method, ("framed",)):
        said += " The two do not answer by the same frames, which has a share in it."
    # Of all networks from scratch ``other`` has the lowest loss on validation rows.
    if same == other:
        return said
    return f"{said} Of other trainings without it the best by validation, {row.title_of(other)}, has {figure}."


def _baseline_words(row: RowResult, protocol: str, method: str) -> str:
    other, found = row.best_baseline(protocol), against_baseline(row, protocol, method)
    if other is None or found is None:
        return ""
    said = f"The best simple baseline, {row.title_of(other)}, has {_figure(row.estimate(protocol, other))}"
    if found.better:
        return f"{said}: ours is better by {found.size()}{_basis(row, protocol, method, found)}."
    if found.worse:
        size = f"{found.size()}{_basis(row, protocol, method, found)}"
        return f"{said}: it is better than ours by {size}. Take the simple one for this question."
    size = _open_words(row, protocol, method, found)
    return f"{said}: a simple method does as well here; the difference is {size}."


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
        False: "within noise, as the intervals overlap",
        None: "not judged for want of an interval",
    }[are_apart]
    if lost <= 0:
        yield f"{figures}: the strict protocol takes nothing away (difference {-lost:+.3f}, {rule})."
    else:
        more = " So much of the first figure rests on how the data were divided." if are_apart else ""
        yield f"{figures}: the strict protocol takes {lost:.3f} away ({rule}).{more}"


def _both_protocols(row: RowResult) -> tuple[str, Estimate, Estimate] | None:
    """Return a way of ours with its figure under the published and under the strict protocol."""
    for method in row.ours(STRICT):
        before, after = (row.estimate(protocol, method) for protocol in (PUBLISHED, STRICT))
        if is_defined(before) and is_defined(after):
            return method, before, after
    return None


def _short_published(row: RowResult, view: View) -> Iterator[str]:
    for kind, words in ((ORIGINAL, "the original"), (BEST, "the best published")):
        if pair := published_contest(row, kind, view):
            found = pair[1]
            if found.clear is None:
                yield f"{found.ahead:+.3f} to {words}, no interval"
            elif found.clear:
                yield f"{_side(found)} than {words} by {abs(found.ahead):.3f}"
            else:
                yield f"within noise of {words}"


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


def _short_own(row: RowResult, protocol: str, method: str) -> Iterator[str]:
    if found := against_naive(row, protocol, method):
        best, more = row.naive(protocol), ""
        if best and best != row.naive(protocol, method) and (other_found := contest(row, protocol, method, best)):
            more = f", {other_found.ahead:+.3f} over another training from scratch{_noise(other_found.clear)}"
        yield f"pre-training gives {found.ahead:+.3f}{_noise(found.clear)}{more}"
    if found := against_baseline(row, protocol, method):
        words = "better than simple baselines" if found.better else "a simple baseline is better"
        open_words = "a simple baseline is as good" if found.clear is False else "simple baselines not judged"
        yield words if found.clear else open_words
    count = len(row.scores[protocol][method].each(row.metric))
    yield f"{count} {row.repeat}s" if count > 1 else f"one {row.repeat}"


def _open_words(row: RowResult, protocol: str, method: str, found: Contest) -> str:
    """Say of a difference that is not clear how large it is, and by which rule it is within noise."""
    if found.clear is None:
        return f"{found.ahead:+.3f}, not judged for want of an interval"
    if not found.is_paired:
        return f"{found.ahead:+.3f}, within noise, as the intervals overlap"
    return f"{found.signed()}, within noise{_basis(row, protocol, method, found)}"


def _basis(row: RowResult, protocol: str, method: str, found: Contest) -> str:
    """Say what a difference was worked out on, where it is not that of the figures named before."""
    if not found.is_paired:
        return ", and the intervals do not overlap" if found.clear else ""
    return f", with the {row.repeat}s' probabilities averaged" if row.scores[protocol][method].together else ""


def _noise(clear: bool | None) -> str:
    return {True: "", False: ", within noise", None: ", no interval"}[clear]


def _figure(estimate: Estimate | None) -> str:
    return format_estimate(estimate.as_dict()) if estimate else format_number(_NAN)


def _side(found: Contest) -> str:
    return "better" if found.ahead > 0 else "worse"


def capital(text: str) -> str:
    """Return a text with a capital letter at its front, the rest as it is."""
    return text[:1].upper() + text[1:]
