"""Prove the scan: starts that no training saw, other methods on the same blocks, unseen genomes, speed.

    python recipes/scan_proof.py --data DATA --tables TABLES --model ecoli-promoter --out proof.json \\
        --write-docs docs/scans.md
    python recipes/scan_proof.py --out proof.json --write-docs docs/scans.md       (only write the text anew)

DATA holds ``ecoli_k12/``, ``promotech_ecoli/`` and ``bacteria/``; TABLES is what ecoli_promoter_data.py
wrote. Only the test blocks of those tables are judged: nothing of the reserved region, nothing of training
or validation. Every part is kept in the JSON as soon as it is done, with what it was made from, and scores
and fitted baselines beside it in ``proof.scores``; a run that was cut off goes on there. ``--limit-bases``
makes a quick trial of all of it.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from genolm import compute  # before torch: it sets the OpenMP wait policy

import pandas as pd
from common import Pieces
from scan_proof_baselines import NAMES
from scan_proof_ground import Store
from scan_proof_judging import (
    auprc_difference,
    compare,
    expected_name,
    gene_start_figures,
    judge,
    levels_of,
    threshold_of_count,
    unit_starts,
)
from scan_proof_scans import BLOCK, NEAR, TOLERANCES, Scans, least
from scan_proof_text import document, shown

from genolm.annotation import predict_genes
from genolm.background import BackgroundGenome, shuffled_background
from genolm.errors import BundleError, GenolmError
from genolm.genome_files import open_genome
from genolm.peaks import call_peaks
from genolm.predict import Predictor
from genolm.registry import load_bundle
from genolm.scan import ModeChoice, ScanResult, scan_genome

SPECIES = (
    "Salmonella_enterica",
    "Klebsiella_pneumoniae",
    "Vibrio_cholerae",
    "Bacillus_subtilis",
    "Staphylococcus_aureus",
)
UPSTREAM, UNIT_GAP = 300, 100
SAME_CALLS = 200
"""Calls per Mb of strand at which methods are compared on unseen genomes."""
READ_AS = "Escherichia_coli__GCF_000005845.2.fna.gz"
"""The file of this genome that language models are trained on."""

Variants = Mapping[str, tuple[Predictor, ModeChoice]]


def held_out(scans: Scans) -> None:
    """Judge every method on the test blocks, and the model against each of the others."""
    facts = scans.held_out_facts
    fitted = facts | {"cnn_epochs": scans.options.cnn_epochs}
    scans.store.part("about", facts, partial(about, scans))
    for name in scans.names:
        own = fitted if name in NAMES else facts
        scans.store.part(f"held-out/{name}", own, partial(_judge, scans, name))
    scans.store.part("held-out/promotech", facts, partial(_judge_promotech, scans))
    scans.store.part("differences", fitted, partial(_differences, scans))


def about(scans: Scans) -> dict[str, Any]:
    """Return what was judged, and on what."""
    ground = scans.ground
    rows = ground.rows.groupby(["split", "label"]).size()
    return {
        "contig": ground.contig,
        "bases": ground.genome.contigs[ground.contig],
        "reserved": list(ground.reserved),
        "test": ground.where["test"],
        "sites": {name: len(sites) for name, sites in scans.truth.sites.items()},
        "rows": {f"{split}/{label}": int(count) for (split, label), count in rows.items()},
        "window": {"model": vars(scans.predictor.config.window), "baselines": vars(ground.window)},
        "read_by_language_model": was_read(scans.predictor.bundle.card, READ_AS),
        "stride": scans.options.stride,
        "background": str(scans.shuffled),
        "block": BLOCK,
    }


def _judge(scans: Scans, name: str) -> dict[str, Any]:
    return judge(scans.scored(name), scans.truth)


def _judge_promotech(scans: Scans) -> dict[str, Any]:
    return judge(scans.promotech, scans.truth) | {"auprc_on_valid_by_site": scans.promotech_site}


def _differences(scans: Scans) -> dict[str, Any]:
    own, *others = scans.names
    tracks = {name: scans.scored(name).tracks for name in others} | {"promotech": scans.promotech.tracks}
    first = scans.scored(own).tracks
    return {
        f"{kind} {tolerance}": {
            name: auprc_difference(first, other, scans.truth, tolerance=tolerance, kind=kind)
            for name, other in tracks.items()
        }
        for tolerance in TOLERANCES
        for kind in scans.truth.sites
    }


def modes(scans: Scans) -> None:
    """Compare the ways to scan: the same model, the same blocks."""
    options = scans.options
    facts = scans.held_out_facts | {"held_out_stride": options.stride, "stride": options.wide_stride}
    scans.store.part("modes", facts, partial(_compare_modes, scans))


def _compare_modes(scans: Scans) -> dict[str, Any]:
    regions, found = {scans.ground.contig: scans.ground.where["test"]}, {}
    variants = _variants(scans)
    for name, (predictor, mode) in variants.items():
        scans.warm_up(predictor, mode=mode)
        options = {"stride": scans.options.wide_stride, "mode": mode, "regions": regions}
        found[name] = scan_genome(scans.ground.genome, predictor, **options)
    own = scans.scored(scans.names[0]).levels
    levels = {name: own[name] for name in ("default", expected_name(10))}
    return {
        "scans": {
            name: {"seconds": result.seconds, **_way(variants, name)} for name, result in found.items()
        },
        "pairs": [
            {"first": first, "second": second}
            | compare(found[first].tracks, found[second].tracks, scans.truth, levels=levels, tolerance=NEAR)
            for first, second in (("exact", "stream"), ("stream", "int8"))
            if second in found
        ],
    }


def _variants(scans: Scans) -> Variants:
    """Return the ways to scan; 8-bit numbers are for a CPU alone."""
    predictor = scans.predictor
    found: dict[str, tuple[Predictor, ModeChoice]] = {
        "exact": (predictor, "exact"),
        "stream": (predictor, "stream"),
    }
    if predictor.device.type == "cpu":
        int8 = Predictor(predictor.bundle, precision="int8", threads=scans.options.threads)
        found["int8"] = (int8, "stream")
    return found


def _way(variants: Variants, name: str) -> dict[str, Any]:
    predictor, mode = variants[name]
    return {"mode": mode, "precision": predictor.precision, "threads": predictor.threads}


def unseen(scans: Scans) -> None:
    """Look for calls before the genes of species that the model never saw a start of."""
    options = scans.options
    facts = scans.facts | {"stride": options.wide_stride, "bases": options.unseen_bases}
    facts |= {"epochs": options.cnn_epochs, "upstream": UPSTREAM, "gap": UNIT_GAP}
    for name in options.species:
        paths = sorted((options.data / "bacteria").glob(f"{name}*"))
        if not paths:
            raise GenolmError(f"{options.data / 'bacteria'} has no file that begins with {name}.")
        scans.store.part(
            f"unseen/{name}", facts | {"file": paths[0].name}, partial(_one_unseen, scans, paths[0])
        )


def _one_unseen(scans: Scans, path: Path) -> dict[str, Any]:
    options = scans.options
    genome = open_genome(path)
    name = max(genome.contigs, key=lambda contig: genome.contigs[contig])
    bases = least(genome.contigs[name], options.unseen_bases, options.limit_bases)
    piece = Pieces(genome, {name: (name, 0, bases)})
    letters = piece.fetch(name, 0, bases).upper()
    genes = predict_genes(piece, threads=options.threads)
    starts = unit_starts(genes, gap=UNIT_GAP)
    starts = starts[starts["position"].between(UPSTREAM, bases - UPSTREAM - 1)]
    shuffled = shuffled_background(piece, bases=max(1, bases // 2), seed=options.seed)
    return {
        "file": path.name,
        "contig": name,
        "bases": bases,
        "gc": sum(map(letters.count, "GC")) / max(1, sum(map(letters.count, "ACGT"))),
        "read_by_language_model": was_read(scans.predictor.bundle.card, path.name),
        "genes": len(genes),
        "unit_starts": len(starts),
        "methods": {method: _upstream(scans, method, (piece, shuffled), starts) for method in scans.names},
    }


def _upstream(
    scans: Scans, method: str, genomes: tuple[Pieces, BackgroundGenome], starts: pd.DataFrame
) -> list[dict[str, Any]]:
    piece, shuffled = genomes
    options, window = scans.options, scans.truth.window
    predictor, engine, own = scans.scanner(method)
    found = scan_genome(piece, predictor, stride=options.wide_stride, engine=engine)
    background = scans.background(method, shuffled, options.wide_stride)
    drawing = {"block": BLOCK, "draws": options.draws, "seed": options.seed}
    most = round(SAME_CALLS * 2 * sum(piece.contigs.values()) / 1e6)
    levels = {
        **levels_of(own, background),
        f"calls {SAME_CALLS}": threshold_of_count(found.tracks, most, window_length=window),
    }
    rows = []
    for name, threshold in levels.items():
        calls = call_peaks(found.tracks, threshold=threshold, window_length=window)
        figures = gene_start_figures(calls, starts, piece.contigs, reach=UPSTREAM, **drawing)
        rows.append({"level": name, "threshold": threshold, **figures})
    return rows


def was_read(card: Mapping[str, Any], file: str) -> bool | None:
    """Tell from a classifier's card whether its language model was trained on a file; None if not known."""
    base = card.get("settings", {}).get("base")
    try:
        data: Sequence[Mapping[str, Any]] | None = load_bundle(base).card.get("data") if base else None
    except BundleError:
        data = None
    return None if data is None else any(item.get("name") == file for item in data)


def speed(scans: Scans) -> None:
    """Time scans of the whole genome."""
    facts = scans.facts | {"stride": scans.options.wide_stride}
    scans.store.part("speed", facts, partial(_time_whole_genome, scans))


def _time_whole_genome(scans: Scans) -> dict[str, Any]:
    ground, stride, found = scans.ground, scans.options.wide_stride, {}
    whole = ground.genome.contigs[ground.contig]
    size = least(whole, scans.options.limit_bases)
    genome = (
        ground.genome if size == whole else Pieces(ground.genome, {ground.contig: (ground.contig, 0, size)})
    )
    variants = _variants(scans)
    for name, (predictor, mode) in variants.items():
        if mode == "stream":
            scans.warm_up(predictor, mode=mode)
            found[name] = _way(variants, name) | _pace(
                scan_genome(genome, predictor, stride=stride, mode=mode)
            )
    return {"bases": size, "stride": stride, "scans": found}


def _pace(result: ScanResult) -> dict[str, Any]:
    facts = {"seconds": result.seconds, "windows": result.windows, "strand_bases": result.bases}
    return facts | {"strand_bases_per_second": result.bases / result.seconds}


PARTS = {"held-out": held_out, "modes": modes, "unseen": unseen, "speed": speed}


def main(arguments: list[str] | None = None) -> None:
    """Work out what is missing, print the tables, write the text if asked."""
    options = parser().parse_args(arguments)
    store = Store(options.out)
    if options.data:
        if not options.tables:
            raise GenolmError(
                "With --data there must be --tables, the folder that ecoli_promoter_data.py wrote."
            )
        with compute.torch_threads(options.threads):
            scans = Scans(options, store)
            for name in options.only or PARTS:
                PARTS[name](scans)
    print(shown(store.parts))
    if options.write_docs:
        options.write_docs.write_text(document(store.parts), encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """Return the reader of the command line."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, help="folder of the genomes; without it nothing is worked out")
    words.add_argument("--tables", type=Path, help="folder that ecoli_promoter_data.py wrote")
    words.add_argument("--model", default="ecoli-promoter", help="name or folder")
    words.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    words.add_argument("--write-docs", type=Path, metavar="FILE", help="write the results as Markdown")
    words.add_argument("--only", nargs="+", choices=list(PARTS), help="only these parts")
    words.add_argument("--stride", type=int, default=4, help="of the scans of the test blocks")
    words.add_argument("--wide-stride", type=int, default=10, help="of the other parts")
    words.add_argument(
        "--background-bases", type=int, default=2_000_000, help="shuffled bases for thresholds"
    )
    words.add_argument("--unseen-bases", type=int, default=1_000_000, help="bases of each unseen genome")
    words.add_argument(
        "--species", nargs="+", default=list(SPECIES), help="beginnings of files in bacteria/"
    )
    words.add_argument("--limit-bases", type=int, help="at most so many bases in each part: a trial")
    words.add_argument("--cnn-epochs", type=int, default=25, help="most epochs of the convolutional network")
    words.add_argument("--draws", type=int, default=1000, help="draws of each interval")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--threads", type=int)
    return words


if __name__ == "__main__":
    main()
