"""How scans are judged in the proof: against known starts, against another scan, and against gene starts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from genolm.bootstrap import Array, Estimate, Figures, Statistic, bootstrap, paired_bootstrap
from genolm.calibration import log_odds
from genolm.peaks import call_peaks
from genolm.significance import Background, scored_megabases
from genolm.site_matching import best_scores, match_sites
from genolm.tracks import Track
from genolm.truth import TruthCurve, truth_curve
from genolm.truth_intervals import Blocks

EXPECTED = (1.0, 10.0, 100.0)
"""Expected false calls per Mb of strand."""
RECALLS = (0.1, 0.2, 0.4, 0.6)
_STEPS = 60
_CALLS_PER_SITE = 20
_LEAST = 1e-7
"""Scores of a scan are told apart down to so much."""


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
    megabases : float
        Mb of strand that are judged.
    block : int
        Bases of a block that intervals are drawn over.
    draws, seed : int
    """

    sites: Mapping[str, pd.DataFrame]
    tolerances: tuple[int, ...]
    window: int
    circular: Mapping[str, int]
    megabases: float
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
    grid, blocks = _grid(scored.tracks, truth), whole_blocks(scored.tracks, truth.block)
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
                blocks=blocks,
                **truth.rules,
            )
            for name, sites in truth.sites.items()
        }
        curves += [_curve_facts(name, curve, truth) for name, curve in found.items()]
        rows = {name: curve.table.set_index("threshold") for name, curve in found.items()}
        for name, value in scored.levels.items():
            expected = None if scored.background is None else float(scored.background.expected_per_mb(value))
            facts = {"level": name, "tolerance": tolerance, "threshold": value, "expected_per_mb": expected}
            levels.append(
                facts | _level_facts({kind: table.loc[value] for kind, table in rows.items()}, truth)
            )
    background = scored.background
    return {
        "megabases": scored_megabases(scored.tracks),
        "background_megabases": background.megabases if background else None,
        "scan_seconds": scored.seconds,
        "curves": curves,
        "levels": levels,
    }


def whole_blocks(tracks: Sequence[Track], size: int) -> Blocks:
    """Return the blocks from the first base of each contig on, as the data were divided by.

    Those that were not scanned are drawn as well: how many scanned ones a draw holds varies, and intervals are a
    little wider for it.
    """
    ends: dict[str, int] = {}
    for track in tracks:
        ends[track.contig] = max(ends.get(track.contig, 1), track.end)
    return Blocks(size, {name: np.arange(end // size + 1) * size for name, end in ends.items()})


def _grid(tracks: Sequence[Track], truth: Truth) -> list[float]:
    """Return thresholds from the best call down, each with some more calls than the one before."""
    scores = np.sort(ranked(tracks, truth.rules)["score"].to_numpy())[::-1]
    last = min(len(scores), _CALLS_PER_SITE * max(len(sites) for sites in truth.sites.values()))
    ranks = np.unique(np.rint(np.geomspace(1, max(1, last), _STEPS)).astype(int)) - 1
    return scores[ranks].tolist()


def ranked(tracks: Sequence[Track], rules: Mapping[str, Any]) -> pd.DataFrame:
    """Return all summits of non-maximum suppression, the best first."""
    calls = call_peaks(tracks, threshold=_lowest(tracks), method="nms", **rules)
    return calls.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _lowest(tracks: Sequence[Track]) -> float:
    return min(float(np.nanmin(track.values)) for track in tracks if not np.isnan(track.values).all())


def _curve_facts(name: str, curve: TruthCurve, truth: Truth) -> dict[str, Any]:
    low, high = curve.auprc_interval or (math.nan, math.nan)
    best = {key: plain(curve.best[key]) for key in ("threshold", "calls", "precision", "recall", "f1")}
    return {
        "truth": name,
        "tolerance": curve.tolerance,
        "sites": curve.sites,
        "auprc": Estimate(curve.auprc, max(low, 0.0), high).as_dict(),
        "best": best,
        "at_recall": [_at_recall(curve.table, recall, truth) for recall in RECALLS],
    }


def _at_recall(table: pd.DataFrame, recall: float, truth: Truth) -> dict[str, Any]:
    """Return the most precise threshold that finds this share of the sites; None where none does."""
    reached = table[table["recall"] >= recall]
    if reached.empty:
        return {
            "recall": recall,
            "threshold": None,
            "calls_per_mb": None,
            "precision": _figure({}, "precision"),
        }
    row = reached.loc[reached["precision"].idxmax()]
    rate = float(row["calls"]) / truth.megabases
    facts = {"recall": recall, "threshold": float(row["threshold"]), "calls_per_mb": rate}
    return facts | {"precision": _figure(row, "precision")}


def _level_facts(rows: Mapping[str, Mapping[str, float]], truth: Truth) -> dict[str, Any]:
    """Return what a threshold gives, from its row of each kind of sites."""
    calls = int(rows["strong"]["calls"])
    figures = {
        f"{name}_{kind}": _figure(row, name) for kind, row in rows.items() for name in ("precision", "recall")
    }
    unknown = calls - int(rows["all"]["true_calls"])
    rates = {"calls_per_mb": calls / truth.megabases, "unknown_per_mb": unknown / truth.megabases}
    return {"calls": calls, **rates, **figures}


def _figure(row: Mapping[str, float], name: str) -> dict[str, float | None]:
    """Return a figure of a row with its interval."""
    return Estimate(
        *(float(row.get(key, math.nan)) for key in (name, f"{name}_low", f"{name}_high"))
    ).as_dict()


def threshold_of_count(tracks: Sequence[Track], count: int, **rules: Any) -> float:
    """Return the lowest threshold, as far as bisection finds it, with at most ``count`` merged calls.

    ``rules`` are options of :func:`genolm.peaks.call_peaks`.
    """
    scores = np.unique(ranked(tracks, rules)["score"].to_numpy())
    low, high = 0, len(scores) - 1
    while low < high:
        middle = (low + high) // 2
        calls = call_peaks(tracks, threshold=float(scores[middle]), **rules)
        low, high = (middle + 1, high) if len(calls) > count else (low, middle)
    return float(scores[low])


def auprc_difference(
    first: Sequence[Track], second: Sequence[Track], truth: Truth, *, tolerance: int, kind: str = "strong"
) -> dict[str, Any]:
    """Return the AUPRC of both and first minus second, the same blocks drawn for both."""
    sites = truth.sites[kind].drop_duplicates(["contig", "position", "strand"])
    rankings = [
        ranked(tracks, truth.rules).rename(columns={"summit": "position"}) for tracks in (first, second)
    ]
    blocks = pd.unique(pd.concat([_block_names(frame, truth.block) for frame in (*rankings, sites)]))
    numbers = pd.Series(np.arange(len(blocks)), index=blocks)
    rules = {"tolerance": tolerance, "circular": truth.circular}
    statistics = [
        _auprc(calls, sites, lambda frame: _block_names(frame, truth.block).map(numbers), rules)
        for calls in rankings
    ]
    found = paired_bootstrap(*statistics, len(blocks), n_boot=truth.draws, seed=truth.seed)
    return found["auprc"].as_dict()


def _block_names(frame: pd.DataFrame, block: int) -> pd.Series:
    return frame["contig"] + ":" + (frame["position"] // block).astype(str)


def _auprc(
    calls: pd.DataFrame,
    sites: pd.DataFrame,
    number: Callable[[pd.DataFrame], pd.Series],
    rules: Mapping[str, Any],
) -> Statistic:
    """Return average precision as a function of how often each block is drawn; calls come best first."""
    summits = calls.rename(columns={"position": "summit"})
    right, best = match_sites(summits, sites, **rules).true_calls, best_scores(summits, sites, **rules)
    reached = np.isfinite(best)
    above = np.searchsorted(-calls["score"].to_numpy(), -best[reached], side="right") - 1
    # What lies below the last start that is found changes nothing.
    last = int(above.max(initial=-1)) + 1
    of_call, of_site = (number(frame).to_numpy(int) for frame in (calls[:last], sites))

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
    first: Sequence[Track],
    second: Sequence[Track],
    truth: Truth,
    *,
    levels: Mapping[str, float],
    tolerance: int,
) -> dict[str, Any]:
    """Return how far the second scan agrees with the first: scores, AUPRC, calls gained and lost.

    A call is lost where the second has none within ``tolerance`` bp of its summit on its strand, and gained
    the other way round.
    """
    pairs = [(left.values, right.values) for left, right in zip(first, second, strict=True)]
    left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
    both = ~np.isnan(left) & ~np.isnan(right)
    odds = [log_odds(side[both], least=_LEAST) for side in (left, right)]
    return {
        "windows": int(both.sum()),
        "logit_correlation": float(np.corrcoef(*odds)[0, 1]),
        "logit_mean_difference": float(np.mean(odds[1] - odds[0])),
        "tolerance": tolerance,
        "auprc": auprc_difference(first, second, truth, tolerance=tolerance),
        "levels": [
            _gained_and_lost(first, second, truth, name, value, tolerance) for name, value in levels.items()
        ],
    }


def _gained_and_lost(
    first: Sequence[Track], second: Sequence[Track], truth: Truth, name: str, threshold: float, tolerance: int
) -> dict[str, Any]:
    before, after = (call_peaks(tracks, threshold=threshold, **truth.rules) for tracks in (first, second))
    near = {"tolerance": tolerance, "circular": truth.circular}
    kept = match_sites(before, after.rename(columns={"summit": "position"}), **near).true_calls
    known = match_sites(after, before.rename(columns={"summit": "position"}), **near).true_calls
    counts = {
        "first": len(before),
        "second": len(after),
        "lost": int((~kept).sum()),
        "gained": int((~known).sum()),
    }
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
    calls: pd.DataFrame,
    starts: pd.DataFrame,
    lengths: Mapping[str, int],
    *,
    reach: int,
    block: int,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Return how many gene starts have a call at most ``reach`` bp upstream, against calls that lay anywhere.

    ``other_strand`` is the share with a call in the same stretch on the other strand: what the composition
    of the stretch alone would give there, and the promoters of genes that are read away from this one.
    """
    sides = {
        "share": starts,
        "other_strand": starts.assign(strand=starts["strand"].map({"+": "-", "-": "+"})),
    }
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


def _by_chance(
    calls: pd.DataFrame, starts: pd.DataFrame, lengths: Mapping[str, int], reach: int
) -> np.ndarray:
    """Return for each start how likely one of its strand's calls would be upstream if they lay anywhere."""
    counts = calls.groupby(["contig", "strand"]).size()
    keys = zip(starts["contig"], starts["strand"], strict=True)
    chances = [1.0 - (1.0 - (reach + 1) / lengths[key[0]]) ** int(counts.get(key, 0)) for key in keys]
    return np.array(chances, dtype=np.float64)


def plain(value: float) -> float | None:
    """Return None for NaN, as JSON needs it."""
    return None if math.isnan(value) else float(value)
