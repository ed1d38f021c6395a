"""Score every window of a genome with a classifier: per contig, both strands, at any stride.

Windows have the length that the model was trained on and never cross an end of a linear contig; on a circular
one they go over the origin. A value stands at the window's anchor (the site that the training windows were
centred on, such as the TSS) or, where a model has none, at the window's centre. The minus strand is the scan of
the contig's reverse complement with every coordinate mapped back.

A streamed scan reads each strand once, whatever the stride (:mod:`genolm.streaming`); an exact one reads every
window by itself, as in training on single windows. A contig is read in parts, so that memory does not grow with
its length beyond the scores themselves (4 bytes per window).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from genolm.engines import Engine, LocalEngine
from genolm.errors import SequenceError, SettingsError, check_list
from genolm.partial import FinishedParts
from genolm.predict import Predictor
from genolm.progress import ProgressCallback, Ticker
from genolm.regions import Contigs, check_intervals, unknown_contig
from genolm.scan_plan import (
    CIRCULAR,
    Intervals,
    Layout,
    Part,
    Strands,
    bases_looked_at,
    plan_parts,
    scan_layout,
    strand_list,
)
from genolm.scan_work import MAX_AMBIGUOUS, Mode, ScanWork
from genolm.tracks import Track

ModeChoice = Literal["auto", "stream", "exact"]


@dataclass(frozen=True)
class SkippedContig:
    """A contig that holds no window: ``name``, ``length`` in bp and ``reason`` in words."""

    name: str
    length: int
    reason: str


@dataclass(frozen=True)
class ScanResult:
    """What a scan gives.

    Attributes
    ----------
    tracks : list of Track
        One per contig and strand: calibrated probability of the scanned class (for regression the
        value), NaN where a window has too many ambiguous letters.
    settings : dict
        Every option that decided the result, ``window`` and ``anchor`` among them.
    seconds : float
        Wall time, with that of the parts that an earlier run had finished.
    windows : int
        Windows looked at, on all strands.
    ambiguous : dict of str to int
        Windows without a score because more than 10 % of their letters are not A, C, G or T, by contig.
    skipped : list of SkippedContig
    bases : int
        Bases scanned, each strand counted; with regions, those of the regions.
    contigs : int
        Contigs of which windows were looked at; with regions, those that have any.
    circular : dict of str to int
        Lengths of the scanned contigs that are circular.
    """

    tracks: list[Track]
    settings: dict[str, Any]
    seconds: float
    windows: int
    bases: int
    contigs: int
    ambiguous: dict[str, int] = field(default_factory=dict)
    skipped: list[SkippedContig] = field(default_factory=list)
    circular: dict[str, int] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return the counts as plain data for the record of a run."""
        return {
            "contigs_scanned": self.contigs,
            "contigs_skipped": [vars(item) for item in self.skipped],
            "windows": self.windows,
            "windows_ambiguous": dict(self.ambiguous),
            "bases": self.bases,
            "bases_per_second": round(self.bases / self.seconds) if self.seconds > 0 else None,
        }


def scan_genome(
    genome: Contigs,
    predictor: Predictor,
    *,
    stride: int = 10,
    strands: Strands = "both",
    contigs: Iterable[str] | None = None,
    class_name: str | None = None,
    mode: ModeChoice = "auto",
    regions: Mapping[str, Intervals] | None = None,
    batch_tokens: int | None = None,
    parts: FinishedParts | None = None,
    engine: Engine | None = None,
    progress: ProgressCallback | None = None,
) -> ScanResult:
    """Score windows every ``stride`` bases on the chosen strands of the chosen contigs.

    Parameters
    ----------
    genome : Genome
        Anything with ``contigs``, ``fetch`` and, where contigs may be circular, ``topology``.
    predictor : Predictor
        A classifier with a training window.
    stride : int
        Bases from one window to the next. Up to ``stride - 1`` bases at the far end of a strand (the
        contig's end for plus, its start for minus) are in no window.
    strands : {"both", "+", "-"}
    contigs : iterable of str, optional
        Names; all by default.
    class_name : str, optional
        The class to score; the positive one of a binary model by default, needed where there are more.
    mode : {"auto", "stream", "exact"}
        See the module's text; ``auto`` streams with models that were trained for it.
    regions : mapping of contig to (start, end) pairs, optional
        0-based, half-open. Only windows whose site lies in one of these are scored; the others are NaN.
    batch_tokens : int, optional
        Cap on tokens in one pass of the exact mode; 32,768 on a CPU.
    parts : FinishedParts, optional
        Of this very scan: what it holds is not scored again, and what is scored is kept there.
    engine : Engine, optional
        Who does the work; the threads of this process by default.
    progress : callable, optional
        Told of finished windows; raise :class:`genolm.errors.Cancelled` in it to stop.

    Raises
    ------
    RegionError
        For an unknown contig, and a region that does not lie on its contig.
    SequenceError
        When no contig is as long as the window.
    """
    began = time.monotonic()
    layout, signs = scan_layout(predictor, stride), strand_list(strands)
    chosen = _chosen_contigs(genome, contigs)
    regions = None if regions is None else check_intervals(regions, genome.contigs)
    index = predictor.class_index(class_name)
    skipped = _too_short(chosen, layout)
    scanned = {name: size for name, size in chosen.items() if size >= layout.window}
    if not scanned:
        raise SequenceError(
            f"No contig is as long as the window of {layout.window} bp of model '{predictor.config.name}'; "
            f"the longest of {len(chosen)} has {max(chosen.values(), default=0)} bp. "
            "Classify the records instead."
        )
    work = ScanWork(genome, predictor, layout, index, scan_mode(predictor, mode), batch_tokens)
    topology = dict(getattr(genome, "topology", {}))
    planned = plan_parts(
        scanned, topology, layout, signs=signs, windows_per_part=work.windows_per_part, regions=regions
    )
    finished = FinishedParts() if parts is None else parts
    engine = LocalEngine(predictor.threads) if engine is None else engine
    found = _scores(engine, work, planned, finished, progress)
    circular = {name: size for name, size in scanned.items() if topology.get(name) == CIRCULAR}
    tracks = _tracks(found, planned, layout, scanned, signs, circular)
    return ScanResult(
        tracks=tracks,
        settings={
            "window": layout.window,
            "anchor": predictor.config.window.anchor,
            "value_at": layout.anchor,
            "stride": layout.stride,
            "strands": strands,
            "class": predictor.classes[index],
            "max_ambiguous": MAX_AMBIGUOUS,
            "mode": work.mode,
            "circular": sorted(circular),
        },
        seconds=time.monotonic() - began + finished.earlier_seconds,
        windows=sum(part.windows for part in planned),
        bases=bases_looked_at(scanned, regions) * len(signs),
        contigs=len({stretch.contig for part in planned for stretch in part.stretches}),
        ambiguous=_ambiguous_by_contig(planned, found),
        skipped=skipped,
        circular=circular,
    )


def scan_mode(predictor: Predictor, mode: ModeChoice) -> Mode:
    """Return how a model scans when ``mode`` is asked for: ``auto`` is as it was trained."""
    if mode not in ("auto", "stream", "exact"):
        raise SettingsError(f"mode is '{mode}'; it must be auto, stream or exact.")
    if mode != "auto":
        return mode
    return "stream" if predictor.config.streamed else "exact"


def _scores(
    engine: Engine,
    work: ScanWork,
    planned: Sequence[Part],
    finished: FinishedParts,
    progress: ProgressCallback | None,
) -> dict[str, np.ndarray]:
    """Return the scores of each part by its key: those of an earlier run, and the others made now."""
    ticker = Ticker(progress, sum(part.windows for part in planned), stage="scanning")
    found: dict[str, np.ndarray] = {}
    for part in planned:
        kept = finished.found(part.key)
        if kept is not None:
            found[part.key] = kept.arrays["scores"]
            ticker.skip(part.windows, kept.seconds, stage=part.stretches[-1].stage)
    missing = [part for part in planned if part.key not in found]
    tell = lambda windows, stage: ticker.advance(windows, stage=stage)  # noqa: E731
    for done in engine.run(work, missing, tick=tell) if missing else ():
        kept = finished.keep(done.part.key, {"scores": done.scores}, done.seconds)
        found[done.part.key] = kept.arrays["scores"]
    return found


def _tracks(
    found: Mapping[str, np.ndarray],
    planned: Sequence[Part],
    layout: Layout,
    contigs: Mapping[str, int],
    signs: Sequence[str],
    circular: Mapping[str, int],
) -> list[Track]:
    """Return the scores of each strand of each contig, in ascending coordinates."""
    values = {
        (name, sign): np.full(layout.count(size, circular=name in circular), np.nan, dtype=np.float32)
        for name, size in contigs.items()
        for sign in signs
    }
    for part in planned:
        first = 0
        for stretch in part.stretches:
            scores = found[part.key][first : first + stretch.windows]
            values[stretch.contig, stretch.strand][stretch.first : stretch.last] = scores
            first += stretch.windows
    tracks = []
    for (name, sign), scores in values.items():
        ascending = scores if sign == "+" else np.ascontiguousarray(scores[::-1])
        start = layout.first_bin(contigs[name], sign, circular=name in circular)
        tracks.append(Track(name, sign, start, layout.stride, layout.span, ascending))
    return tracks


def _too_short(contigs: Mapping[str, int], layout: Layout) -> list[SkippedContig]:
    reason = f"shorter than the model's window of {layout.window} bp"
    return [SkippedContig(name, size, reason) for name, size in contigs.items() if size < layout.window]


def _chosen_contigs(genome: Contigs, names: Iterable[str] | None) -> dict[str, int]:
    known = dict(genome.contigs)
    if names is None:
        return known
    check_list(names, "contigs")
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in known:
            raise unknown_contig(name, known)
    return {name: known[name] for name in names}


def _ambiguous_by_contig(planned: Sequence[Part], found: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return how many windows of each contig were looked at and have no score."""
    counts: dict[str, int] = {}
    for part in planned:
        owners = np.repeat(np.arange(len(part.stretches)), [stretch.windows for stretch in part.stretches])
        missing = np.bincount(owners, weights=np.isnan(found[part.key]), minlength=len(part.stretches))
        for stretch, many in zip(part.stretches, missing.astype(int).tolist(), strict=True):
            if many:
                counts[stretch.contig] = counts.get(stretch.contig, 0) + many
    return counts
