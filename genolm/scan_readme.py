"""The README of a packed scan: what each file holds, column by column, and how its positions count."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd

from genolm.job_files import read_record

_ZERO = "positions from 0, the end not included"
_ONE = "positions from 1, both ends included"
_FILES = {
    "calls.csv": f"The calls, one a line; {_ZERO}. Columns below.",
    "calls.parquet": f"The same table as Parquet, for R and Python; {_ZERO}.",
    "calls.bed": (
        f"The calls as BED6 for genome browsers and bedtools; {_ZERO}. Columns: contig, start, end, name, "
        "score (probability x 1000), strand. A call over the origin is two lines of one name."
    ),
    "calls.gff3": (
        f"The calls as GFF3; {_ONE}. The score column is the probability. A circular contig has a region "
        "line with Is_circular=true; a call over its origin has an end greater than the contig's length."
    ),
    "calls.gb": (
        f"The genome as GenBank with the calls as features; {_ONE}. What features the genome file had are "
        "kept. A call over the origin is join(...). Lower case has no meaning here."
    ),
    "calls.fa": (
        "The sequence of each call, with flanking bases, read along the call's strand. The header has the "
        f"call's name, the place of the sequence and, as call=, of the call itself; {_ONE}."
    ),
    "scores_plus.bw": (
        "The score of every window of the plus strand as bigWig. A stretch without a score (too many "
        "letters other than A, C, G, T, or outside the regions that were scanned) is a gap, not a zero."
    ),
    "scores_minus.bw": "The same for the minus strand; positions count on the plus strand.",
    "scores_plus.bedgraph": f"The scores of the plus strand as text: contig, start, end, score; {_ZERO}.",
    "scores_minus.bedgraph": "The same for the minus strand.",
    "genes.gff3": f"The genes that the calls were compared with, as GFF3; {_ONE}.",
    "background.json": (
        "How often the model calls by chance: scores of shuffled pieces of this genome, from which expected "
        "false calls and q-values come."
    ),
    "truth.json": "How the calls agree with known sites: precision, recall and F1 at each threshold.",
    "run.json": "The record of the run: input with its hash, model, every option, program, machine, results.",
}
_COLUMNS = {
    "contig": "name of the sequence",
    "start": "first base of the call, from 0",
    "end": "base after the last one; greater than the contig's length where the call goes over the origin",
    "strand": "+ or -; positions count on the plus strand for both",
    "summit": "base with the highest score, from 0, counted from the origin",
    "score": "highest calibrated probability within the call",
    "q_value": "expected share of false calls among all calls with this score or a higher one",
    "expected_per_mb": "calls of this score or a higher one expected by chance per million bases of a strand",
    "gene": "next gene that begins downstream of the summit on the call's strand, or up to a stride before it; "
    "empty if there is none",
    "gene_distance": "bases from the summit to the start of that gene, 0 if that is before it; -1 if there is none",
}
_OTHER = "see the documentation of genolm"


def describe(folder: Path, names: Iterable[str]) -> str:
    """Return the text of the README for the files of a scan.

    Parameters
    ----------
    folder : Path
        Of the scan: its ``run.json`` and the header of its ``calls.csv`` are read where they are.
    names : iterable of str
        The files to describe.
    """
    names = list(names)
    lines = ["Scan of a genome with genolm", "", *_about(read_record(folder / "run.json") or {}), "", "Files", ""]
    for name in names:
        lines += [name, fill(_FILES.get(name, _OTHER), 100, initial_indent="    ", subsequent_indent="    ")]
    if "calls.csv" in names:
        columns = list(pd.read_csv(folder / "calls.csv", nrows=0).columns)
        width = max(len(name) for name in columns) + 2
        lines += ["", "Columns of calls.csv and calls.parquet", ""]
        lines += [f"{name:<{width}}{_COLUMNS.get(name, _OTHER)}" for name in columns]
    lines += [
        "",
        "The calls have the same order and number in every file: line N of calls.csv, its header not",
        "counted, is call_N.",
        "A score is a prediction, not a measurement.",
    ]
    return "\n".join(lines) + "\n"


def _about(record: Mapping[str, Any]) -> list[str]:
    """Return what a record says in lines; what it does not hold is left out."""
    settings, results = record.get("settings") or {}, record.get("results") or {}
    inputs = record.get("inputs") or [{}]
    facts = {
        "Genome": inputs[0].get("name"),
        "Model": (record.get("model") or {}).get("name"),
        "Class": settings.get("class"),
        "Threshold": settings.get("threshold"),
        "Stride (bases)": settings.get("stride"),
        "Calls": results.get("calls"),
        "Started": record.get("started"),
    }
    lines = [f"{name}: {value}" for name, value in facts.items() if value not in (None, "")]
    notes = [f"Note: {note}" for note in results.get("notes") or ()]
    return lines + [fill(note, 100, subsequent_indent="    ", break_long_words=False) for note in notes]
