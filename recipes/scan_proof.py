"""Prove the scan: E. coli against starts it was not trained on, beside other methods, on unseen genomes, and its speed.

    python recipes/scan_proof.py --data DATA --tables TABLES --model ecoli-promoter --out proof.json \\
        --write-docs docs/scans.md
    python recipes/scan_proof.py --out proof.json --write-docs docs/scans.md       (only write the text anew)

DATA holds ``ecoli_k12/``, ``promotech_ecoli/`` and ``bacteria/``; TABLES is what ecoli_promoter_data.py wrote. Only
the test blocks of those tables are judged: nothing of the reserved region, nothing of training or validation. Every
part is kept in the JSON as soon as it is done, with what it was made from, and scores and fitted baselines beside it
in ``proof.scores``; a run that was cut off goes on there. ``--limit-bases`` makes a quick trial of all of it.
"""

import argparse
import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from genolm import compute  # before torch: it sets the OpenMP wait policy

import numpy as np
from common import sha256, source_file
from scan_proof_baselines import NAMES, SlidingEngine, fit
from scan_proof_ground import FORMAT_VERSION, Ground, Pieces, Store, packed, unpacked
from scan_proof_judging import (
    EXPECTED,
    PROMOTECH_SITES,
    Scored,
    Truth,
    auprc_difference,
    compare,
    expected_name,
    gene_start_figures,
    judge,
    levels_of,
    promotech_tracks,
    threshold_of_count,
    unit_starts,
)
from scan_proof_text import document, shown

from genolm.annotation import predict_genes
from genolm.background import shuffled_background
from genolm.engines import Engine
from genolm.errors import BundleError, GenolmError
from genolm.genome_files import open_genome
from genolm.peaks import call_peaks
from genolm.predict import Predictor
from genolm.registry import load_bundle
from genolm.scan import ScanResult, scan_genome, scan_mode
from genolm.significance import Background
from genolm.tracks import Track
from genolm.truth import truth_curve

PROMOTECH = "promotech_ecoli/NC_000913.3_genome_predictions.csv.gz"
PROMOTECH_THRESHOLDS = (0.6, 0.7, 0.8, 0.9)
SPECIES = (
    "Salmonella_enterica",
    "Klebsiella_pneumoniae",
    "Vibrio_cholerae",
    "Bacillus_subtilis",
    "Staphylococcus_aureus",
)
TOLERANCES = (5, 20, 50)
NEAR = 20
UPSTREAM, UNIT_GAP = 300, 100
BLOCK = 50_000
_WARM_UP = 20_000


class Proof:
    """All parts of the proof of one model."""

    def __init__(self, options: argparse.Namespace, store: Store) -> None:
        self.options, self.store = options, store
        bundle = load_bundle(options.model)
        self.predictor = Predictor(bundle, threads=options.threads)
        self.ground = Ground.read(options.data, options.tables, options.limit_bases)
        self.mode = scan_mode(self.predictor, "auto")
        self.facts = {
            "format": FORMAT_VERSION,
            "model": bundle.config.name,
            "model_sha256": bundle.sha256,
            "mode": self.mode,
            "precision": self.predictor.precision,
            "limit_bases": options.limit_bases,
            "tables_sha256": sha256(options.tables / "promoter.csv.gz"),
            "draws": options.draws,
            "seed": options.seed,
        }

    def run(self) -> None:
        """Work out the parts that were asked for and are not there yet."""
        for name in self.options.only or PARTS:
            PARTS[name](self)

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
            block=BLOCK,
            draws=options.draws,
            seed=options.seed,
        )

    @cached_property
    def _shuffled(self) -> Any:
        bases = _least(self.options.background_bases, self.options.limit_bases)
        return shuffled_background(self.ground.free, bases=bases, seed=self.options.seed)

    # -- held out --------------------------------------------------------------------------------------------

    def _held_out(self) -> None:
        facts = self.facts | {"stride": self.options.stride, "background_bases": self.options.background_bases}
        names = [self.predictor.config.name, *NAMES]
        about = partial(self._about, names)
        self.store.part("about", facts | {"cnn_epochs": self.options.cnn_epochs}, about)
        for name in names:
            own = facts if name not in NAMES else facts | {"cnn_epochs": self.options.cnn_epochs}
            self.store.part(f"held-out/{name}", own, lambda name=name: judge(self.scored(name), self.truth))
        self.store.part("held-out/promotech", facts, self._judge_promotech)
        self.store.part("differences", facts | {"cnn_epochs": self.options.cnn_epochs}, partial(self._differences, names))

    def _about(self, names: list[str]) -> dict[str, Any]:
        ground, options = self.ground, self.options
        counts = ground.rows.groupby(["split", "label"]).size()
        return {
            "contig": ground.contig,
            "bases": ground.genome.contigs[ground.contig],
            "reserved": list(ground.reserved),
            "test": ground.where["test"],
            "sites": {name: len(sites) for name, sites in self.truth.sites.items()},
            "rows": {f"{split}/{label}": int(count) for (split, label), count in counts.items()},
            "window": {"model": vars(self.predictor.config.window), "baselines": vars(ground.window)},
            "stride": options.stride,
            "background": str(self._shuffled),
            "names": names,
            "threads": self.predictor.threads,
            "device": self.predictor.device.type,
            "block": BLOCK,
        }

    def scored(self, name: str) -> Scored:
        """Return the scores of the model or a baseline on the test blocks, with its thresholds."""
        own = name not in NAMES
        facts = self.facts | {"stride": self.options.stride, "background_bases": self.options.background_bases}
        if not own:
            facts |= {"epochs": self.options.cnn_epochs, "window": vars(self.ground.window)}
        arrays = self.store.arrays(name, facts, partial(self._scan_arrays, name))
        tracks = unpacked(arrays, self.ground.contig)
        background = Background(arrays["background"], float(arrays["background_megabases"]), float(arrays["background_floor"]))
        levels = levels_of(float(arrays["threshold"]), background)
        published = self._promotech_calls
        if published:
            levels["as promotech"] = threshold_of_count(tracks, self.truth, published)
        return Scored(tracks, levels, background, float(arrays["seconds"]))

    def _scan_arrays(self, name: str) -> dict[str, Any]:
        predictor, engine, threshold = self._scanner(name)
        options = {"stride": self.options.stride, "engine": engine}
        regions = {self.ground.contig: self.ground.where["test"]}
        found = scan_genome(self.ground.genome, predictor, regions=regions, **options)
        false = scan_genome(self._shuffled, predictor, **options)
        background = Background.from_tracks(false.tracks, window_length=self.truth.window, floor=0.0)
        return packed(found) | {
            "background": background.scores,
            "background_megabases": background.megabases,
            "background_floor": background.floor,
            "threshold": threshold,
        }

    def _scanner(self, name: str) -> tuple[Predictor, Engine | None, float]:
        """Return who scans: the model itself, or a baseline in its place; and the default threshold."""
        if name not in NAMES:
            return self.predictor, None, self.predictor.config.calibration.threshold
        arrays = self._fitted(name)
        stand_in = copy.copy(self.predictor)
        stand_in.config = replace(self.predictor.config, window=self.ground.window)
        return stand_in, SlidingEngine(name, arrays), float(arrays["threshold"])

    def _fitted(self, name: str) -> dict[str, np.ndarray]:
        facts = {"tables": self.facts["tables_sha256"], "seed": self.options.seed, "epochs": self.options.cnn_epochs}
        train, valid = self.ground.examples("train"), self.ground.examples("valid")
        settings = {"seed": self.options.seed, "epochs": self.options.cnn_epochs}
        return self.store.arrays(f"fit-{name}", facts, lambda: fit(name, train, valid, **settings))

    # -- Promotech -------------------------------------------------------------------------------------------

    def _promotech_tracks(self, split: str, site: str) -> list[Track]:
        ground = self.ground
        path, size = source_file(self.options.data, PROMOTECH), ground.genome.contigs[ground.contig]
        return promotech_tracks(path, ground.contig, size, ground.where[split], site=site)

    @cached_property
    def _promotech_site(self) -> dict[str, float]:
        """AUPRC on the validation blocks by which base of a prediction stands for the start."""
        truth = self._truth("valid")
        return {
            site: truth_curve(
                self._promotech_tracks("valid", site), truth.sites["strong"], tolerance=NEAR, **truth.rules
            ).auprc
            for site in PROMOTECH_SITES
        }

    def _promotech(self) -> Scored:
        site = max(self._promotech_site, key=self._promotech_site.__getitem__)
        levels = {f"score {value:g}": value for value in PROMOTECH_THRESHOLDS}
        return Scored(self._promotech_tracks("test", site), levels)

    @cached_property
    def _promotech_calls(self) -> int:
        """Number of calls in the test blocks from all that Promotech published."""
        lowest = min(PROMOTECH_THRESHOLDS)
        return len(call_peaks(self._promotech().tracks, threshold=lowest, **self.truth.rules))

    def _judge_promotech(self) -> dict[str, Any]:
        return judge(self._promotech(), self.truth) | {"auprc_on_valid_by_site": self._promotech_site}

    def _differences(self, names: list[str]) -> dict[str, Any]:
        tracks = {name: self.scored(name).tracks for name in names} | {"promotech": self._promotech().tracks}
        own = tracks.pop(names[0])
        return {
            f"{truth} {tolerance}": {
                name: auprc_difference(own, other, self.truth, tolerance=tolerance, name=truth)
                for name, other in tracks.items()
            }
            for tolerance in TOLERANCES
            for truth in self.truth.sites
        }

    # -- modes -----------------------------------------------------------------------------------------------

    def _modes(self) -> None:
        facts = self.facts | {"stride": self.options.wide_stride, "held_out_stride": self.options.stride}
        self.store.part("modes", facts, self._compare_modes)

    def _compare_modes(self) -> dict[str, Any]:
        regions = {self.ground.contig: self.ground.where["test"]}
        found = {}
        for name, (predictor, mode) in self._variants().items():
            self._warm_up(predictor, mode)
            options = {"stride": self.options.wide_stride, "mode": mode, "regions": regions}
            found[name] = scan_genome(self.ground.genome, predictor, **options)
        own = self.scored(self.predictor.config.name).levels
        levels = {name: own[name] for name in ("default", expected_name(10))}
        pairs = [("exact", "stream"), ("stream", "int8")]
        return {
            "scans": {name: {"seconds": result.seconds, **self._facts_of(name)} for name, result in found.items()},
            "pairs": [
                {"first": first, "second": second}
                | compare(found[first].tracks, found[second].tracks, self.truth, levels=levels, tolerance=NEAR)
                for first, second in pairs
                if second in found
            ],
        }

    def _variants(self) -> dict[str, tuple[Predictor, Any]]:
        found = {"exact": (self.predictor, "exact"), "stream": (self.predictor, "stream")}
        if self.predictor.device.type == "cpu":
            found["int8"] = (self._int8, "stream")
        return found

    @cached_property
    def _int8(self) -> Predictor:
        return Predictor(self.predictor.bundle, precision="int8", threads=self.options.threads)

    def _facts_of(self, name: str) -> dict[str, Any]:
        predictor, mode = self._variants()[name]
        return {"mode": mode, "precision": predictor.precision, "threads": predictor.threads}

    def _warm_up(self, predictor: Predictor, mode: Any) -> None:
        """Scan a little, so that what is made ready once is not in the time of the scan."""
        piece = Pieces(self.ground.genome, {"piece": (self.ground.contig, 0, _WARM_UP)})
        scan_genome(piece, predictor, stride=self.options.wide_stride, mode=mode)

    # -- unseen genomes --------------------------------------------------------------------------------------

    def _unseen(self) -> None:
        options = self.options
        facts = self.facts | {"stride": options.wide_stride, "bases": options.unseen_bases}
        facts |= {"epochs": options.cnn_epochs, "upstream": UPSTREAM, "gap": UNIT_GAP}
        for name in options.species:
            paths = sorted((options.data / "bacteria").glob(f"{name}*"))
            if not paths:
                raise GenolmError(f"{options.data / 'bacteria'} has no file that begins with {name}.")
            self.store.part(f"unseen/{name}", facts | {"file": paths[0].name}, partial(self._one_unseen, paths[0]))

    def _one_unseen(self, path: Path) -> dict[str, Any]:
        genome = open_genome(path)
        name = max(genome.contigs, key=lambda contig: genome.contigs[contig])
        bases = _least(genome.contigs[name], self.options.unseen_bases, self.options.limit_bases)
        piece = Pieces(genome, {name: (name, 0, bases)})
        letters = piece.fetch(name, 0, bases).upper()
        genes = predict_genes(piece, threads=self.options.threads)
        starts = unit_starts(genes, gap=UNIT_GAP)
        starts = starts[(starts["position"] >= UPSTREAM) & (starts["position"] < bases - UPSTREAM)]
        shuffled = shuffled_background(piece, bases=max(1, bases // 2), seed=self.options.seed)
        return {
            "file": path.name,
            "contig": name,
            "bases": bases,
            "gc": sum(map(letters.count, "GC")) / max(1, sum(map(letters.count, "ACGT"))),
            "read_by_language_model": self._was_read(path.name),
            "genes": len(genes),
            "unit_starts": len(starts),
            "methods": {
                method: self._upstream_figures(method, piece, shuffled, starts)
                for method in (self.predictor.config.name, *NAMES)
            },
        }

    def _upstream_figures(self, method: str, piece: Pieces, shuffled: Any, starts: Any) -> list[dict[str, Any]]:
        predictor, engine, _ = self._scanner(method)
        options = {"stride": self.options.wide_stride, "engine": engine}
        found = scan_genome(piece, predictor, **options)
        false = scan_genome(shuffled, predictor, **options)
        background = Background.from_tracks(false.tracks, window_length=self.truth.window, floor=0.0)
        rows = []
        for rate in EXPECTED:
            threshold = background.threshold_for(rate)
            calls = call_peaks(found.tracks, threshold=threshold, window_length=self.truth.window)
            drawing = {"block": BLOCK, "draws": self.options.draws, "seed": self.options.seed}
            figures = gene_start_figures(calls, starts, piece.contigs, reach=UPSTREAM, **drawing)
            rows.append({"level": expected_name(rate), "threshold": threshold, **figures})
        return rows

    def _was_read(self, file: str) -> bool | None:
        """Tell whether the model's language model was trained on a file; None where that is not known."""
        base = self.predictor.bundle.card.get("settings", {}).get("base")
        try:
            card = load_bundle(base).card if base else {}
        except BundleError:
            card = {}
        return any(item.get("name") == file for item in card["data"]) if "data" in card else None

    # -- speed -----------------------------------------------------------------------------------------------

    def _speed(self) -> None:
        facts = self.facts | {"stride": self.options.wide_stride}
        self.store.part("speed", facts, self._time_whole_genome)

    def _time_whole_genome(self) -> dict[str, Any]:
        ground, found = self.ground, {}
        size = _least(ground.genome.contigs[ground.contig], self.options.limit_bases)
        whole = size == ground.genome.contigs[ground.contig]
        genome = ground.genome if whole else Pieces(ground.genome, {ground.contig: (ground.contig, 0, size)})
        for name, (predictor, mode) in self._variants().items():
            if mode == "stream":
                self._warm_up(predictor, mode)
                result = scan_genome(genome, predictor, stride=self.options.wide_stride, mode=mode)
                found[name] = self._facts_of(name) | _speed_of(result)
        return {"bases": size, "stride": self.options.wide_stride, "scans": found}


def _speed_of(result: ScanResult) -> dict[str, Any]:
    return {
        "seconds": result.seconds,
        "windows": result.windows,
        "strand_bases": result.bases,
        "strand_bases_per_second": result.bases / result.seconds,
    }


def _least(*numbers: int | None) -> int:
    """Return the smallest number that is given."""
    return min(number for number in numbers if number is not None)


PARTS = {"held-out": Proof._held_out, "modes": Proof._modes, "unseen": Proof._unseen, "speed": Proof._speed}


def main(arguments: list[str] | None = None) -> None:
    """Work out what is missing, print the table, write the text if asked."""
    options = _parser().parse_args(arguments)
    store = Store(options.out)
    if options.data:
        if not options.tables:
            raise GenolmError("With --data there must be --tables, the folder that ecoli_promoter_data.py wrote.")
        with compute.torch_threads(options.threads):
            Proof(options, store).run()
    print(shown(store.parts))
    if options.write_docs:
        options.write_docs.write_text(document(store.parts), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the genomes; without it nothing is worked out")
    parser.add_argument("--tables", type=Path, help="folder that ecoli_promoter_data.py wrote")
    parser.add_argument("--model", default="ecoli-promoter", help="name or folder")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--write-docs", type=Path, metavar="FILE", help="write the results as Markdown")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="only these parts")
    parser.add_argument("--stride", type=int, default=4, help="of the scans of the test blocks")
    parser.add_argument("--wide-stride", type=int, default=10, help="of the other parts")
    parser.add_argument("--background-bases", type=int, default=2_000_000, help="shuffled bases for thresholds")
    parser.add_argument("--unseen-bases", type=int, default=1_000_000, help="bases of each unseen genome")
    parser.add_argument("--species", nargs="+", default=list(SPECIES), help="beginnings of files in bacteria/")
    parser.add_argument("--limit-bases", type=int, help="at most so many bases in each part: a trial")
    parser.add_argument("--cnn-epochs", type=int, default=25, help="most epochs of the convolutional network")
    parser.add_argument("--draws", type=int, default=1000, help="draws of each interval")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    return parser


if __name__ == "__main__":
    main()
