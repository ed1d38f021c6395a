"""The original's figure of a scan as a scored result: 40,000 bases of E. coli, known starts, by strand.

The original looked at bases 800,001 to 840,000 of its genome, which hold promoters that our model was trained
on too: that stretch is told as one of a training block, and beside it one of a test block that no training saw. What
is found is compared with the starts of RegulonDB within some bases of each, on their own strand, and with the
5' ends of genes.

``original-rules`` does with the same model what the original did with its own: the plus strand alone, windows
every 50 bases, a call wherever the probability is above one half, at the window's middle, no calls merged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from common import ECOLI_GENBANK, AnnotatedGenome, five_prime, overlaps, read_genbank, source_file, strand_of
from ecoli_promoter_data import build
from ecoli_promoter_sites import REGULONDB, Settings, block_splits, read_tss
from run_parts import available, difference, figure_part, method, rounded, scored
from scan_proof_baselines import KMER, POSITIONAL, SlidingEngine, fit
from scan_proof_ground import Store, packed, unpacked
from scan_proof_judging import Truth, auprc_difference

from genolm.baselines import Examples
from genolm.bootstrap import Array, Figures, bootstrap
from genolm.config import Window
from genolm.errors import GenolmError
from genolm.figure_parts import BLUE, GREEN, GREY, VERMILION, laid_out, new_figure
from genolm.peaks import call_peaks
from genolm.predict import Predictor
from genolm.recipe_run import RecipeTask
from genolm.registry import ModelBundle
from genolm.result_row import BASELINE_TITLES
from genolm.scan import scan_genome
from genolm.site_matching import match_sites
from genolm.tracks import Track

ORIGINAL_RULES = "original-rules"
BASELINES = (KMER, POSITIONAL)
TITLES = {
    "original": "The original's stretch, on whose block the model was trained",
    "held_out": "A stretch of a test block",
}
ALL, GENES = "all", "genes"
NEAR = 20
ORIGINAL_STEP, ORIGINAL_THRESHOLD = 50, 0.5
BLOCK = 2_000
BIN = 20
DRAWS = 1000


@dataclass
class Scan40:
    """The genome, its known starts and the stretches.

    Attributes
    ----------
    task : RecipeTask
        Its options are ``stretches`` (protocol key to first base, from 0, and end), ``stride`` and ``model``.
    bundle : ModelBundle
    """

    task: RecipeTask
    bundle: ModelBundle

    def __post_init__(self) -> None:
        self.store = Store(self.task.out / "parts.json")
        self.predictor = Predictor(self.bundle)
        self.genome: AnnotatedGenome = read_genbank(source_file(self.task.data, ECOLI_GENBANK))
        self.tss = read_tss(source_file(self.task.data, REGULONDB), self.genome)[0]
        self.stride = int(self.task.options.get("stride", 2))
        self.stretches = {key: tuple(map(int, span)) for key, span in self.task.options["stretches"].items()}
        for key, span in self.stretches.items():
            if overlaps(*span, self.genome.reserved):
                raise GenolmError(f"The stretch {key} overlaps the reserved bases {self.genome.reserved}.")

    @property
    def contigs(self) -> dict[str, int]:
        """Of the genome, for scans."""
        return {self.genome.contig: len(self.genome.sequence)}

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Return bases of the one record."""
        return self.genome.fetch(contig, start, end)

    def parts_of(self, span: tuple[int, int]) -> list[str]:
        """Return which parts of the model's data the blocks of a stretch belong to."""
        settings = Settings()
        splits = block_splits(len(self.genome.sequence), self.genome.reserved, settings)
        return sorted(set(splits[span[0] // settings.block : -(-span[1] // settings.block)]))

    def tracks(self, name: str, key: str) -> list[Track]:
        """Return the scores of the model or a baseline on a stretch."""
        facts = {"model": self.bundle.sha256, "stretch": self.stretches[key], "stride": self.stride}
        arrays = self.store.arrays(f"{key}-{name}", facts, partial(self._scan, name, key))
        return unpacked(arrays, self.genome.contig)

    def _scan(self, name: str, key: str) -> dict[str, Any]:
        self.task.say(f"scanning {key} with {name}")
        engine = SlidingEngine(name, self.fitted(name)) if name in BASELINES else None
        regions = {self.genome.contig: [self.stretches[key]]}
        return packed(scan_genome(self, self.predictor, stride=self.stride, engine=engine, regions=regions))

    def fitted(self, name: str) -> dict[str, np.ndarray]:
        """Return a baseline fitted on the rows of ecoli_promoter_data.py, windows as the model's."""
        window = self.bundle.config.window
        facts = {"window": [window.length, window.anchor], "baseline": name}
        make = partial(self._fit, name)
        return self.store.arrays(f"fit-{name}", facts, make)

    def _fit(self, name: str) -> dict[str, np.ndarray]:
        return fit(name, self._rows("train"), self._rows("valid"))

    def _rows(self, split: str) -> Examples:
        rows = self._table[self._table["split"] == split]
        return Examples(rows["sequence"].tolist(), rows["label"].to_numpy(np.int64))

    @cached_property
    def _table(self) -> pd.DataFrame:
        window = self.bundle.config.window
        settings = Settings(before=window.anchor, after=window.length - window.anchor)
        return build(self.genome, self.tss, settings).table

    def threshold(self, name: str) -> float:
        """Return the probability from which a method calls in a scan."""
        if name in BASELINES:
            return float(self.fitted(name)["threshold"])
        return self.bundle.config.calibration.for_scans

    def sites(self, span: tuple[int, int]) -> dict[str, pd.DataFrame]:
        """Return known starts of a stretch, well supported and all, and the 5' ends of its genes."""
        sound = self.tss[self.tss["agrees"]].assign(contig=self.genome.contig)
        strong = sound[sound["confidence"].isin(["C", "S"])]
        frames = {"strong": strong, ALL: sound, GENES: self._gene_starts()}
        return {name: _inside(frame, span) for name, frame in frames.items()}

    def _gene_starts(self) -> pd.DataFrame:
        rows = []
        for feature in self.genome.of_type("gene"):
            start, end, strand = int(feature.location.start), int(feature.location.end), strand_of(feature)
            rows.append((self.genome.contig, five_prime(start, end, strand), strand))
        return pd.DataFrame(rows, columns=["contig", "position", "strand"])


def _inside(sites: pd.DataFrame, span: tuple[int, int]) -> pd.DataFrame:
    kept = sites[(sites["position"] >= span[0]) & (sites["position"] < span[1])]
    return kept[["contig", "position", "strand"]].drop_duplicates().reset_index(drop=True)


def run(task: RecipeTask) -> dict[str, Any]:
    """Scan both stretches, judge the scans and draw them."""
    name = task.options.get("model", "ecoli-promoter")
    bundles, missing = available(task, [name])
    result: dict[str, Any] = {"protocols": {}, "methods": {}, "scores": {}, "differences": [], "figures": []}
    if name in bundles:
        scan = Scan40(task, bundles[name])
        result["methods"] = _methods(bundles[name])
        for key in scan.stretches:
            _add_stretch(scan, key, result)
    return {**result, "missing": missing}


def _methods(bundle: ModelBundle) -> dict[str, Any]:
    return {
        bundle.name: method(bundle.config.title),
        ORIGINAL_RULES: method("The same model by the original's rules"),
        **{name: method(BASELINE_TITLES[name], kind="baseline") for name in BASELINES},
    }


def _add_stretch(scan: Scan40, key: str, result: dict[str, Any]) -> None:
    span, own = scan.stretches[key], scan.bundle.name
    sites = scan.sites(span)
    names = (own, *BASELINES)
    tracks = {name: scan.tracks(name, key) for name in names}
    calls = {name: _calls(scan, tracks[name], scan.threshold(name)) for name in names}
    calls[ORIGINAL_RULES] = original_calls(tracks[own][0], scan.bundle.config.window, span)
    figures = {name: call_figures(found, sites, span) for name, found in calls.items()}
    for other in BASELINES:
        for kind in ("strong", ALL):
            _add_auprc(scan, key, (own, other, kind), tracks, (figures, result))
    blocks = scan.parts_of(span)
    result["protocols"][key] = {
        "title": f"{TITLES.get(key, key)}, {span[0] + 1:,} to {span[1]:,}",
        "rows": {"test": len(sites["strong"])},
        "seen": "train" in blocks,
        "record": {
            "blocks": blocks,
            "known_starts": {name: len(frame) for name, frame in sites.items()},
            "thresholds": {name: round(scan.threshold(name), 4) for name in names},
            "calls": {name: len(found) for name, found in calls.items()},
        },
    }
    result["scores"][key] = {name: {"seeds": [scored(item)]} for name, item in figures.items()}
    result["figures"].append(_figure(scan, key, tracks[own], sites))


def _calls(scan: Scan40, tracks: list[Track], threshold: float) -> pd.DataFrame:
    return call_peaks(tracks, threshold=threshold, window_length=scan.bundle.config.window.length)


def original_calls(plus: Track, window: Window, span: tuple[int, int]) -> pd.DataFrame:
    """Return the calls that the original's rules give, from the scores of the plus strand.

    A score stands at its window's anchor; the original put its windows every 50 bases and called at their
    middle.
    """
    scores = np.asarray(plus.values)
    sites = plus.start + np.arange(len(scores)) * plus.step + plus.span // 2
    first = np.searchsorted(sites, span[0])
    picked = np.arange(first, np.searchsorted(sites, span[1]), max(1, ORIGINAL_STEP // plus.step))
    called = picked[scores[picked] > ORIGINAL_THRESHOLD]
    middle = sites[called] - window.anchor + window.length // 2
    frame = {"contig": plus.contig, "summit": middle, "strand": "+", "score": scores[called]}
    return pd.DataFrame(frame).reset_index(drop=True)


def call_figures(
    calls: pd.DataFrame, sites: Mapping[str, pd.DataFrame], span: tuple[int, int]
) -> dict[str, Any]:
    """Return precision and recall of calls at each kind of sites, with intervals over blocks."""
    count = -(-(span[1] - span[0]) // BLOCK)
    block = {name: _block_of(frame["position"], span) for name, frame in sites.items()}
    of_call = _block_of(calls["summit"], span)
    found = {}
    for name, frame in sites.items():
        matches = match_sites(calls, frame, tolerance=NEAR)
        right = np.bincount(of_call, weights=matches.true_calls, minlength=count)
        hit = np.bincount(block[name], weights=matches.found, minlength=count)
        parts = (right, np.bincount(of_call, minlength=count), hit, np.bincount(block[name], minlength=count))
        for figure, estimate in bootstrap(partial(_shares, parts), count, DRAWS, 1).items():
            found[figure if name == "strong" else f"{figure}_{name}"] = estimate
    return found


def _block_of(places: pd.Series, span: tuple[int, int]) -> np.ndarray:
    inside = np.clip(places.to_numpy(np.int64), span[0], span[1] - 1)
    return (inside - span[0]) // BLOCK


def _shares(parts: tuple[Array, ...], weights: Array) -> Figures:
    right, calls, hit, known = (weights @ part for part in parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"precision": right / calls, "recall": hit / known}


def _add_auprc(
    scan: Scan40,
    key: str,
    pair: tuple[str, str, str],
    tracks: Mapping[str, list[Track]],
    into: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Add the AUPRC of the model and a baseline against one kind of starts, and the model's lead."""
    (own, other, kind), (figures, result) = pair, into
    span = scan.stretches[key]
    truth = Truth(
        sites=scan.sites(span),
        tolerances=(NEAR,),
        window=scan.bundle.config.window.length,
        circular={},
        megabases=2 * (span[1] - span[0]) / 1e6,
        block=BLOCK,
        draws=DRAWS,
        seed=1,
    )
    metric = "auprc" if kind == "strong" else f"auprc_{kind}"
    found = auprc_difference(tracks[own], tracks[other], truth, tolerance=NEAR, kind=kind)
    figures[own][metric], figures[other][metric] = found["a"], found["b"]
    result["differences"].append(difference((key, own, other), metric, found["difference"], found["p"]))


def _figure(scan: Scan40, key: str, tracks: list[Track], sites: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return the score along the stretch, plus strand up, minus strand down, with starts and genes."""
    span, plot = scan.stretches[key], new_figure()
    for track, sign, colour in zip(tracks, (1, -1), (BLUE, GREEN), strict=True):
        highest = binned(track, span) * sign
        line = {"color": colour, "width": 1}
        words = f"score, {'plus' if sign > 0 else 'minus'} strand"
        places = {"x0": span[0] + 1, "dx": BIN, "y": rounded(highest, 3)}
        plot.add_trace(go.Scatter(**places, name=words, mode="lines", line=line))
    marks = ((ALL, "known start", VERMILION, 1.06, "triangle"), (GENES, "gene start", GREY, 1.14, "arrow"))
    for kind, words, colour, height, symbol in marks:
        _add_marks(plot, sites[kind], words, (colour, height, symbol))
    threshold = scan.threshold(scan.bundle.name)
    for sign in (1, -1):
        plot.add_hline(y=sign * threshold, line={"color": GREY, "dash": "dot", "width": 1})
    plot.update_yaxes(title="probability; minus strand below 0", range=[-1.22, 1.22])
    plot.update_xaxes(title=f"position in {scan.genome.contig}")
    seen = "the model was trained on it" if "train" in scan.parts_of(span) else "no training saw it"
    caption = (
        f"Highest score in every {BIN} bases on both strands; dotted: the model's threshold of scans."
        " Orange triangles are the starts of RegulonDB, small grey ones farther out the 5' ends of genes, each on"
        f" its strand. Of this stretch: {seen}."
    )
    return figure_part(f"scan-{key}", f"Scan of {span[0] + 1:,} to {span[1]:,}", caption, laid_out(plot, 460))


def binned(track: Track, span: tuple[int, int]) -> np.ndarray:
    """Return the highest score of each run of 20 bases of a stretch, NaN where there is none."""
    sites = track.start + np.arange(len(track.values)) * track.step + track.span // 2
    inside = (sites >= span[0]) & (sites < span[1]) & ~np.isnan(track.values)
    found = np.full(-(-(span[1] - span[0]) // BIN), -np.inf)
    np.maximum.at(found, (sites[inside] - span[0]) // BIN, np.asarray(track.values)[inside])
    return np.where(np.isinf(found), np.nan, found)


def _add_marks(plot: go.Figure, sites: pd.DataFrame, words: str, look: tuple[str, float, str]) -> None:
    colour, height, symbol = look
    for strand, sign, turned in (("+", 1, "right"), ("-", -1, "left")):
        here = sites.loc[sites["strand"] == strand, "position"]
        plot.add_trace(
            go.Scatter(
                x=(here + 1).tolist(),
                y=[sign * height] * len(here),
                mode="markers",
                name=words,
                legendgroup=words,
                showlegend=sign > 0,
                marker={"symbol": f"{symbol}-{turned}", "size": 8, "color": colour},
            )
        )
