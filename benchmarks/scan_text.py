"""Write the figures of ``scan.py --json`` as Markdown.

    python benchmarks/scan_text.py ways.json [memory.json] > docs/speed.md
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TITLE = "# How fast a scan is"
WAYS = (
    "One run on one machine ({machine}, {threads} threads; a square matrix product reaches {matrix} GFLOP/s), made by"
    " `benchmarks/scan.py`: the same windows of {genome}, {strand} strand{s}, a window every {stride} bp, through"
    " `{model}`, through the same weights in the original's way (every window by itself, fp32, 300 at a time), and"
    " through networks of the size of published models with random weights. Medians of {rounds} rounds in which the ways"
    " take turns. The share is the work that a model needs over what the matrix product reaches; by CPU takes processor"
    " time in place of wall time, which is steadier where a machine is shared."
)
AGREE = "{title} against the original's way: correlation of scores {correlation:.4f} over {windows:,} windows."
STREAMED = "A streamed model is trained to know what lies before a window, so its scores are not those of windows alone."
LENGTHS = (
    "Random contigs, {model}, {strand} strand{s}, a window every {stride} bp: time and peak memory against length"
    " (`benchmarks/scan.py memory`)."
)


def row(cells: list[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first two are numbers."""
    rule = ["---", "---", *["---:"] * (len(header) - 2)]
    return "\n".join([row(header), row(rule), *map(row, rows)])


def facts(report: dict[str, Any]) -> dict[str, Any]:
    """Return what both texts name."""
    matrix = ", ".join(f"{kind} {speed:,.0f}" for kind, speed in report.get("matrix_gflops", {}).items())
    genome = "a random genome" if report["genome"] == "random" else report["genome"]
    return {**report, "genome": genome, "matrix": matrix, "s": "s" if report["strand"] == "both" else ""}


def ways_text(report: dict[str, Any]) -> Iterator[str]:
    """Yield the paragraphs of a comparison of ways."""
    yield "## Beside the original's way and published models"
    yield WAYS.format(**{"rounds": 3, **facts(report)})
    header = ["Way", "Numbers", "bp of strand per second", "times the original's way", "by CPU"]
    header += ["share of matrix speed", "by CPU", "peak MB", "E. coli, both strands, minutes"]
    yield table(header, [way_cells(item) for item in report["ways"]])
    agreed = [AGREE.format(title=mode.capitalize(), **item) for mode, item in report["agreement"].items()]
    yield " ".join([*agreed, STREAMED])


def way_cells(item: dict[str, Any]) -> list[str]:
    """Return the cells of a way."""
    return [
        item["way"],
        item["precision"],
        f"{item['bases_per_second']:,.0f}",
        f"{item['ratio']:.3g}",
        f"{item['ratio_by_cpu_time']:.3g}",
        f"{item['share_of_matrix_speed']:.0%}",
        f"{item['share_by_cpu_time']:.0%}",
        f"{item['peak_mb']:,.0f}",
        f"{item['ecoli_minutes']:,.1f}",
    ]


def lengths_text(report: dict[str, Any]) -> Iterator[str]:
    """Yield the paragraphs of cost against length."""
    yield "## Long contigs"
    yield LENGTHS.format(**facts(report))
    rows = [
        [
            f"{item['mbp']:g} Mbp",
            f"{item['scanned_share']:.0%}",
            f"{item['opened_seconds']:.1f}",
            f"{item['microseconds_per_base']:.2f}",
            f"{item['peak_mb']:,.0f}",
        ]
        for item in report["lengths"]
    ]
    yield table(["Length", "Scanned", "Opening, s", "Microseconds per base", "Peak MB"], rows)


def main(paths: list[str]) -> None:
    """Write the text of the files named."""
    parts = [TITLE]
    for path in paths:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        parts += list(ways_text(report) if "ways" in report else lengths_text(report))
    print("\n\n".join(parts))


if __name__ == "__main__":
    main(sys.argv[1:])
