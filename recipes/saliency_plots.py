"""What the promoter models look at: saliency of known promoters and its share in the -35 and -10 boxes.

All promoters are of the test blocks of ecoli_promoter_data.py or of human chromosome 21: no training saw
them. A base's saliency is how much the log-odds of the call fall, on average, when stretches that hold it are
replaced by random ones (:mod:`genolm.saliency`). The figure that goes with the plots is worked out over many
test promoters: the share of all saliency above 0 that lies in the two boxes, and as a control the same in
windows that hold no promoter.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from Bio.SeqIO.FastaIO import SimpleFastaParser
from common import ECOLI_GENBANK, AnnotatedGenome, cut, open_text, read_genbank, source_file, window_around
from ecoli_promoter_data import build
from ecoli_promoter_sites import NATURAL_KINDS, REGULONDB, Settings, block_splits, read_tss
from run_parts import available, figure_part, method, rounded, scored
from scan_proof_ground import Store

from genolm.bootstrap import Array, Estimate, Figures, bootstrap
from genolm.config import Window
from genolm.errors import GenolmError
from genolm.figure_parts import BLUE, GREY, VERMILION, laid_out, new_figure
from genolm.predict import Predictor
from genolm.recipe_run import RecipeTask
from genolm.registry import ModelBundle
from genolm.saliency import Saliency, perturbation_saliency

HUMAN = "human_grch37/chr21.GRCh37.fa.gz"
HUMAN_TSS = "human_grch37/epdnew006_tss_hg19.bed.gz"
BOXES = {"minus_35": (-38, -30), "minus_10": (-14, -6)}
"""First and last base of the boxes, counted from the start, which is +1; there is no base 0."""
PROMOTERS, OTHERS = "promoters", "no-promoters"
TITLES = {PROMOTERS: "Promoters of the test blocks", OTHERS: "Windows of the test blocks without a promoter"}
EVEN = "even"
SMALL = {"lengths": (5,), "fills": 2}
"""What is replaced in the many windows: cheap, and the mean over windows makes up for it."""
ROWS_AT_ONCE = 10
N_BOOT = 2000


class Site(NamedTuple):
    """A promoter's window read on its strand, and the index of its start."""

    name: str
    sequence: str
    anchor: int


def run(task: RecipeTask) -> dict[str, Any]:
    """Plot single promoters and measure the boxes' share.

    Options: ``promoters`` (names in RegulonDB), ``windows`` (how many of each kind are measured), ``model``,
    ``human_model``, ``human_site`` (name in EPDnew), ``human_lengths``, ``fills``.
    """
    options = task.options
    store = Store(task.out / "parts.json")
    result: dict[str, Any] = {"protocols": {}, "methods": {}, "scores": {}, "figures": []}
    ecoli, human = options.get("model", "ecoli-promoter"), options.get("human_model", "human-promoter")
    bundles, missing = available(task, (ecoli, human))
    if ecoli in bundles:
        _add_ecoli(task, store, result, bundles[ecoli])
    if human in bundles:
        missing += _add_human(task, store, result, bundles[human])
    return {**result, "missing": missing}


def _add_ecoli(task: RecipeTask, store: Store, result: dict[str, Any], bundle: ModelBundle) -> None:
    window = _window(bundle)
    predictor = Predictor(bundle)
    genome = read_genbank(source_file(task.data, ECOLI_GENBANK))
    tss = read_tss(source_file(task.data, REGULONDB), genome)[0]
    fills = int(task.options.get("fills", 8))
    for name in task.options.get("promoters", ()):
        site = ecoli_site(name, genome, tss, window)
        found = _kept(store, f"ecoli-{name}", predictor, site, fills=fills)
        figure = _site_figure(f"saliency-ecoli-{name}", f"E. coli {name}", site, found, BOXES)
        result["figures"].append(figure)
    table = build(genome, tss, Settings(before=window.anchor, after=window.length - window.anchor)).table
    profiles = {}
    for kind, rows in test_windows(table, int(task.options.get("windows", 100))).items():
        task.say(f"saliency of {len(rows)} windows: {kind}")
        profiles[kind] = _profiles(store, kind, predictor, rows, window.anchor)
        result["protocols"][kind] = {"title": TITLES[kind], "rows": {"test": len(rows)}}
        result["scores"][kind] = {
            bundle.name: {"seeds": [scored(box_figures(profiles[kind], window.anchor))]},
            EVEN: {"seeds": [scored({"share_in_boxes": even_share(window)})]},
        }
    result["methods"] = {
        bundle.name: method(bundle.config.title),
        EVEN: method("If all bases counted alike", kind="control"),
    }
    result["figures"].append(_mean_figure(profiles, window.anchor))


def _window(bundle: ModelBundle) -> Window:
    window = bundle.config.window
    if window is None or window.anchor is None:
        raise GenolmError(f"The model '{bundle.name}' has no window with a site for a promoter's start.")
    return window


def ecoli_site(name: str, genome: AnnotatedGenome, tss: pd.DataFrame, window: Window) -> Site:
    """Return a promoter of RegulonDB; one that is not wholly in a test block is a :class:`GenolmError`."""
    found = tss[tss["name"] == name]
    if len(found) != 1:
        raise GenolmError(f"The promoter set has {len(found)} promoters called '{name}'; it must have one.")
    position, strand = int(found["position"].iloc[0]), str(found["strand"].iloc[0])
    span = window_around(position, strand, before=window.anchor, after=window.length - window.anchor)
    settings = Settings()
    splits = block_splits(len(genome.sequence), genome.reserved, settings)
    parts = {splits[place // settings.block] for place in (span[0], span[1] - 1)}
    if parts != {"test"}:
        words = " and ".join(sorted(parts))
        raise GenolmError(f"'{name}' lies in {words} blocks; choose one of the test blocks.")
    return Site(name, cut(genome.sequence, *span, strand), window.anchor)


def test_windows(table: pd.DataFrame, most: int) -> dict[str, list[str]]:
    """Return the sequences of some test rows with a promoter and of naturally drawn ones without."""
    test = table[table["split"] == "test"]
    kinds = {PROMOTERS: test[test["label"] == 1], OTHERS: test[test["kind"].isin(NATURAL_KINDS)]}
    return {
        kind: rows.sample(min(most, len(rows)), random_state=1)["sequence"].tolist()
        for kind, rows in kinds.items()
    }


def _profiles(
    store: Store, kind: str, predictor: Predictor, sequences: Sequence[str], anchor: int
) -> np.ndarray:
    """Return the saliency of each window, float32 (windows, bases), some windows at a time."""
    parts = []
    for first in range(0, len(sequences), ROWS_AT_ONCE):
        rows = sequences[first : first + ROWS_AT_ONCE]
        facts = {"model": predictor.bundle.sha256, "windows": rows, "how": SMALL}
        make = partial(_profile_arrays, predictor, rows, anchor)
        parts.append(store.arrays(f"{kind}-{first}", facts, make)["scores"])
    return np.concatenate(parts)


def _profile_arrays(predictor: Predictor, rows: Sequence[str], anchor: int) -> dict[str, np.ndarray]:
    found = [perturbation_saliency(predictor, row, anchor=anchor, **SMALL).score for row in rows]
    return {"scores": np.stack(found)}


def box_figures(profiles: np.ndarray, anchor: int) -> dict[str, Any]:
    """Return what lies in the boxes, with intervals over windows.

    ``share_in_boxes`` is the boxes' part of all saliency above 0; ``minus_35``, ``minus_10`` and
    ``elsewhere`` are the mean loss of log-odds for a base there, and ``lead_of_boxes`` that of both boxes
    less that of elsewhere.
    """
    masks = box_masks(profiles.shape[1], anchor)
    inside = np.any(list(masks.values()), axis=0)
    above = np.maximum(profiles, 0).astype(np.float64)
    parts = above[:, inside].sum(axis=1), above.sum(axis=1)
    means = {name: profiles[:, mask].mean(axis=1, dtype=float) for name, mask in masks.items()}
    means["elsewhere"] = profiles[:, ~inside].mean(axis=1, dtype=float)
    means["lead_of_boxes"] = profiles[:, inside].mean(axis=1, dtype=float) - means["elsewhere"]

    def statistic(weights: Array) -> Figures:
        total = weights.sum(axis=1)
        shares = {"share_in_boxes": (weights @ parts[0]) / np.maximum(weights @ parts[1], 1e-12)}
        return shares | {name: weights @ values / total for name, values in means.items()}

    return bootstrap(statistic, len(profiles), N_BOOT, 1)


def box_masks(length: int, anchor: int) -> dict[str, np.ndarray]:
    """Return which bases of a window lie in each box; +1 has the index ``anchor`` and -1 the one before."""
    places = np.arange(length) - anchor
    return {name: (places >= first) & (places <= last) for name, (first, last) in BOXES.items()}


def even_share(window: Window) -> Estimate:
    """Return the boxes' share of a window's bases, which has no error."""
    share = float(np.any(list(box_masks(window.length, window.anchor).values()), axis=0).mean())
    return Estimate(share, share, share)


def _add_human(task: RecipeTask, store: Store, result: dict[str, Any], bundle: ModelBundle) -> list[str]:
    """Add the plot of one human promoter; return what is missing."""
    window = bundle.config.window
    if window is None or window.anchor is None:
        return [f"{bundle.name}: it has no window with a start in it"]
    site = human_site(task, str(task.options.get("human_site", "SOD1_1")), window)
    options = {"lengths": tuple(task.options.get("human_lengths", (5, 15))), "fills": 4}
    found = _kept(store, f"human-{site.name}", Predictor(bundle), site, **options)
    title = f"Human {site.name}, chromosome 21"
    result["figures"].append(_site_figure("saliency-human", title, site, found, {}))
    return []


def human_site(task: RecipeTask, name: str, window: Window) -> Site:
    """Return a promoter of EPDnew on chromosome 21, which is kept for tests."""
    with open_text(source_file(task.data, HUMAN_TSS)) as handle:
        rows = [line.rstrip("\n").split("\t") for line in handle]
    found = [row for row in rows if row[0].removeprefix("chr") == "21" and row[3] == name]
    if not found:
        raise GenolmError(f"{HUMAN_TSS} has no start called '{name}' on chromosome 21.")
    with open_text(source_file(task.data, HUMAN)) as handle:
        letters = next(SimpleFastaParser(handle))[1].upper()
    position, strand = int(found[0][1]), found[0][5]
    span = window_around(position, strand, before=window.anchor, after=window.length - window.anchor)
    return Site(name, cut(letters, *span, strand), window.anchor)


def _kept(store: Store, name: str, predictor: Predictor, site: Site, **options: Any) -> dict[str, Any]:
    facts = {"model": predictor.bundle.sha256, "site": site.sequence, "options": options}
    return store.part(name, facts, partial(_site_saliency, predictor, site, options))


def _site_saliency(predictor: Predictor, site: Site, options: Mapping[str, Any]) -> dict[str, Any]:
    found: Saliency = perturbation_saliency(predictor, site.sequence, anchor=site.anchor, **options)
    lines = {name: rounded(getattr(found, name), 3) for name in ("score", "low", "high")}
    return {**lines, "logit": round(found.base_logit, 3)}


def _site_figure(
    name: str, title: str, site: Site, found: Mapping[str, Any], boxes: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    places = (np.arange(len(site.sequence)) - site.anchor).tolist()
    plot = new_figure()
    _add_band(plot, places, found, "saliency", BLUE, list(site.sequence))
    for label, (first, last) in boxes.items():
        words = label.replace("minus_", "−")
        plot.add_vrect(x0=first - 0.5, x1=last + 0.5, fillcolor=GREY, opacity=0.2, annotation_text=words)
    caption = (
        "How much the log-odds of the call fall when a base is replaced together with its neighbours, with a"
        " 95 % band over the random replacements; the whole window has the log-odds"
        f" {found['logit']:.2f}. The start is at 0. The window took no part in training."
    )
    return figure_part(name, f"Saliency of {title}", caption, _finished(plot))


def _mean_figure(profiles: Mapping[str, np.ndarray], anchor: int) -> dict[str, Any]:
    plot = new_figure()
    for (kind, rows), colour in zip(profiles.items(), (BLUE, GREY), strict=True):
        mean, error = rows.mean(axis=0), 1.96 * rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
        lines = {"score": mean, "low": mean - error, "high": mean + error}
        places = (np.arange(rows.shape[1]) - anchor).tolist()
        kept = {key: rounded(values) for key, values in lines.items()}
        _add_band(plot, places, kept, f"{TITLES[kind]} ({len(rows)})", colour, None)
    caption = (
        "Mean saliency over test windows with its 95 % interval. In promoters it should lie in the −35 and"
        " the −10 box; the start is at 0."
    )
    return figure_part("saliency-ecoli-mean", "Saliency over E. coli test windows", caption, _finished(plot))


def _add_band(
    plot: go.Figure,
    places: Sequence[int],
    lines: Mapping[str, Any],
    name: str,
    colour: str,
    letters: Sequence[str] | None,
) -> None:
    """Add a line with its band; ``letters`` are the bases, shown on pointing at them."""
    edge = {"x": places, "mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    plot.add_trace(go.Scatter(y=lines["high"], **edge))
    plot.add_trace(go.Scatter(y=lines["low"], fill="tonexty", fillcolor=f"{_clear(colour)}", **edge))
    hover = "%{x}: %{y}<extra></extra>" if letters is None else "%{text} at %{x}: %{y}<extra></extra>"
    look = {"mode": "lines", "line": {"color": colour, "width": 2}, "hovertemplate": hover}
    plot.add_trace(go.Scatter(x=places, y=lines["score"], name=name, text=letters, **look))


def _clear(colour: str) -> str:
    """Return a colour that one can look through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"


def _finished(plot: go.Figure) -> go.Figure:
    plot.add_vline(x=0, line={"color": VERMILION, "dash": "dash"})
    plot.update_xaxes(title="bases from the transcription start")
    plot.update_yaxes(title="loss of log-odds")
    return laid_out(plot, 420)
