"""What a scanning model's card says of scans, taken from the result of scan_proof.py."""

from collections.abc import Mapping
from typing import Any

from scan_proof_text import TITLES

from genolm.cards import format_estimate

NEAR = 20


def scan_facts(proof: Mapping[str, Any]) -> dict[str, str]:
    """Return sentences for a card by what they are about; parts that the result lacks are left out."""
    results = {name: part["result"] for name, part in proof["parts"].items()}
    held_out = {name.partition("/")[2]: found for name, found in results.items() if name.startswith("held-out/")}
    facts: dict[str, str] = {}
    if "about" in results:
        bases = sum(end - start for start, end in results["about"]["test"])
        facts["held-out blocks"] = f"{bases:,} bp of E. coli K-12, both strands, a window every {results['about']['stride']} bp"
    for name, found in held_out.items():
        title = TITLES.get(name, "this model")
        facts[f"AUPRC of starts within {NEAR} bp, {title}"] = _auprc(found)
    for pair in results.get("modes", {}).get("pairs", []):
        facts[f"{pair['second']} against {pair['first']}"] = _agreement(pair)
    if "speed" in results:
        speed = results["speed"]
        for name, scan in speed["scans"].items():
            facts[f"E. coli, both strands, every {speed['stride']} bp, {name}"] = (
                f"{scan['seconds']:.0f} s with {scan['precision']} on {scan['threads']} cores"
            )
    return facts


def _auprc(found: Mapping[str, Any]) -> str:
    curves = {(item["truth"], item["tolerance"]): item for item in found["curves"]}
    strong, every = (curves[kind, NEAR]["auprc"] for kind in ("strong", "all"))
    return f"{format_estimate(strong)} against well supported starts, {format_estimate(every)} against all known"


def _agreement(pair: Mapping[str, Any]) -> str:
    level = pair["levels"][0]
    return (
        f"logits correlate {pair['logit_correlation']:.4f}; AUPRC {format_estimate(pair['auprc']['b'])} and "
        f"{format_estimate(pair['auprc']['a'])}; at the model's threshold {level['lost']:,} of {level['first']:,} calls are "
        f"lost and {level['gained']:,} gained"
    )
