"""The scans that the proof of the scan judges: the model's, the baselines' and Promotech's published one."""

import argparse
import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import Pieces, open_text, sha256, source_file
from scan_proof_baselines import NAMES, SlidingEngine, fit
from scan_proof_ground import FORMAT_VERSION, Ground, Intervals, Store, packed, unpacked
from scan_proof_judging import Scored, Truth, levels_of, threshold_of_count

from genolm.background import BackgroundGenome, shuffled_background
from genolm.engines import Engine
from genolm.errors import GenolmError
from genolm.peaks import call_peaks
from genolm.predict import Predictor
from genolm.registry import load_bundle
from genolm.scan import ModeChoice, scan_genome, scan_mode
from genolm.significance import Background
from genolm.tracks import Track
from genolm.truth import truth_curve

PROMOTECH = "promotech_ecoli/NC_000913.3_genome_predictions.csv.gz"
PROMOTECH_THRESHOLDS = (0.6, 0.7, 0.8, 0.9)
PROMOTECH_SITES = ("first", "middle", "last")
TOLERANCES = (5, 20, 50)
NEAR = 20
BLOCK = 50_000
_WARM_UP = 20_000


def least(*numbers: int | None) -> int:
    """Return the smallest number that is given."""
    return min(number for number in numbers if number is not None)


class Scans:
    """Scans of one genome's test blocks by several methods, each worked out once and kept.

    Parameters
    ----------
    options : argparse.Namespace
        Of scan_proof.py.
    store : Store
        Where scores and fitted baselines are kept.

    Attributes
    ----------
    predictor : Predictor
        The model under test.
    ground : Ground
    facts : dict
        What every part depends on.
    """

    def __init__(self, options: argparse.Namespace, store: Store) -> None:
        self.options, self.store = options, store
        bundle = load_bundle(options.model)
        self.predictor = Predictor(bundle, threads=options.threads)
        self.ground = Ground.read(options.data, options.tables, options.limit_bases)
        self.facts = {
            "format": FORMAT_VERSION,
            "model": bundle.config.name,
            "model_sha256": bundle.sha256,
            "mode": scan_mode(self.predictor, "auto"),
            "precision": self.predictor.precision,
            "limit_bases": options.limit_bases,
            "tables_sha256": sha256(options.tables / "promoter.csv.gz"),
            "draws": options.draws,
            "seed": options.seed,
        }

    @property
    def names(self) -> list[str]:
        """The model and the baselines."""
        return [self.predictor.config.name, *NAMES]

    @property
    def held_out_facts(self) -> dict[str, Any]:
        """What the scans of the test blocks depend on."""
        options = self.options
        return self.facts | {"stride": options.stride, "background_bases": options.background_bases}

    @cached_property
    def truth(self) -> Truth:
        """Known starts of the test blocks."""
        return self._truth("test")

    def _truth(self, split: str) -> Truth:
        ground, options = self.ground, self.options
        return Truth(
            sites=ground.sites(split),
            tolerances=TOLERANCES,
            window=self.predictor.config.window.length,
            circular={ground.contig: ground.genome.contigs[ground.contig]},
            megabases=2 * sum(end - start for start, end in ground.where[split]) / 1e6,
            block=BLOCK,
            draws=options.draws,
            seed=options.seed,
        )

    @cached_property
    def shuffled(self) -> BackgroundGenome:
        """The background of all scans of this genome; the reserved region is not in it."""
        bases = least(self.options.background_bases, self.options.limit_bases)
        return shuffled_background(self.ground.free, bases=bases, seed=self.options.seed)

    def scored(self, name: str) -> Scored:
        """Return the scores of the model or a baseline on the test blocks, with its thresholds."""
        facts = self.held_out_facts
        if name in NAMES:
            facts |= {"epochs": self.options.cnn_epochs, "window": vars(self.ground.window)}
        arrays = self.store.arrays(name, facts, partial(self._score, name))
        tracks = unpacked(arrays, self.ground.contig)
        false = [arrays[f"background{end}"] for end in ("", "_megabases", "_floor")]
        background = Background(false[0], float(false[1]), float(false[2]))
        levels = levels_of(float(arrays["threshold"]), background)
        levels["as promotech"] = threshold_of_count(tracks, self._promotech_calls, **self.truth.rules)
        return Scored(tracks, levels, background, float(arrays["seconds"]))

    def _score(self, name: str) -> dict[str, Any]:
        predictor, engine, threshold = self.scanner(name)
        regions = {self.ground.contig: self.ground.where["test"]}
        self.warm_up(predictor, engine=engine)
        found = scan_genome(
            self.ground.genome, predictor, stride=self.options.stride, engine=engine, regions=regions
        )
        background = self.background(name, self.shuffled, self.options.stride)
        return packed(found) | {
            "background": background.scores,
            "background_megabases": np.array(background.megabases),
            "background_floor": np.array(background.floor),
            "threshold": np.array(threshold),
        }

    def background(self, name: str, shuffled: BackgroundGenome, stride: int) -> Background:
        """Return the background calls of the model or a baseline."""
        predictor, engine, _ = self.scanner(name)
        false = scan_genome(shuffled, predictor, stride=stride, engine=engine)
        return Background.from_tracks(false.tracks, window_length=self.truth.window, floor=0.0)

    def scanner(self, name: str) -> tuple[Predictor, Engine | None, float]:
        """Return who scans, the model itself or a baseline in its place, and the default threshold."""
        if name not in NAMES:
            return self.predictor, None, self.predictor.config.calibration.for_scans
        arrays = self._fitted(name)
        stand_in = copy.copy(self.predictor)
        stand_in.config = replace(self.predictor.config, window=self.ground.window)
        return stand_in, SlidingEngine(name, arrays), float(arrays["threshold"])

    def _fitted(self, name: str) -> dict[str, np.ndarray]:
        settings = {"seed": self.options.seed, "epochs": self.options.cnn_epochs}
        train, valid = self.ground.examples("train"), self.ground.examples("valid")
        facts = {"tables": self.facts["tables_sha256"], **settings}
        return self.store.arrays(f"fit-{name}", facts, lambda: fit(name, train, valid, **settings))

    def warm_up(
        self, predictor: Predictor, *, mode: ModeChoice = "auto", engine: Engine | None = None
    ) -> None:
        """Scan a little, so that what is made ready once is not in the time of the scan."""
        piece = Pieces(self.ground.genome, {"piece": (self.ground.contig, 0, _WARM_UP)})
        scan_genome(piece, predictor, stride=self.options.wide_stride, mode=mode, engine=engine)

    def _promotech_tracks(self, split: str, site: str) -> list[Track]:
        ground = self.ground
        path, size = source_file(self.options.data, PROMOTECH), ground.genome.contigs[ground.contig]
        return promotech_tracks(path, ground.contig, size, where=ground.where[split], site=site)

    @cached_property
    def promotech_site(self) -> dict[str, float]:
        """Promotech's AUPRC on the validation blocks by which base of a prediction stands for the start."""
        truth = self._truth("valid")
        known, rules = truth.sites["strong"], {"tolerance": NEAR, **truth.rules}
        return {
            site: truth_curve(self._promotech_tracks("valid", site), known, **rules).auprc
            for site in PROMOTECH_SITES
        }

    @cached_property
    def promotech(self) -> Scored:
        """Promotech's predictions in the test blocks, at the base that is best for it."""
        site = max(self.promotech_site, key=self.promotech_site.__getitem__)
        levels = {f"score {value:g}": value for value in PROMOTECH_THRESHOLDS}
        return Scored(self._promotech_tracks("test", site), levels)

    @cached_property
    def _promotech_calls(self) -> int:
        return len(call_peaks(self.promotech.tracks, threshold=min(PROMOTECH_THRESHOLDS), **self.truth.rules))


def promotech_tracks(path: Path, contig: str, size: int, *, where: Intervals, site: str) -> list[Track]:
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
