"""The commands as a table: the options of each and the function behind it. A test holds it to both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes
    ----------
    keyword : str
        Its name in Python.
    read : callable
        Makes the value from its word; ``bool`` is a switch, which turns its default around.
    default : Any
        Value when the option is left out.
    many : bool
        May be given several times.
    off : str
        The word that says no, of a switch whose default is neither.
    setting : bool
        It belongs to the settings of the call.
    typed : bool
        It is of the command only and has no part in the call.
    word : str
        Of a file: the value that names none.
    """

    keyword: str
    read: Callable[[str], Any] = str
    default: Any = None
    many: bool = False
    off: str = ""
    setting: bool = False
    typed: bool = False
    word: str = ""


@dataclass(frozen=True)
class Verb:
    """A command and the function behind it.

    Attributes
    ----------
    function : str
        Name of the function in ``genolm``.
    given : tuple of str
        The command's arguments in order; one that ends in ``*`` takes all that are left.
    call : tuple of str
        The function's positional parameters in order.
    options : dict of str to Option
    settings : (str, str)
        Module and name of the class that holds the settings; empty if there is none.
    files : tuple of str
        Those of ``given`` and of the options' keywords that are files to read, in the order of a record's inputs.
    out : str
        Keyword that says where the results go; empty where they are only printed.
    beside : bool
        The record of the run lies beside what it wrote, not in it.
    result : str
        Name of what the function gives back and an expression worth printing, such as ``scan: scan.calls``.
    """

    function: str
    given: tuple[str, ...]
    call: tuple[str, ...]
    options: Mapping[str, Option]
    settings: tuple[str, str] = ("", "")
    files: tuple[str, ...] = ("fasta",)
    out: str = "out"
    beside: bool = False
    result: str = ""

    def named_files(self, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Return keyword and path of each file among the values of a call, in the order of ``files``."""
        words = {option.keyword: option.word for option in self.options.values() if option.word}
        given = [(key, values[key]) for key in self.files if values.get(key) is not None]
        several = [(key, value if isinstance(value, list | tuple) else [value]) for key, value in given]
        return [(key, path) for key, paths in several for path in paths if str(path) != words.get(key)]


def number_list(word: str) -> tuple[float, ...]:
    """Read ``0.8,0.1,0.1``."""
    return tuple(float(part) for part in word.split(","))


def pair(word: str) -> tuple[str, str]:
    """Read ``sequence=dna``."""
    ours, _, theirs = word.partition("=")
    return ours, theirs


def automatic(word: str) -> str:
    """Read a choice that may be left to the program: ``auto`` is ""."""
    return "" if word == "auto" else word


def _setting(keyword: str, read: Callable[[str], Any] = str, default: Any = None, **more: Any) -> Option:
    return Option(keyword, read, default, setting=True, **more)


_RUN = {"--threads": Option("threads", int), "--precision": Option("precision", default="auto")}
_CLUSTER = {
    "--engine": Option("engine", default="local", typed=True),
    "--address": Option("address", typed=True),
    "--worker-cpus": Option("worker_cpus", int, 1, typed=True),
    "--submit": Option("submit", bool, False, typed=True),
}
_MODEL = {"--model": Option("model"), "--out": Option("out")}

VERBS: dict[str, Verb] = {
    "classify": Verb(
        "classify_file",
        ("fasta",),
        ("fasta", "out"),
        {**_MODEL, "--strand": Option("strand", default="+"), **_RUN},
        beside=True,
    ),
    "saliency": Verb(
        "saliency_file",
        ("fasta",),
        ("fasta", "out"),
        {
            **_MODEL,
            "--strand": Option("strand", default="+"),
            "--fills": Option("fills", int, 8),
            "--seed": Option("seed", int, 1),
            "--class": Option("class_name"),
            "--site": Option("site", int),
            "--strips": Option("strips", bool, False),
            "--threads": _RUN["--threads"],
        },
        beside=True,
    ),
    "scan": Verb(
        "scan_file",
        ("fasta",),
        ("fasta", "out"),
        {
            **_MODEL,
            "--stride": Option("stride", int, 10),
            "--strand": Option("strand", default="both"),
            "--threshold": Option("threshold", float),
            "--method": Option("method", default="merge"),
            "--merge-distance": Option("merge_distance", int),
            "--min-distance": Option("min_distance", int, 0),
            "--mode": Option("mode", default="auto"),
            "--topology": Option("topology", default="auto"),
            "--circular": Option("circular", many=True),
            "--linear": Option("linear", many=True),
            "--contig": Option("contigs", many=True),
            "--regions": Option("regions"),
            "--genes": Option("genes", word="predict"),
            "--truth": Option("truth"),
            "--tolerance": Option("tolerance", int, 50),
            "--background": Option("background", bool, False, off="--no-background"),
            "--format": Option("formats", many=True),
            "--class": Option("class_name"),
            "--bedgraph": Option("bedgraph", bool, False),
            **_RUN,
            **_CLUSTER,
        },
        files=("fasta", "genes", "truth", "regions"),
        result="scan: scan.calls",
    ),
    "evaluate": Verb(
        "evaluate_table",
        ("model", "table"),
        ("model", "table"),
        {
            "--split": Option("split"),
            "--column": Option("columns", pair, (), many=True),
            "--skip-bad-rows": Option("skip_bad_rows", bool, False),
            **_RUN,
        },
        files=("table",),
        out="",
        result="found: found.metrics",
    ),
    "compare": Verb(
        "compare_models",
        ("model_a", "model_b", "table"),
        ("model_a", "model_b", "table"),
        {
            "--split": Option("split"),
            "--column": Option("columns", pair, (), many=True),
            "--skip-bad-rows": Option("skip_bad_rows", bool, False),
            "--out": Option("out", typed=True),
            "--draws": Option("n_boot", int, 2000),
            "--seed": Option("seed", int, 1),
            **_RUN,
        },
        files=("table",),
        beside=True,
        result="found: found.as_dict()",
    ),
    "pretrain": Verb(
        "pretrain",
        ("fasta*",),
        ("fasta",),
        {
            "--name": Option("name"),
            "--out": Option("out_dir"),
            "--base": Option("base"),
            "--held-out": Option("held_out", many=True),
            "--preset": _setting("preset", default="small"),
            "--k": _setting("k", int, 3),
            "--stride": _setting("stride", int, 3),
            "--tokens": _setting("tokens", int, 0),
            "--hours": _setting("hours", float, 2.0),
            "--seed": _setting("seed", int, 1),
            "--report": Option("report_dir"),
        },
        settings=("genolm.pretraining", "PretrainSettings"),
        out="report_dir",
    ),
    "finetune": Verb(
        "finetune",
        ("table",),
        ("table", "base", "name"),
        {
            "--base": Option("base"),
            "--name": Option("name"),
            "--column": _setting("columns", pair, many=True),
            "--skip-bad-rows": _setting("skip_bad_rows", bool, False),
            "--task": _setting("task", automatic, ""),
            "--positive": _setting("positive", default=""),
            "--split": _setting("split", automatic, ""),
            "--fractions": _setting("fractions", number_list, (0.8, 0.1, 0.1)),
            "--effort": _setting("effort", default="fast"),
            "--adapt": _setting("adapt", bool, off="--no-adapt"),
            "--seeds": _setting("seeds", int),
            "--balance": _setting("balance", bool, off="--no-balance"),
            "--mirrored": _setting("mirrored", bool, False),
            "--shifted": _setting("shifted", bool, False),
            "--trimmed": _setting("trimmed", bool, False),
            "--framed": _setting("framed", bool, off="--no-framed"),
            "--slots": _setting("slots", int),
            "--lr": _setting("lr", float),
            "--drop-mult": _setting("drop_mult", float),
            "--batch-size": _setting("batch_size", int),
            "--epochs": _setting("epochs", int),
            "--search": _setting("search_minutes", float, 0.0),
            "--reduction": _setting("reduction", bool, False),
            "--no-watchdog": _setting("watched", bool, True),
            "--from-scratch": Option("from_scratch", bool, False),
            "--preset": _setting("preset", default="small"),
            "--seed": _setting("seed", int, 1),
            "--report": Option("report_dir"),
        },
        settings=("genolm.config", "FinetuneSettings"),
        files=("table",),
        out="report_dir",
    ),
}
