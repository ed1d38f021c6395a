"""The proof of the scan as text: every number comes from its JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genolm.bootstrap import FEW_GROUPS

Parts = Mapping[str, Any]

TITLES = {
    "kmer-logistic": "k-mer logistic regression",
    "positional-logistic": "positional logistic regression",
    "cnn": "small convolutional network",
    "promotech": "Promotech, as published",
}
TRUTHS = {"strong": "well supported", "all": "all known"}
READ = {True: "has read the letters", False: "has read nothing", None: "may have read the letters"}
NOTHING = "-"

HELD_OUT = """
Both strands of {bases:,} bp of *E. coli* K-12 MG1655 ({contig}: {stretches}), a window every {stride} bp. No
row of training or validation lies in these blocks of {block:,} bp, and nothing of bases {reserved} was
looked at. The model's language model {read} of this genome in its training, which knows no starts.

What is to be found are the {strong} transcription starts that RegulonDB 13 holds for well supported there
(Confirmed or Strong). It knows {all} with the weakly supported ones; so there are two columns of precision.
It does not know every promoter: a call without a known start near it may still be one.

A call is right when its summit lies within the tolerance of a known start on its own strand; a start is
found when such a call is there. AUPRC is average precision over all thresholds. Thresholds are those that
give 1, 10 and 100 calls per Mb of strand in a shuffled background ({background}; both strands of it are
scanned). `No known start per Mb` counts the calls that lie near no known start at all: more than these
cannot be false, and some are promoters that nobody has mapped. Where it is far below the expected number,
the shuffled letters are a sterner test than the genome. Intervals are over {blocks} blocks of {block:,} bp{few}.

The model reads {own[length]} bp with the start at index {own[anchor]}. The baselines are fitted on the
{starts:,} starts and {others:,} other windows of the training split ({rows[length]} bp, start at index
{rows[anchor]}), calibrated on {valid:,} windows of the validation split, and answer for every window of the
same scan; calls are made and thresholds are found in the same way.
"""

PROMOTECH = """
Promotech (Chevez-Guardado and Peña-Castillo 2021, doi:10.1186/s13059-021-02514-9) published what it calls in
this genome: windows of 40 nt with a score of 0.6 or more. What scores lower is not in the file, so that its
AUPRC lacks the end of the curve and no background can be made. Its training windows end with the start; of
the first, middle and last base of a window the {site} one is best for it on the validation blocks (AUPRC
{each}) and stands for the start here. It was trained on starts of this very genome, the test blocks among
them.

So that the comparison does not hang on thresholds, each method is also judged at the threshold that gives it
no more calls than all that Promotech published make after merging.
"""

DIFFERENCES = """
AUPRC of the model minus that of the other, the same blocks drawn for both; above 0 the model is better.
"""

MODES = """
`exact` reads every window by itself, `stream` reads each base once, `int8` streams with products of 8-bit
whole numbers. The same test blocks, a window every {stride} bp. A call is lost where the second scan has none
within {near} bp of it on its strand, gained the other way round. Thresholds are the model's own and that of
10 expected false calls per Mb of the scan above; AUPRC is against well supported starts within {near} bp.

How long each took is not told: they ran once each, one after the other, and other work on the machine changes
such times. [speed.md](speed.md) compares them over rounds in which they take turns.
"""

UNSEEN = """
No start of any other species was in training. Their starts are not known either, but genes that begin a
transcription unit must have one before them: genes, as pyrodigal predicts them, more than {gap} bp from the
gene before or after a gene of the other strand. The share of them with a call within {upstream} bp upstream
on their strand is set against what as many calls lying anywhere would give; `other strand` is the same
stretch read on the other strand, which has the same composition (and the promoters of genes that begin
there). The largest record of each, up to {bases:,} bp, a window every {stride} bp, thresholds from its own
shuffled background.
"""

SPEED = """
{bases:,} bp of the genome, both strands, a window every {stride} bp; each scan was timed once.
[speed.md](speed.md) compares with other ways to scan; it was measured later, after the pooling of windows had
become faster.
"""


class Section(NamedTuple):
    """A heading, what to know before the tables, and the tables: a caption and rows, the first the header."""

    title: str
    text: list[str]
    tables: list[tuple[str, list[list[str]]]]


def document(parts: Parts) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# How good the scan is",
        "",
        "Written by `recipes/scan_proof.py` from its results; intervals are 95 %.",
    ]
    for section in _sections(parts):
        lines += ["", f"## {section.title}"]
        for paragraph in section.text:
            lines += ["", paragraph]
        for caption, rows in section.tables:
            lines += ["", caption, "", *markdown(rows)]
    return "\n".join(lines) + "\n"


def shown(parts: Parts) -> str:
    """Return the tables alone, for a terminal."""
    lines = []
    for section in _sections(parts):
        for caption, rows in section.tables:
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines += ["", f"{section.title}. {caption}"]
            lines += [
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                for row in rows
            ]
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table, its first row the header, as lines of Markdown."""
    head, *body = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *body)]


def _sections(parts: Parts) -> Iterator[Section]:
    results = {name: part["result"] for name, part in parts.items()}
    held_out = {
        name.partition("/")[2]: found for name, found in results.items() if name.startswith("held-out/")
    }
    if "about" in results and held_out:
        yield _held_out(results["about"], held_out)
        if "promotech" in held_out:
            yield _promotech(held_out)
    if "differences" in results:
        yield _differences(results["differences"])
    if "modes" in results:
        yield _modes(results["modes"], parts["modes"]["facts"])
    unseen = [found for name, found in results.items() if name.startswith("unseen/")]
    if unseen:
        facts = next(part["facts"] for name, part in parts.items() if name.startswith("unseen/"))
        yield _unseen(unseen, facts)
    if "speed" in results:
        yield _speed(results["speed"])


def _held_out(about: Parts, methods: Parts) -> Section:
    stretches = ", ".join(f"{start + 1:,}-{end:,}" for start, end in about["test"])
    rows, windows = about["rows"], about["window"]
    bases = sum(end - start for start, end in about["test"])
    blocks = bases // about["block"]
    text = _paragraphs(
        HELD_OUT,
        **{key: about[key] for key in ("contig", "stride", "block")},
        **about["sites"],
        bases=bases,
        stretches=stretches,
        reserved=f"{about['reserved'][0] + 1:,}-{about['reserved'][1]:,}",
        read=READ[about["read_by_language_model"]],
        background=about["background"].rstrip("."),
        own=windows["model"],
        rows=windows["baselines"],
        blocks=blocks,
        few="; so few make them too narrow" if blocks < FEW_GROUPS else "",
        starts=rows.get("train/1", 0),
        others=rows.get("train/0", 0),
        valid=rows.get("valid/0", 0) + rows.get("valid/1", 0),
    )
    kinds = [f"{TRUTHS[curve['truth']]}, {curve['tolerance']} bp" for curve in _first(methods)["curves"]]
    auprc, best = [["Method", *kinds]], [["Method", *kinds]]
    for name, found in methods.items():
        auprc.append([_title(name), *[_estimate(curve["auprc"]) for curve in found["curves"]]])
        best.append([_title(name), *[f"{curve['best']['f1']:.3f}" for curve in found["curves"]]])
    tables = [("AUPRC against starts of each kind, for each tolerance:", auprc), ("Best F1:", best)]
    tables += _recall_tables(methods)
    for tolerance in dict.fromkeys(level["tolerance"] for level in _first(methods)["levels"]):
        caption = f"At expected false calls per Mb of strand, tolerance {tolerance} bp:"
        tables.append((caption, _level_rows(methods, tolerance, ("default", "expected"))))
    return Section("Starts that no training saw", text, tables)


def _recall_tables(methods: Parts) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield, for each tolerance, what has to be taken to find a share of the well supported starts."""
    curves = {
        name: [curve for curve in found["curves"] if curve["truth"] == "strong"]
        for name, found in methods.items()
    }
    for place, curve in enumerate(_first(curves)):
        rows = [["Method", *[f"{at['recall']:.0%} of the starts" for at in curve["at_recall"]]]]
        for name, found in curves.items():
            cells = [_recall_cell(at) for at in found[place]["at_recall"]]
            rows.append([_title(name), *cells])
        near = curve["tolerance"]
        yield f"Precision against well supported starts and calls per Mb, tolerance {near} bp:", rows


def _recall_cell(at: Parts) -> str:
    if at["threshold"] is None:
        return "not reached"
    return f"{_percent(at['precision'])}, {at['calls_per_mb']:,.0f} calls"


def _level_rows(methods: Parts, tolerance: int, kinds: tuple[str, ...]) -> list[list[str]]:
    rows = [
        [
            "Method",
            "Level",
            "Threshold",
            "Expected false per Mb",
            "Calls",
            "Calls per Mb",
            "No known start per Mb",
        ]
        + ["Precision, well supported", "Precision, all known", "Recall, well supported"]
    ]
    for name, found in methods.items():
        for level in found["levels"]:
            if level["tolerance"] == tolerance and level["level"].startswith(kinds):
                figures = [
                    _percent(level[key]) for key in ("precision_strong", "precision_all", "recall_strong")
                ]
                numbers = [
                    f"{level['threshold']:.4g}",
                    _number(level["expected_per_mb"]),
                    f"{level['calls']:,}",
                ]
                rates = [f"{level[key]:,.0f}" for key in ("calls_per_mb", "unknown_per_mb")]
                rows.append([_title(name), _level(level["level"]), *numbers, *rates, *figures])
    return rows


def _promotech(methods: Parts) -> Section:
    found = methods["promotech"]
    chosen = found["auprc_on_valid_by_site"]
    site = max(chosen, key=chosen.__getitem__)
    each = ", ".join(f"{name} {value:.3f}" for name, value in chosen.items())
    text = _paragraphs(PROMOTECH, site=site, each=each)
    tolerances = dict.fromkeys(level["tolerance"] for level in found["levels"])
    tables = [
        (f"Tolerance {tolerance} bp:", _level_rows(methods, tolerance, ("as promotech", "score")))
        for tolerance in tolerances
    ]
    return Section("Beside Promotech's published predictions", text, tables)


def _differences(found: Parts) -> Section:
    text = _paragraphs(DIFFERENCES)
    names = list(next(iter(found.values())))
    rows = [["Starts, tolerance", *[_title(name) for name in names]]]
    for key, others in found.items():
        truth, tolerance = key.split()
        cells = [
            _estimate(item["difference"], sign=True) + ("" if item["p"] is None else f", p {item['p']:.3g}")
            for item in map(others.__getitem__, names)
        ]
        rows.append([f"{TRUTHS[truth]}, {tolerance} bp", *cells])
    return Section("The model against each of the others", text, [("Differences of AUPRC:", rows)])


def _modes(found: Parts, facts: Parts) -> Section:
    scans = [["Scan", "Precision", "Threads"]]
    for name, scan in found["scans"].items():
        scans.append([name, scan["precision"], str(scan["threads"])])
    agree = [
        [
            "Against",
            "Windows",
            "Correlation of logits",
            "AUPRC of the first",
            "of the second",
            "first minus second",
        ]
    ]
    calls = [["Against", "Level", "Threshold", "Calls of the first", "of the second", "Lost", "Gained"]]
    for pair in found["pairs"]:
        name = f"{pair['first']}, {pair['second']}"
        auprc = pair["auprc"]
        estimates = [_estimate(auprc["a"]), _estimate(auprc["b"]), _estimate(auprc["difference"], sign=True)]
        agree.append([name, f"{pair['windows']:,}", f"{pair['logit_correlation']:.4f}", *estimates])
        for level in pair["levels"]:
            counts = [f"{level[key]:,}" for key in ("first", "second", "lost", "gained")]
            calls.append([name, _level(level["level"]), f"{level['threshold']:.4g}", *counts])
    near = found["pairs"][0]["tolerance"]
    text = _paragraphs(MODES, stride=facts["stride"], near=near)
    tables = [("How each was run:", scans), ("Agreement:", agree), ("Calls:", calls)]
    return Section("Streamed, exact and int8", text, tables)


def _unseen(found: Sequence[Parts], facts: Parts) -> Section:
    text = _paragraphs(UNSEEN, **{key: facts[key] for key in ("gap", "upstream", "bases", "stride")})
    genomes = [["Genome", "bp", "GC", "Read by the language model", "Genes", "Begin a unit"]]
    calls = [["Genome", "Method", "Level", "Calls", "With a call", "Other strand", "By chance", "Enrichment"]]
    for genome in found:
        name = genome["file"].partition("__")[0].replace("_", " ")
        read = {True: "yes", False: "no", None: "not known"}[genome["read_by_language_model"]]
        counts = [f"{genome['genes']:,}", f"{genome['unit_starts']:,}"]
        genomes.append([name, f"{genome['bases']:,}", f"{genome['gc']:.1%}", read, *counts])
        for method, levels in genome["methods"].items():
            for level in levels:
                shares = [_percent(level[key]) for key in ("share", "other_strand", "expected")]
                row = [name, _title(method), _level(level["level"]), f"{level['calls']:,}", *shares]
                calls.append([*row, _estimate(level["enrichment"], digits=2)])
    return Section("Genomes of other species", text, [("Genomes:", genomes), ("Calls before genes:", calls)])


def _speed(found: Parts) -> Section:
    rows = [["Scan", "Precision", "Threads", "Seconds", "Windows", "bp of strand per second"]]
    for name, scan in found["scans"].items():
        numbers = [
            f"{scan['seconds']:.1f}",
            f"{scan['windows']:,}",
            f"{scan['strand_bases_per_second']:,.0f}",
        ]
        rows.append([name, scan["precision"], str(scan["threads"]), *numbers])
    text = _paragraphs(SPEED, bases=found["bases"], stride=found["stride"])
    return Section("Speed", text, [("Whole scans:", rows)])


def _paragraphs(template: str, **values: Any) -> list[str]:
    """Return the paragraphs of a template, each on one line, with the values filled in."""
    return [" ".join(part.split()) for part in template.strip().format(**values).split("\n\n")]


def _first(methods: Parts) -> Parts:
    return next(iter(methods.values()))


def _level(name: str) -> str:
    """Return what a level is called in a table."""
    kind, _, number = name.partition(" ")
    if kind in ("expected", "calls"):
        return f"{number} {'expected false' if kind == 'expected' else 'calls'} per Mb"
    return {"default": "its own threshold", "as promotech": "as many calls as Promotech"}.get(name, name)


def _title(name: str) -> str:
    return TITLES.get(name, f"`{name}`")


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _estimate(found: Mapping[str, float | None], *, digits: int = 3, sign: bool = False) -> str:
    """Return a value with its interval."""
    if found["value"] is None:
        return NOTHING
    show = f"{{:{'+' if sign else ''}.{digits}f}}".format
    if found["low"] is None:
        return show(found["value"])
    return f"{show(found['value'])} ({show(found['low'])} to {show(found['high'])})"


def _percent(found: Mapping[str, float | None]) -> str:
    """Return a share in per cent with its interval."""
    if found["value"] is None:
        return NOTHING
    value, low, high = (
        None if found[key] is None else f"{100 * found[key]:.1f}" for key in ("value", "low", "high")
    )
    return f"{value} %" if low is None else f"{value} % ({low} to {high})"
