"""What a reader of a table's figures should know before training, in sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genolm.cards import metric_name
from genolm.class_names import misspelt, same_names
from genolm.errors import first_names
from genolm.labels import as_number, missing_words
from genolm.plans import LEAST_TRAINING_ROWS
from genolm.short_similarity import SHORTEST_COMPARED
from genolm.shortcuts import ShortcutScore, interval_words

if TYPE_CHECKING:
    from genolm.table_facts import ClassFacts, Replicates
    from genolm.table_report import TableReport

LEVELS = ("stop", "warn", "note")
FEW_OF_A_CLASS, FEW_ROWS = 10, 500
UNEVEN = 0.25
TELLING = {"auroc": 0.6, "spearman": 0.2}
_CHANCE = {"auroc": 0.5, "spearman": 0.0}
_GUESSING = {"auroc": 0.55, "spearman": 0.1}
_MUCH_AMBIGUOUS, _SOLVED, _SURELY, _UNLIMITED = 0.01, 0.98, 0.9, 0.995
_NAMED, _SLIPS_SHOWN = 5, 20
_Pair = tuple["ClassFacts", "ClassFacts"]
"""A class that may be a slip, and what was meant."""


@dataclass(frozen=True)
class TableWarning:
    """A sentence: ``stop`` when a training makes no sense so, ``warn`` or ``note``."""

    level: Literal["stop", "warn", "note"]
    sentence: str


def table_warnings(report: "TableReport") -> tuple[TableWarning, ...]:
    """Return everything worth saying of a table, the gravest first."""
    found = [*_refused(report), *_of_classes(report)]
    checks = (_shortcuts, _contradictions, _copies, _leakage, _letters)
    found += [warning for check in checks for warning in check(report)]
    found += [TableWarning("warn", doubt) for doubt in report.split.doubts]
    found += [TableWarning("note", note) for note in report.split.notes]
    return tuple(sorted(found, key=lambda item: LEVELS.index(item.level)))


def _of_classes(report: "TableReport") -> Iterator[TableWarning]:
    if report.task == "regression":
        yield from _sizes(report, report.classes)
        return
    slips = misspelt(report.classes)
    told = _told_classes(report, slips)
    yield from _spelling(slips)
    yield from _same_names(told, {item.name for item, _ in slips})
    yield from _missing(report)
    yield from _sizes(report, told)
    yield from _balance(report, told)


def _refused(report: "TableReport") -> Iterator[TableWarning]:
    count = len(report.refused)
    if not count:
        return
    first = report.refused[0]
    what = f"{_rows(count)} cannot be used; the first is row {first.row}: {first.reason}."
    if report.left_out:
        yield TableWarning("warn", f"{what} {'It is' if count == 1 else 'They are'} left out.")
    else:
        yield TableWarning("stop", f"{what} Mend the file, or choose to leave bad rows out.")


def _spelling(slips: Sequence[_Pair]) -> Iterator[TableWarning]:
    for item, meant in slips[:_SLIPS_SHOWN]:
        where = f" ({'row' if item.rows == 1 else 'the first is row'} {item.first})" if item.first else ""
        yield TableWarning(
            "warn" if item.train else "stop",
            f"The class {item.name} has {_rows(item.rows)}{where} and is written almost as {meant.name}, which has "
            f"{_rows(meant.rows)}: if it is a slip, mend it in the table.",
        )
    if more := slips[_SLIPS_SHOWN:]:
        yield TableWarning(
            "warn" if all(item.train for item, _ in more) else "stop",
            f"{len(more)} more classes of a row or two are written almost as far larger ones.",
        )


def _same_names(told: Sequence["ClassFacts"], slips: set[str]) -> Iterator[TableWarning]:
    found = same_names([item for item in told if item.name not in slips])
    for items in found[:_NAMED]:
        named = _and([f"{item.name} ({_rows(item.rows)})" for item in items])
        is_number = as_number(items[0].name) is not None
        same = "the same number" if is_number else "written alike but for capitals, blanks, dots or hyphens"
        yield TableWarning("warn", f"The classes {named} are {same}: if they are one class, write them alike.")
    if len(found) > _NAMED:
        yield TableWarning("warn", f"{len(found) - _NAMED} more sets of classes are written alike in this way.")


def _missing(report: "TableReport") -> Iterator[TableWarning]:
    rows = {item.name: item.rows for item in report.classes}
    for name in missing_words(rows):
        yield TableWarning(
            "warn",
            f"The class {name} ({_rows(rows[name])}) is called as many programs write a missing value: if it is one, "
            "leave those cells empty, and the rows count as rows without a label.",
        )


def _told_classes(report: "TableReport", slips: Sequence[_Pair]) -> list["ClassFacts"]:
    """Return the classes that the table is about: those that are no slips, or all where these are fewer than two."""
    names = {item.name for item, _ in slips}
    told = [item for item in report.classes if item.name not in names]
    return told if len(told) > 1 else list(report.classes)


def _sizes(report: "TableReport", told: Sequence["ClassFacts"]) -> Iterator[TableWarning]:
    if report.unlabelled:
        yield TableWarning(
            "note",
            f"{_rows(report.unlabelled)} without a label: of use only to fine-tune the language model, and "
            "counted in none of these figures.",
        )
    train = report.split.counts["train"]
    if train < LEAST_TRAINING_ROWS:
        yield TableWarning(
            "stop",
            f"Only {_rows(train)} for training, and at least {LEAST_TRAINING_ROWS} are needed; add more.",
        )
    elif train < FEW_ROWS:
        yield TableWarning(
            "note",
            f"{train:,} rows are for training. With fewer than {FEW_ROWS} a model learns little more than "
            "what its language model knows already; expect wide intervals.",
        )
    for part, level, what in (
        ("train", "stop", "no model can learn {them}"),
        ("valid", "warn", "the training cannot be steered by {them}"),
        ("test", "warn", "how well {they} recognised stays unknown"),
    ):
        missing = [item.name for item in told if not getattr(item, part)]
        if missing and report.split.counts[part]:
            words = {"train": "training", "valid": "validation", "test": "test"}[part]
            they, them = ("they are", "them") if len(missing) > 1 else ("it is", "it")
            sentence = f"{_classes(missing)} no {words} row: {what.format(they=they, them=them)}."
            yield TableWarning(level, sentence)  # type: ignore[arg-type]
    rare = [item.name for item in told if item.rows < FEW_OF_A_CLASS]
    if rare:
        yield TableWarning(
            "warn", f"{_classes(rare)} fewer than {FEW_OF_A_CLASS} rows; figures for so few mean little."
        )


def _balance(report: "TableReport", told: Sequence["ClassFacts"]) -> Iterator[TableWarning]:
    if report.task not in ("binary", "multiclass"):
        return
    most, least = max(told, key=lambda item: item.rows), min(told, key=lambda item: item.rows)
    if least.rows < UNEVEN * most.rows:
        always = most.rows / report.rows
        yield TableWarning(
            "warn",
            f"Your classes are uneven: {most.name} has {most.rows:,} rows, {least.name} {least.rows:,}. A model "
            f"that always says {most.name} is right in {always:.0%} of cases, so look at MCC and AUPRC rather "
            "than accuracy.",
        )


def _shortcuts(report: "TableReport") -> Iterator[TableWarning]:
    for item in report.shortcuts:
        low = item.main.get("low")
        if item.key == "kmers":
            yield TableWarning("note", _words_sentence(report, item))
        elif low is not None and low >= TELLING[item.metric]:
            yield TableWarning("warn", _telling_sentence(report, item))


def _telling_sentence(report: "TableReport", item: ShortcutScore) -> str:
    quantity = {"length": "length", "gc": "GC content"}[item.key]
    figure = f"{metric_name(item.metric)} {interval_words(item.main)}"
    if report.task == "regression":
        return f"Your values go with {quantity}: that alone gives {figure}."
    if report.task == "multilabel":
        return f"Your labels go with {quantity}: that alone gives a mean {figure}."
    mean = "a mean " if report.task == "multiclass" else ""
    middle = _middles(report, item.key) if len(report.classes) <= _NAMED else ""
    return f"Your classes differ in {quantity}{middle}: that alone gives {mean}{figure}."


def _middles(report: "TableReport", key: str) -> str:
    def shown(values: Sequence[float]) -> str:
        return f"{values[2]:.0%}" if key == "gc" else f"{values[2]:,.0f} bp"

    known = [(item.name, item.gc if key == "gc" else item.length) for item in report.classes]
    return f" (medians: {', '.join(f'{name} {shown(values)}' for name, values in known if values)})"


def _words_sentence(report: "TableReport", item: ShortcutScore) -> str:
    metric, value, low = metric_name(item.metric), item.main.get("value"), item.main.get("low")
    if value is None:
        where = "test" if report.split.counts["test"] else "validation"
        why = "with values or answers that are all alike" if report.task == "regression" else "without two classes"
        return f"How much counts of short words tell stays unknown: {metric} is not defined on {where} rows {why}."
    verdict = "a model is worth having only if it does better."
    if value > _SOLVED:
        verdict = "there is little left to gain."
        if low is None or low < _SURELY:
            verdict = "that may leave little to gain, but the rows are too few to tell."
    elif value < _GUESSING[item.metric] and low is not None and low <= _CHANCE[item.metric]:
        verdict = "short words alone tell nothing here."
    figure = f"{metric} {interval_words(item.main)}"
    sentence = f"Counting short words without any neural network gives {figure}: {verdict}"
    other = report.random_words
    if other is not None and other.main.get("value") is not None:
        seeming = interval_words(other.main)
        sentence += f" With a random split the same would seem to reach {seeming}."
    return sentence


def _contradictions(report: "TableReport") -> Iterator[TableWarning]:
    copies = report.copies
    if copies.conflicting:
        yield TableWarning(
            "warn",
            f"{_rows(copies.conflicting)} share a sequence with a row of another label{_such(copies.examples)}: no "
            "model can be right on both.",
        )
    if copies.crossed:
        yield TableWarning(
            "note",
            f"{_rows(copies.crossed)} share a sequence with a row of another label on the other strand"
            f"{_such(copies.crossed_examples)}: a model that reads both strands alike cannot be right on both.",
        )
    if copies.replicates is not None:
        yield TableWarning("note", _replicates_sentence(copies.replicates))


def _such(examples: Sequence[Sequence[int]]) -> str:
    return f", such as rows {_and(examples[0][:_NAMED])}" if examples else ""


def _replicates_sentence(found: "Replicates") -> str:
    many = f"{found.sequences:,} sequences are" if found.sequences > 1 else "1 sequence is"
    sentence = (
        f"{many} measured more than once: the standard deviation is {found.apart:.3g} among values of one sequence "
        f"and {found.whole:.3g} among all values."
    )
    if found.reachable is not None and found.reachable < _UNLIMITED:
        sentence += (
            " If all values are as uncertain, even a model that knows the truth reaches a Pearson correlation of "
            f"about {found.reachable:.2f}."
        )
    return sentence


def _copies(report: "TableReport") -> Iterator[TableWarning]:
    copies = report.copies
    if copies.mixed > copies.conflicting + copies.crossed:
        yield TableWarning(
            "warn" if copies.mixed > 0.05 * report.rows else "note",
            f"{_rows(copies.mixed)} are near-duplicates of rows of another class: the classes are hard to tell "
            "apart there, or the labels are wrong.",
        )
    if copies.repeated:
        yield TableWarning(
            "note", f"{_rows(copies.repeated)} repeat the sequence of an earlier row (on either strand)."
        )
    if copies.too_short:
        yield TableWarning(
            "warn",
            f"{_rows(copies.too_short)} have sequences under {SHORTEST_COMPARED} bp, too short to be compared with "
            "others; among them only equal ones are kept together.",
        )


def _leakage(report: "TableReport") -> Iterator[TableWarning]:
    split, tests = report.split, report.split.counts["test"]
    if split.leaked and split.leaked_share is not None:
        yield TableWarning(
            "warn",
            f"{split.leaked:,} of {tests:,} test rows ({split.leaked_share:.0%}) have a near-duplicate in "
            "training: figures on them will be too good. A split by cluster avoids it.",
        )
    elif split.random_leaked and split.random_share is not None and split.method != "random":
        yield TableWarning(
            "note",
            f"No test row has a near-duplicate in training. A random split would have given one to "
            f"{split.random_share:.0%} of its test rows.",
        )


def _letters(report: "TableReport") -> Iterator[TableWarning]:
    letters = report.letters
    if letters.counts:
        named = ", ".join(f"{letter} {count:,}" for letter, count in list(letters.counts.items())[:_NAMED])
        yield TableWarning(
            "warn" if letters.share > _MUCH_AMBIGUOUS else "note",
            f"{_rows(letters.rows)} hold letters other than A, C, G, T ({named}; {letters.share:.2%} of all "
            "bases); a model reads words with them as unknown.",
        )


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _classes(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"The class {names[0]} has"
    return f"{len(names)} classes ({first_names(names, _NAMED)}) have"


def _and(items: Sequence[int | str]) -> str:
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
