"""How scans are judged in the proof: against known starts, against another scan, and against gene starts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import open_text
from scipy.special import logit

from genolm.bootstrap import Array, Estimate, Figures, Statistic, bootstrap, paired_bootstrap
from genolm.errors import GenolmError
from genolm.peaks import call_peaks
from genolm.significance import Background, scored_megabases
from genolm.site_matching import best_scores, match_sites
from genolm.tracks import Track
from genolm.truth import TruthCurve, truth_curve

Intervals = Sequence[tuple[int, int]]
EXPECTED = (1.0, 10.0, 100.0)
"""Expected false calls per Mb of strand."""
_STEPS = 60
_CALLS_PER_SITE = 20
_LEAST, _MOST = 1e-7, 1 - 1e-7


@dataclass(frozen=True)
class Truth:
    """Known starts in the judged stretches, and how calls are made and compared with them.

    Attributes
    ----------
    sites : dict of str to DataFrame
        ``strong`` (well supported) and ``all``: contig, position, strand.
    tolerances : tuple of int
        In bp.
    window : int
        Length in bp of the model's windows; calls of every method are merged over half of it.
    circular : dict of str to int
    block : int
        Bases of a block that intervals are drawn over.
    draws, seed : int
    """

    sites: Mapping[str, pd.DataFrame]
    tolerances: tuple[int, ...]
    window: int
    circular: Mapping[str, int]
    block: int
    draws: int
    seed: int

    @property
    def rules(self) -> dict[str, Any]:
        """Options of :func:`genolm.peaks.call_peaks` but for the threshold and the method."""
        return {"window_length": self.window, "circular": self.circular}


class Scored(NamedTuple):
    """A scan's scores with what is needed to judge them; ``levels`` names thresholds."""

    tracks: list[Track]
    levels: dict[str, float]
    background: Background | None = None
    seconds: float | None = None


def levels_of(threshold: float, background: Background) -> dict[str, float]:
    """Return the default threshold and those of 1, 10 and 100 expected false calls per Mb."""
    return {"default": threshold} | {expected_name(rate): background.threshold_for(rate) for rate in EXPECTED}


def expected_name(rate: float) -> str:
    """Return the name of the level of ``rate`` expected false calls per Mb of strand."""
    return f"expected {rate:g}"


def judge(scored: Scored, truth: Truth) -> dict[str, Any]:
    """Return AUPRC and best F1 for each tolerance, and precision and recall at each named threshold."""
    grid = _grid(scored.tracks, truth)
    curves, levels = [], []
    for tolerance in truth.tolerances:
        found = {
            name: truth_curve(
                scored.tracks,
                sites,
                tolerance=tolerance,
                thresholds=[*grid, *scored.levels.values()],
                draws=truth.draws,
                seed=truth.seed,
                **truth.rules,
            )
            for name, sites in truth.sites.items()
        }
        curves += [_curve_facts(name, curve) for name, curve in found.items()]
        levels += [_level_facts(name, value, found, scored) for name, value in scored.levels.items()]
    background = scored.background
    return {
        "megabases": scored_megabases(scored.tracks),
        "background_megabases": background.megabases if background else None,
        "scan_seconds": scored.seconds,
        "curves": curves,
        "levels": levels,
    }


def _grid(tracks: Sequence[Track], truth: Truth) -> list[float]:
    """Return thresholds from the best call down, each with some more calls than the one before."""
    scores = np.sort(ranked(tracks, truth)["score"].to_numpy())[::-1]
    last = min(len(scores), _CALLS_PER_SITE * max(len(sites) for sites in truth.sites.values()))
    ranks = np.unique(np.rint(np.geomspace(1, max(1, last), _STEPS)).astype(int)) - 1
    return scores[ranks].tolist()


def ranked(tracks: Sequence[Track], truth: Truth) -> pd.DataFrame:
    """Return all summits of non-maximum suppression, the best first."""
    calls = call_peaks(tracks, threshold=_lowest(tracks), method="nms", **truth.rules)
    return calls.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _lowest(tracks: Sequence[Track]) -> float:
    return min(float(np.nanmin(track.values)) for track in tracks if not np.isnan(track.values).all())


def _curve_facts(name: str, curve: TruthCurve) -> dict[str, Any]:
    low, high = curve.auprc_interval or (math.nan, math.nan)
    best = {key: plain(curve.best[key]) for key in ("threshold", "calls", "precision", "recall", "f1")}
    return {
        "truth": name,
        "tolerance": curve.tolerance,
        "sites": curve.sites,
        "auprc": Estimate(curve.auprc, low, high).as_dict(),
        "best": best,
    }


def _level_facts(name: str, value: float, curves: Mapping[str, TruthCurve], scored: Scored) -> dict[str, Any]:
    rows = {truth: curve.table[curve.table["threshold"] == value].iloc[0] for truth, curve in curves.items()}
    calls = int(rows["strong"]["calls"])
    figures = {
        f"{figure}_{truth}": Estimate(*(float(row[key]) for key in (figure, f"{figure}_low", f"{figure}_high"))).as_dict()
        for truth, row in rows.items()
        for figure in ("precision", "recall")
    }
    return {
        "level": name,
        "tolerance": curves["strong"].tolerance,
        "threshold": value,
        "expected_per_mb": None if scored.background is None else float(scored.background.expected_per_mb(value)),
        "calls": calls,
        "calls_per_mb": calls / scored_megabases(scored.tracks),
        **figures,
    }


def threshold_of_count(tracks: Sequence[Track], truth: Truth, count: int) -> float:
    """Return the lowest threshold, as far as bisection finds it, with at most ``count`` merged calls."""
    scores = np.unique(ranked(tracks, truth)["score"].to_numpy())
    low, high = 0, len(scores) - 1
    while low < high:
        middle = (low + high) // 2
        calls = call_peaks(tracks, threshold=float(scores[middle]), **truth.rules)
        low, high = (middle + 1, high) if len(calls) > count else (low, middle)
    return float(scores[low])


def auprc_difference(
    first: Sequence[Track], second: Sequence[Track], truth: Truth, *, tolerance: int, name: str = "strong"
) -> dict[str, Any]:
    """Return the AUPRC of both and first minus second, the same blocks drawn for both."""
    blocks = pd.unique(pd.concat([_block_names(frame, truth.block) for frame in _places((first, second), truth, name)]))
    numbers = pd.Series(np.arange(len(blocks)), index=blocks)
    statistics = [_auprc(tracks, truth, numbers, tolerance, name) for tracks in (first, second)]
    found = paired_bootstrap(*statistics, len(blocks), n_boot=truth.draws, seed=truth.seed)
    return found["auprc"].as_dict()


def _places(both: Sequence[Sequence[Track]], truth: Truth, name: str) -> list[pd.DataFrame]:
    """Return where anything is that counts: calls of both scans and sites, contig and position."""
    calls = [ranked(tracks, truth).rename(columns={"summit": "position"}) for tracks in both]
    return [frame[["contig", "position"]] for frame in (*calls, truth.sites[name])]


def _block_names(frame: pd.DataFrame, block: int) -> pd.Series:
    return frame["contig"] + ":" + (frame["position"] // block).astype(str)


def _auprc(
    tracks: Sequence[Track], truth: Truth, numbers: pd.Series, tolerance: int, name: str
) -> Statistic:
    """Return average precision as a function of how often each block is drawn."""
    calls, sites = ranked(tracks, truth), truth.sites[name].drop_duplicates(["contig", "position", "strand"])
    right = match_sites(calls, sites, tolerance=tolerance, circular=truth.circular).true_calls
    best = best_scores(calls, sites, tolerance=tolerance, circular=truth.circular)
    reached = np.isfinite(best)
    above = np.searchsorted(-calls["score"].to_numpy(), -best[reached], side="right") - 1
    last = int(above.max(initial=-1)) + 1
    names = _block_names(calls.rename(columns={"summit": "position"}), truth.block)
    of_call = names.map(numbers).to_numpy(int)[:last]
    of_site = _block_names(sites, truth.block).map(numbers).to_numpy(int)

    def statistic(weights: Array) -> Figures:
        figures = [_drawn(row[of_call], right[:last], above, row[of_site], reached) for row in weights]
        return {"auprc": np.array(figures)}

    return statistic


def _drawn(calls: Array, right: Array, above: Array, sites: Array, reached: Array) -> float:
    """Return average precision where calls and sites count as often as these weights say."""
    total = sites.sum()
    if not total:
        return math.nan
    seen = np.cumsum(calls)[above]
    precision = np.cumsum(calls * right)[above] / np.maximum(seen, 1)
    return float((precision * sites[reached]).sum() / total)


def compare(
    first: Sequence[Track], second: Sequence[Track], truth: Truth, *, levels: Mapping[str, float], tolerance: int
) -> dict[str, Any]:
    """Return how far the second scan agrees with the first: scores, AUPRC, calls gained and lost.

    A call is lost where the second has none within ``tolerance`` bp of its summit on its strand, and gained
    the other way round.
    """
    pairs = [(left.values, right.values) for left, right in zip(first, second, strict=True)]
    left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
    both = ~np.isnan(left) & ~np.isnan(right)
    odds = [logit(np.clip(side[both].astype(np.float64), _LEAST, _MOST)) for side in (left, right)]
    return {
        "windows": int(both.sum()),
        "logit_correlation": float(np.corrcoef(*odds)[0, 1]),
        "logit_mean_difference": float(np.mean(odds[1] - odds[0])),
        "tolerance": tolerance,
        "auprc": auprc_difference(first, second, truth, tolerance=tolerance),
        "levels": [_gained_and_lost(first, second, truth, name, value, tolerance) for name, value in levels.items()],
    }


def _gained_and_lost(
    first: Sequence[Track], second: Sequence[Track], truth: Truth, name: str, threshold: float, tolerance: int
) -> dict[str, Any]:
    before, after = (call_peaks(tracks, threshold=threshold, **truth.rules) for tracks in (first, second))
    near = {"tolerance": tolerance, "circular": truth.circular}
    kept = match_sites(before, after.rename(columns={"summit": "position"}), **near).true_calls
    known = match_sites(after, before.rename(columns={"summit": "position"}), **near).true_calls
    counts = {"first": len(before), "second": len(after), "lost": int((~kept).sum()), "gained": int((~known).sum())}
    return {"level": name, "threshold": threshold, **counts}


def unit_starts(genes: pd.DataFrame, *, gap: int) -> pd.DataFrame:
    """Return the starts of genes that begin a transcription unit, as ``contig, position, strand``.

    That is a gene whose neighbour on its 5' side lies on the other strand or more than ``gap`` bp away. The
    outermost genes, whose neighbour is not known, and genes cut off at the 5' end are left out.
    """
    rows = []
    for contig, part in genes.groupby("contig", sort=False):
        part = part.sort_values(["start", "end"])
        starts, ends, strands = (part[name].to_numpy() for name in ("start", "end", "strand"))
        for row, whole in enumerate((part["kind"] == "CDS").tolist()):
            plus = strands[row] == "+"
            other = row - 1 if plus else row + 1
            if not whole or not 0 <= other < len(part):
                continue
            space = starts[row] - ends[other] if plus else starts[other] - ends[row]
            if strands[other] != strands[row] or space > gap:
                rows.append((contig, int(starts[row] if plus else ends[row] - 1), strands[row]))
    return pd.DataFrame(rows, columns=["contig", "position", "strand"])


def gene_start_figures(
    calls: pd.DataFrame, starts: pd.DataFrame, lengths: Mapping[str, int], *, reach: int, block: int, draws: int, seed: int
) -> dict[str, Any]:
    """Return how many gene starts have a call at most ``reach`` bp upstream, against calls that lay anywhere.

    ``other_strand`` is the share with a call in the same stretch on the other strand: what the composition
    of the stretch alone would give there, and the promoters of genes that are read away from this one.
    """
    sides = {"share": starts, "other_strand": starts.assign(strand=starts["strand"].map({"+": "-", "-": "+"}))}
    upstream = starts["position"] - np.where(starts["strand"] == "+", 1, -1) * (reach // 2)
    found = {
        name: match_sites(calls, frame.assign(position=upstream), tolerance=reach // 2).found.astype(float)
        for name, frame in sides.items()
    }
    found["expected"] = _by_chance(calls, starts, lengths, reach)
    _, numbers = np.unique(_block_names(starts, block), return_inverse=True)
    count = int(numbers.max(initial=-1)) + 1
    sums = {name: np.bincount(numbers, weights=values, minlength=count) for name, values in found.items()}
    starts_in = np.bincount(numbers, minlength=count).astype(float)

    def statistic(weights: Array) -> Figures:
        drawn = {name: weights @ values for name, values in sums.items()}
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = {name: values / (weights @ starts_in) for name, values in drawn.items()}
            return {**shares, "enrichment": drawn["share"] / drawn["expected"]}

    estimates = bootstrap(statistic, count, draws, seed)
    return {"calls": len(calls)} | {name: found.as_dict() for name, found in estimates.items()}


def _by_chance(calls: pd.DataFrame, starts: pd.DataFrame, lengths: Mapping[str, int], reach: int) -> np.ndarray:
    """Return for each start how likely one of its strand's calls would be upstream if they lay anywhere."""
    counts = calls.groupby(["contig", "strand"]).size()
    keys = zip(starts["contig"], starts["strand"], strict=True)
    chances = [1.0 - (1.0 - (reach + 1) / lengths[key[0]]) ** int(counts.get(key, 0)) for key in keys]
    return np.array(chances, dtype=np.float64)


PROMOTECH_SITES = ("first", "middle", "last")


def promotech_tracks(path: Path, contig: str, size: int, where: Intervals, *, site: str) -> list[Track]:
    """Return Promotech's published predictions as tracks, NaN where it published none.

    Parameters
    ----------
    path : path
        Tab-separated ``chrom, start, end, score, strand, sequence``: plus-strand coordinates, 0-based with
        ``end`` inclusive.
    contig, size
        Name and length of the contig.
    where : sequence of (int, int)
        Only sites in these.
    site : {"first", "middle", "last"}
        Which base of a prediction, read on its strand, stands for the start.
    """
    with open_text(path) as handle:
        table = pd.read_csv(handle, sep="\t", usecols=["chrom", "start", "end", "score", "strand"])
    table = table[table["chrom"] == contig]
    if table.empty:
        raise GenolmError(f"{path} has no prediction on {contig}.")
    width = table["end"] - table["start"]
    offset = {"first": width * 0, "middle": (width + 1) // 2, "last": width}[site]
    place = np.where(table["strand"] == "+", table["start"] + offset, table["end"] - offset)
    kept = np.zeros(len(table), dtype=bool)
    for start, end in where:
        kept |= (place >= start) & (place < end)
    tracks = []
    for strand in "+-":
        rows = kept & (table["strand"] == strand).to_numpy()
        values = np.full(size, -np.inf, dtype=np.float32)
        np.maximum.at(values, place[rows], table["score"].to_numpy(np.float32)[rows])
        values[np.isinf(values)] = np.nan
        tracks.append(Track(contig, strand, 0, 1, 1, values))
    return tracks


def plain(value: float) -> float | None:
    """Return None for NaN, as JSON needs it."""
    return None if value != value else float(value)
