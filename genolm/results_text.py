"""The results as text: the overview's lines, a section for each row, and docs/results.md of them all.

The page Results shows the same words and tables.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from genolm.cards import format_difference, format_number, metric_name, p_words
from genolm.result_row import OURS, PUBLISHED, STRICT, Method, RowResult, is_naive
from genolm.results_overview import NONE, OVERVIEW, Cell, Line, figure_words, overview, tally_cells
from genolm.results_reading import points, protocol_words

PARTS = {"train": "training", "valid": "validation", "test": "test"}
_HOW_TO_READ = (
    "Every figure of ours is on test rows whose labels no training and no choice of a network saw, with its 95 % "
    "interval in brackets, unless the answers that it follows from were not kept; a protocol where that is not so says "
    "it. Where test rows are right or wrong together, as isoforms of a gene are, intervals may be drawn over whole "
    "groups of them: a row's reading says so. A language model may have read the letters of test rows, without labels: "
    "the notes of a row say so. Under the published protocol a test row may stand among the training rows as well, or "
    "have a near relative there, as in the original: a row's notes and record say how many. Of several seeds a figure "
    "is their mean, and so are the ends of the interval; a difference is of their averaged probabilities, so that it "
    "need not be that of the two figures. Published figures are those of the papers, with the interval that follows "
    "from the size of their test where that is known. Nearly none was measured on our test rows: how the original "
    "divided its data was not kept, so ours is another draw from the same data, or from data made alike. Where it is "
    "said to be of other data, a difference may be that of the data. One whose answers were judged on our test rows is "
    "compared in pairs.",
    "Published protocol: the data divided as the original did. Strict protocol: relatives of a sequence are kept "
    "on one side, by similarity, chromosome, species or reference, so that its figure is closer to what to expect on "
    "something new. A row that is divided in other ways has a line for each, in the column of the strict one.",
    "Ours is one way that starts from a language model: of several the one with the lowest loss on validation "
    "rows, or where that was not kept one fixed beforehand, so that the test rows choose nothing. Where the original "
    "is the best published, the next to it is named in that column. Naive is the same "
    "network without pre-training, or where it is named another one. Of the simple baselines the one that is best on "
    "the test rows is shown, which favours it; a control, which knows nothing, is no baseline. Both are under the "
    "strict protocol where there is one.",
    "Two methods of ours are within noise of each other when the 95 % interval of their difference, drawn in "
    "pairs on the same test rows, holds 0; where that was not worked out, when their intervals overlap. To a "
    "published figure of another test the interval of the difference has the noise of both tests; where the size of "
    "that test is not known, the figure is within noise when it lies inside our interval. Where both tests share rows, "
    "as a test of all pieces and one of a part of them do, that interval is too wide. Within noise does not mean "
    "equal: the interval says how much either may be ahead. Of many rows some differ by chance, and lines of one test, "
    "such as those of a curve, lie on the same side together. In their count a published figure that stands in two "
    "rows is counted once, where our interval is the narrowest; a test that pools others is left out, and so is one "
    "that another row asks better or that memory alone can pass: its reading says why.",
)


def document(results: Sequence[RowResult]) -> str:
    """Return all results as a page of Markdown."""
    parts = ["# Results", "Written by `genolm recipe report` from the recipes' result files."]
    if not results:
        return "\n\n".join([*parts, "There are no results yet.", ""])
    parts += ["## All rows", *_tally_parts(results)]
    sections = overview(results)
    for section, lines in sections.items():
        cells = [[_joined(cell) for cell in _linked(line)] for line in lines]
        parts += [f"### {section}", markdown_table(OVERVIEW, cells, texts=(0, len(OVERVIEW) - 1))]
    parts += ["## How to read this", "\n\n".join(how_to_read(results))]
    for section in sections:
        rows = (row for row in results if row.section == section)
        parts += [f"## {section}", *(row_text(row, level=3).rstrip() for row in rows)]
    return "\n\n".join(parts).rstrip() + "\n"


def how_to_read(results: Sequence[RowResult]) -> tuple[str, ...]:
    """Return paragraphs on what the figures are, and on what hardware they were made."""
    return (*_HOW_TO_READ, _hardware_words(results))


def _hardware_words(results: Sequence[RowResult]) -> str:
    """Return on what all rows were made, and how large their networks are."""
    every = [facts for row in results for facts in (row.machine, *row.machine.get("earlier", []))]
    names = dict.fromkeys(_machine_name({key: facts.get(key) for key in ("cpu", "cores", "device")}) for facts in every)
    presets = {method.settings.get("preset") for row in results for method in row.methods.values()}
    said = f"All rows were made on {'; '.join(filter(None, names)) or 'machines that they do not name'}."
    if sizes := sorted(filter(None, presets)):
        said += f" Networks are of preset {' and '.join(sizes)}."
    if "ulmfit" not in presets and not any(str(facts.get("device", "")).startswith("cuda") for facts in every):
        said += " None was trained on a GPU, or with the large preset, ulmfit, so what that would give is not known."
    return said


def row_text(result: RowResult, *, level: int = 1) -> str:
    """Return one row as Markdown; ``level`` is that of its heading."""
    sub = "#" * (level + 1)
    parts = ["#" * level + " " + result.title, result.question, reading(result)]
    if result.notes:
        parts += [f"{sub} Notes", "\n".join(f"- {note}" for note in result.notes)]
    if result.scored or result.published:
        parts += [f"{sub} Scores", *_score_parts(result)]
    if result.gaps:
        header, cells = gap_cells(result)
        parts += [f"{sub} Differences", markdown_table(header, cells, texts=(0, 1, 2, 3))]
    if result.protocols or result.sources:
        parts += [f"{sub} Data", *_data_parts(result)]
    if result.methods:
        header, cells = method_cells(result)
        parts += [f"{sub} Methods", markdown_table(header, cells, texts=(0, 1, 2)), machine_words(result)]
    if result.figures:
        lines = (f"- {item.title or item.name}: {item.caption}" for item in result.figures)
        parts += [f"{sub} Figures", "They are on the page Results of the app.", "\n".join(lines)]
    parts += [f"{sub} Do it again", f"```\n{command(result)}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def command(result: RowResult) -> str:
    """Return the command that makes a row."""
    return f"genolm recipe run {result.name} --data DATA"


def score_cells(result: RowResult, protocol: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of all figures under a protocol: published ones first, then each method.

    A method with several seeds has their mean, and a second row for the seeds together.
    """
    metrics = shown_metrics(result, protocol)
    rows = [
        [
            f"{item.name} ({item.kind})",
            *(figure_words(item.estimate(key) if key in item.scores else None) for key in metrics),
        ]
        for item in result.published
        if item.protocol == protocol
    ]
    for method, scores in result.scores.get(protocol, {}).items():
        title, count = result.title_of(method), len(scores.seeds)
        name = f"{title}, mean of {count} {result.repeat}s" if count > 1 else title
        rows.append([name, *(figure_words(scores.estimate(key)) for key in metrics)])
        if scores.together:
            rows.append([f"{title}, together", *(figure_words(scores.together.get(key)) for key in metrics)])
    return ["Method", *(metric_name(key) for key in metrics)], rows


def shown_metrics(result: RowResult, protocol: str) -> list[str]:
    """Return the figures that a row shows: those that its recipe names and some method or paper has."""
    known = {
        key
        for scores in result.scores.get(protocol, {}).values()
        for found in (scores.together, *(run.metrics for run in scores.seeds))
        for key in found
    }
    known |= {key for item in result.published if item.protocol == protocol for key in item.scores}
    return [key for key in dict.fromkeys((result.metric, *result.metrics)) if key in known]


def seed_cells(result: RowResult, protocol: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of every training, with its seed, epoch, loss and time."""
    metrics = shown_metrics(result, protocol)
    rows = []
    for method, scores in result.scores.get(protocol, {}).items():
        for run in scores.seeds:
            loss = NONE if run.valid_loss is None else format_number(run.valid_loss)
            facts = [NONE if run.best_epoch is None else str(run.best_epoch), loss, duration(run.seconds)]
            figures = [figure_words(run.metrics.get(key)) for key in metrics]
            rows.append([result.title_of(method), str(run.seed), *figures, *facts])
    facts = ("Best epoch", "Validation loss", "Wall time")
    return ["Method", result.repeat.capitalize(), *(metric_name(key) for key in metrics), *facts], rows


def gap_cells(result: RowResult) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the paired differences."""
    header = ["Protocol", "Method", "minus", "Score", "Difference", "p"]
    rows = [
        [
            protocol_words(result, gap.protocol),
            result.title_of(gap.method),
            result.title_of(gap.other),
            metric_name(gap.metric),
            format_difference(gap.size.as_dict()),
            p_words(gap.p),
        ]
        for gap in result.gaps
    ]
    return header, rows


def part_cells(result: RowResult) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of how the data were divided."""
    header = ["Protocol", *(f"Rows for {words}" for words in PARTS.values()), "Table, SHA-256"]
    rows = [
        [
            f"{protocol_words(result, key)}: {item.title}" if key in (PUBLISHED, STRICT) else item.title,
            *(f"{item.rows[part]:,}" if part in item.rows else NONE for part in PARTS),
            item.table_sha256 or NONE,
        ]
        for key, item in result.protocols.items()
    ]
    return header, rows


def source_cells(result: RowResult) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the sources."""
    rows = [
        [item.file, item.url + (f"; {item.get}" if item.get else ""), item.licence or NONE, item.sha256]
        for item in result.sources
    ]
    return ["File", "Where it is from", "Licence", "SHA-256"], rows


def record_cells(result: RowResult, protocol: str) -> list[tuple[str, str]]:
    """Return what the record of a table says, one fact a line: what, and how much."""
    return list(_flat(result.protocols[protocol].record)) if protocol in result.protocols else []


def method_cells(result: RowResult) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the methods: what each starts from, its settings, how long it took."""
    rows = []
    for key, method in result.methods.items():
        times = (f"{protocol_words(result, name)} {said}" for name, said in _times(result, key))
        settings = "; ".join(f"{name} {value}" for name, value in _flat(method.settings))
        start = method.base or _start_words(key, method)
        rows.append([method.title, start, settings or NONE, "; ".join(times) or NONE])
    return ["Method", "Starts from", "Settings", "Wall time"], rows


def _start_words(key: str, method: Method) -> str:
    """Return what a method without a language model starts from; a model that was only asked says nothing of it."""
    if method.kind != OURS:
        return "no language model"
    return "random weights" if is_naive(key) else NONE


def machine_words(result: RowResult) -> str:
    """Return on what, when and with which version a row was made."""
    parts = [_machine_name(result.machine), _whole_time(result)]
    parts += [f"genolm {result.version}"] if result.version else []
    parts += [result.date] if result.date else []
    said = "; ".join(part for part in parts if part)
    earlier = [_machine_name(item) for item in result.machine.get("earlier", [])]
    more = f" Parts of it were made before: {'; '.join(earlier)}." if earlier else ""
    return f"Made on {said}.{more}" if said else ""


def _whole_time(result: RowResult) -> str:
    """Return how long a row took, "" where that is not known; its trainings may not all be of its last run."""
    if result.seconds is None:
        return ""
    trained = {
        run.weights or (protocol, key, run.seed): run.seconds or 0.0
        for protocol, methods in result.scores.items()
        for key, scores in methods.items()
        for run in scores.seeds
        if not _is_made_of_others(result, key)
    }
    if sum(trained.values()) <= result.seconds + 1:
        return f"{duration(result.seconds)} in all"
    return f"{duration(result.seconds)} for the last run, without the trainings that were finished before it"


def _is_made_of_others(result: RowResult, method: str) -> bool:
    """Return whether a method answers by networks of others, whose time its own holds."""
    settings = result.methods[method].settings if method in result.methods else {}
    return "average" in settings or "framed_of" in settings


def _machine_name(facts: Mapping[str, Any]) -> str:
    """Return a processor, its cores and the device, and which version ran on it when."""
    cores, device, version = (facts.get(key) for key in ("cores", "device", "version"))
    named = (facts.get("cpu"), f"{cores} cores" if cores else "", f"device {device}" if device else "")
    return ", ".join(str(item) for item in (*named, f"genolm {version}" if version else "", facts.get("date")) if item)


def duration(seconds: float | None) -> str:
    """Return a length of time in words; a dash where it is not known."""
    if seconds is None:
        return NONE
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: Sequence[int] = (0,)) -> str:
    """Return a table in Markdown; the columns in ``texts`` are set to the left, the others to the right."""
    rule = ["---" if place in texts else "---:" for place in range(len(header))]
    lines = itertools.chain([header, rule], rows)
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _tally_parts(results: Sequence[RowResult]) -> Iterator[str]:
    header, rows = tally_cells(results)
    if rows:
        yield markdown_table(header, rows)


def _linked(line: Line) -> tuple[Cell, ...]:
    """Return the cells of a line, its question linked to the section of its row."""
    words = re.sub(r"[^\w\- ]", "", line.row.title.lower()).replace(" ", "-")
    first = line.cells[0]
    return (first._replace(text=f"[{first.text}](#{words})"), *line.cells[1:])


def _joined(cell: Cell) -> str:
    return f"{cell.text} ({cell.detail})" if cell.detail and cell.text != NONE else cell.text


def reading(result: RowResult, *, escaped: Callable[[str], str] = str) -> str:
    """Return the reading of a row as lists of Markdown; ``escaped`` is called on every text."""
    parts = []
    for point in points(result):
        parts.append(f"**{escaped(point.head)}**")
        parts.append("\n".join(f"- {escaped(text)}" for text in point.sentences))
    return "\n\n".join(parts)


def _score_parts(result: RowResult) -> Iterator[str]:
    """Yield a table for each protocol, and the published figures' places."""
    for protocol, item in result.protocols.items():
        header, cells = score_cells(result, protocol)
        if cells:
            yield f"{item.title}:"
            yield markdown_table(header, cells)
    yield "\n".join(f"- {item.name} ({item.kind}): {item.source}" for item in result.published if item.source)


def _data_parts(result: RowResult) -> Iterator[str]:
    if result.protocols:
        header, cells = part_cells(result)
        yield markdown_table(header, cells, texts=(0, len(header) - 1))
    if result.sources:
        header, cells = source_cells(result)
        yield markdown_table(header, cells, texts=range(len(header)))
    for protocol, item in result.protocols.items():
        if facts := record_cells(result, protocol):
            yield f"How the table was made, {item.title}:"
            yield "\n".join(f"- {what}: {value}" for what, value in facts)


def _times(result: RowResult, method: str) -> Iterator[tuple[str, str]]:
    for protocol, methods in result.scores.items():
        if method in methods and methods[method].seconds is not None:
            yield protocol, duration(methods[method].seconds)


def _flat(values: Mapping[str, Any], front: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested facts one by one, names in words."""
    for key, value in values.items():
        name = f"{front}{', ' if front else ''}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        else:
            yield name, _said(value)


def _said(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: NONE}[value]
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(item) for item in value) or NONE
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _escaped(cell: str) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")
