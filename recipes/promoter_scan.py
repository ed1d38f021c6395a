"""How well starts are ranked in whole held-out blocks of E. coli: ``ecoli-promoter-scan.toml``.

The built-in promoter model, the same network trained on the same stretches from scratch, the baselines that
slide along the genome, and Promotech's published predictions are judged as in ``scan_proof.py``: 750,000 bp,
both strands, a window every 4 bp, area under the curve of precision and recall of known starts.
"""

from collections.abc import Mapping
from typing import Any

from common import ECOLI_GENBANK, read_genbank, source_file
from ecoli_promoter import WINDOW, Task, read_parts, run_once
from ecoli_promoter_data import main as make_tables
from ecoli_promoter_sites import REGULONDB, Settings, read_tss
from ecoli_promoter_stretches import split_strands
from scan_proof import held_out, parser
from scan_proof_baselines import NAMES
from scan_proof_ground import Intervals, Store
from scan_proof_judging import auprc_difference, judge
from scan_proof_scans import BLOCK, Scans

from genolm.recipe_run import RecipeTask
from genolm.registry import load_bundle
from genolm.result_row import BASELINE_TITLES
from genolm.result_row import NAIVE

PROTOCOL = "held_out"
NEAR = 20
FIGURES = {"all": "scan_auprc", "strong": "scan_auprc_strong"}
MODEL, OWN = "ecoli-promoter", "pretrained"
TITLES = {name: BASELINE_TITLES[name] for name in NAMES}
PROMOTECH = {
    "name": "Promotech, trained on this genome",
    "kind": "best",
    "protocol": PROTOCOL,
    "source": "its published predictions for NC_000913.3, judged here as the others are",
}


def run(task: RecipeTask) -> dict[str, Any]:
    """Train the network from scratch, scan with all methods, compare; what is finished lies in ``task.out``."""
    tables = task.out / "tables"
    if not (tables / "promoter.csv.gz").exists():
        make_tables(["--data", str(task.data), "--out", str(tables)])
    naive = naive_run(task)
    model = task.models(MODEL)
    scans = scans_of(task, str(model), "proof.json")
    held_out(scans)
    parts = scans.store.parts
    scratch = scans_of(task, str(task.out / "models" / naive["name"]), "naive.json")
    scored = scratch.scored(scratch.predictor.config.name)
    found = {
        OWN: curves(parts[f"held-out/{MODEL}"]["result"]),
        NAIVE: scratch.store.part("judged", scratch.held_out_facts, lambda: curves(judge(scored, scratch.truth))),
        **{name: curves(parts[f"held-out/{name}"]["result"]) for name in NAMES},
    }
    found[OWN]["window_auprc"] = load_bundle(model).card["metrics"]["test"]["auprc"]
    found[NAIVE]["window_auprc"] = naive["scores"]["test"]["auprc"]
    promotech = curves(parts["held-out/promotech"]["result"])
    beside = parts["differences"]["result"]
    return {
        "published": [
            PROMOTECH
            | {"scores": {key: item["value"] for key, item in promotech.items()}, "leads": promotech_leads(beside)}
        ],
        "protocols": {PROTOCOL: protocol(scans.ground.where["test"])},
        "methods": methods(task.options),
        "scores": {
            PROTOCOL: {
                key: {"seeds": [{"seed": 1, "metrics": item, "seconds": seconds_of(key, naive, model)}]}
                for key, item in found.items()
            }
        },
        "differences": differences(scans, scratch, beside),
    }


def protocol(stretches: Intervals) -> dict[str, Any]:
    """Return what the result says of the stretches, which blocks are drawn from."""
    title = f"{sum(end - start for start, end in stretches):,} bp held out, both strands, starts within {NEAR} bp"
    blocks = sum(-(-(end - start) // BLOCK) for start, end in stretches)
    return {"title": title, "rows": {}, "drawn_over": f"blocks of {BLOCK:,} bp", "drawn_groups": blocks}


def naive_run(task: RecipeTask) -> dict[str, Any]:
    """Return the run from scratch, trained if it is not there."""
    genome = read_genbank(source_file(task.data, ECOLI_GENBANK))
    tss, _ = read_tss(source_file(task.data, REGULONDB), genome)
    strands = split_strands(genome, tss, WINDOW, Settings())
    return run_once(Task(genome, tss, strands, read_parts(task.out / "tables"), task.out / "models"), NAIVE, 1)


def scans_of(task: RecipeTask, model: str, store: str) -> Scans:
    """Return the scans of a model, kept in a file of this name."""
    words = ["--data", str(task.data), "--tables", str(task.out / "tables"), "--out", str(task.out / store)]
    options = parser().parse_args([*words, "--model", model])
    return Scans(options, Store(options.out))


def curves(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the areas under the curves of starts within 20 bp."""
    return {
        FIGURES[item["truth"]]: item["auprc"]
        for item in result["curves"]
        if item["tolerance"] == NEAR and item["truth"] in FIGURES
    }


def methods(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the result says of each method."""
    ours = {
        OWN: ("From the bacterial language model, overlapping 3-mers", options["base"]),
        NAIVE: ("From scratch", None),
    }
    plain = {key: {"title": title, "kind": "ours", "base": base, "settings": {}} for key, (title, base) in ours.items()}
    others = {
        key: {"title": title, "kind": "baseline", "base": None, "settings": {}} for key, title in TITLES.items()
    }
    return {**plain, **others}


def seconds_of(key: str, naive: Mapping[str, Any], model: Any) -> float | None:
    """Return how long a training took; nothing is told of the others."""
    if key == NAIVE:
        return naive["seconds"]
    return load_bundle(model).card["training"]["seconds"] if key == OWN else None


def promotech_leads(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the model minus Promotech, blocks of the genome drawn for both alike."""
    against = {metric: found[f"{truth} {NEAR}"]["promotech"] for truth, metric in FIGURES.items()}
    return {metric: {"method": OWN, **item["difference"], "p": item["p"]} for metric, item in against.items()}


def differences(scans: Scans, scratch: Scans, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the model minus each other method, blocks of the genome drawn for both alike."""
    own, name = scans.scored(MODEL).tracks, scratch.predictor.config.name
    facts = scans.held_out_facts | {"naive": scratch.facts["model_sha256"]}
    rows = []
    for truth, metric in FIGURES.items():
        against = scratch.store.part(
            f"difference {truth}",
            facts,
            lambda truth=truth: auprc_difference(
                own, scratch.scored(name).tracks, scans.truth, tolerance=NEAR, kind=truth
            ),
        )
        for other, item in {NAIVE: against, **found[f"{truth} {NEAR}"]}.items():
            if other == "promotech":  # it stands among the published figures
                continue
            row = {"protocol": PROTOCOL, "method": OWN, "other": other, "metric": metric}
            rows.append({**row, **item["difference"], "p": item["p"]})
    return rows
