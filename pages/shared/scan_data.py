"""What a finished scan holds, read once and kept: tracks, genes, known sites, background; and calls anew."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from genolm.annotation import call_table, gene_starts, genes_of, read_annotation
from genolm.errors import GenolmError
from genolm.genome_files import open_genome
from genolm.jobs import Job
from genolm.peaks import CALL_COLUMNS, Method, call_peaks
from genolm.significance import Background, scored_megabases
from pages.shared import results, state

_GAPS_SHOWN = 5_000
_STEPS = 2


@dataclass(frozen=True)
class Finished:
    """A finished scan with all that was written beside it.

    Attributes
    ----------
    circular : dict of str to int
        Lengths of the circular contigs.
    genes : DataFrame or None
        Columns ``contig, start, end, strand, name, kind``.
    gene_starts : DataFrame or None
        Columns ``contig, position, strand, name``.
    background : Background or None
        Calls on shuffled sequence.
    fasta, fai : Path or None
        The indexed sequence, None if the genome file is gone.
    """

    scan: results.ScanFolder
    folder: Path
    source: Path
    changed: int
    circular: Mapping[str, int]
    genes: pd.DataFrame | None
    gene_starts: pd.DataFrame | None
    background: Background | None
    fasta: Path | None
    fai: Path | None

    @property
    def lengths(self) -> dict[str, int]:
        """Length of each contig."""
        return self.scan.lengths

    @cached_property
    def scored(self) -> list[str]:
        """The contigs that have a score, in their order."""
        return list(dict.fromkeys(track.contig for track in self.scan.tracks))

    @property
    def first(self) -> str:
        """The contig to begin with: the first that has a score, if any has."""
        return next(iter(self.scored or self.lengths))

    @cached_property
    def megabases(self) -> float:
        """Scored length in Mb, each strand counted."""
        return scored_megabases(self.scan.tracks)

    @property
    def made_with(self) -> float:
        """Threshold of the run."""
        return float(self.scan.setting("threshold", 0.5))

    @property
    def window(self) -> int:
        """Length of the windows in bp."""
        return int(self.scan.setting("window"))

    def said(self, kind: str) -> list[str]:
        """Return the sentences of a kind, ``notes`` or ``warnings``, that the run left."""
        return [str(item) for item in self.scan.record.get("results", {}).get(kind) or []]

    @property
    def class_name(self) -> str:
        """The class that was looked for."""
        return str(self.scan.setting("class", ""))


def read(job: Job) -> Finished:
    """Return what a finished scan job holds; what cannot be read ends the page with a sentence."""
    record = job.result / "run.json"
    changed = record.stat().st_mtime_ns if record.is_file() else 0
    with state.shown_errors():
        return _read(str(job.result), job.arguments[1], changed)


@st.cache_resource(max_entries=2, show_spinner="Reading the scores")
def _read(result: str, source: str, changed: int) -> Finished:
    scan = results.read_scan(Path(result))
    genes = _genes(scan)
    fasta, fai = _sequence(source, scan)
    return Finished(
        scan=scan,
        folder=Path(result).parent,
        source=Path(source),
        changed=changed,
        circular=scan.circular,
        genes=genes,
        gene_starts=None if genes is None else gene_starts(genes),
        background=_background(scan.folder / "background.json"),
        fasta=fasta,
        fai=fai,
    )


def _genes(scan: results.ScanFolder) -> pd.DataFrame | None:
    path = scan.folder / "genes.gff3"
    if not path.is_file():
        return None
    found = genes_of(read_annotation(path, contigs=scan.lengths, circular=scan.circular))
    return found if len(found) else None


def _background(path: Path) -> Background | None:
    if not path.is_file():
        return None
    return Background.from_json(json.loads(path.read_text(encoding="utf-8")))


def _sequence(source: str, scan: results.ScanFolder) -> tuple[Path | None, Path | None]:
    """Return the indexed copy of the genome; None if it is gone or another one now."""
    try:
        with open_genome(source) as genome:
            same = all(genome.contigs.get(name) == size for name, size in scan.lengths.items())
            return (genome.fasta, genome.fai) if same else (None, None)
    except GenolmError:
        return None, None


def calls_at(found: Finished, threshold: float) -> pd.DataFrame:
    """Return the calls at a threshold: ``contig, start, end, strand, summit, score``.

    With a background there is ``q_value``, with genes ``gene`` and ``gene_distance`` to the next gene start.
    """
    return _calls(found, str(found.folder), found.changed, threshold)


@st.cache_data(max_entries=32, show_spinner="Calling")
def _calls(_found: Finished, folder: str, changed: int, threshold: float) -> pd.DataFrame:
    made = threshold == _found.made_with
    calls = _found.scan.calls[list(CALL_COLUMNS)] if made else anew(_found, threshold)
    background = _found.background
    extra = {}
    if background is not None:
        scores = calls["score"].to_numpy()
        extra["q_values"] = background.q_values(scores, _found.megabases)
        extra["expected"] = background.expected_per_mb(scores)
    reach = {"circular": _found.circular, "behind": _found.scan.setting("stride")}
    return call_table(calls, genes=_found.genes, **reach, **extra)


def anew(found: Finished, threshold: float, *, method: Method | None = None) -> pd.DataFrame:
    """Return the calls that a scan with this threshold would have given; the method is the scan's own."""
    scan = found.scan
    return call_peaks(
        scan.tracks,
        threshold=threshold,
        window_length=found.window,
        circular=found.circular,
        method=method or scan.setting("method") or "merge",
        **distances(scan),
    )


def distances(scan: results.ScanFolder) -> dict[str, Any]:
    """Return the options of :func:`genolm.peaks.call_peaks` that a scan was made with."""
    return {
        "merge_distance": scan.setting("merge_distance"),
        "min_distance": int(scan.setting("min_distance") or 0),
    }


def gaps(found: Finished) -> list[tuple[str, int, int]]:
    """Return the stretches between windows that were not scored, the widest first, at most 5,000."""
    widest = []
    for contig in found.lengths:
        for track in found.scan.of(contig)[:1]:
            there = np.flatnonzero(~np.isnan(track.values))
            wide = np.flatnonzero(np.diff(there) > _STEPS)
            for left, right in zip(there[wide], there[wide + 1], strict=True):
                start = track.start + int(left) * track.step + track.span
                widest.append((contig, start, track.start + int(right) * track.step))
    widest.sort(key=lambda gap: gap[1] - gap[2])
    return widest[:_GAPS_SHOWN]
