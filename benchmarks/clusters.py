"""How fast similarity clusters of many sequences are found, and whether they are the right ones.

    python benchmarks/clusters.py --rows 100000 --length 500
    python benchmarks/clusters.py --rows 20000 --others          (mmseqs2 and cd-hit-est beside it, if installed)
    python benchmarks/clusters.py --rows 100000 --report         (the whole report on a table of them, too)

The sequences are families of near-copies of random founders: most of one, some of thousands; members differ from
the founder in up to 4 % of their bases and lie on either strand. Two clusterings are compared by the pairs of
sequences that they put together: ``precision`` of ours are in one true family, ``recall`` of the true pairs are
found.
"""

import argparse
import json
import platform
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from genolm.labels import code_labels
from genolm.sequences import SequenceRecord, write_fasta
from genolm.splits import similarity_clusters
from genolm.table_report import report_table
from genolm.table_split import split_rows
from genolm.tables import read_table

LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)
MOST_CHANGED, LARGEST = 0.04, 0.2


def families(rows: int, length: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Return sequences and the number of each one's family."""
    sequences: list[str] = []
    truth: list[int] = []
    while len(sequences) < rows:
        founder = rng.integers(0, 4, length)
        size = min(int(rng.zipf(1.8)), int(LARGEST * rows)) if rng.random() < 0.4 else 1
        number = truth[-1] + 1 if truth else 0
        for _ in range(min(size, rows - len(sequences))):
            copy = founder.copy()
            changed = rng.random(length) < rng.uniform(0, MOST_CHANGED)
            copy[changed] = rng.integers(0, 4, int(changed.sum()))
            copy = 3 - copy[::-1] if rng.random() < 0.5 else copy
            sequences.append(LETTERS[copy].tobytes().decode())
            truth.append(number)
    order = rng.permutation(rows)
    return [sequences[row] for row in order], np.array(truth)[order]


def agreement(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return precision and recall over pairs that are together."""

    def pairs(labels: np.ndarray) -> int:
        sizes = np.unique(labels, return_counts=True, axis=0)[1]
        return int((sizes * (sizes - 1) // 2).sum())

    both = pairs(np.stack([found, truth], axis=1))
    return {"precision": both / max(1, pairs(found)), "recall": both / max(1, pairs(truth))}


def timed(work: Any) -> tuple[Any, dict[str, float]]:
    """Return what ``work`` gives, with wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    return value, {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def other_tools(sequences: list[str], truth: np.ndarray, threads: int) -> dict[str, Any]:
    """Return time and agreement of mmseqs2 (linclust) and cd-hit-est at 90 % identity, where installed."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "in.fa"
        write_fasta(fasta, [SequenceRecord(str(row), "", item) for row, item in enumerate(sequences)])
        commands = {
            "mmseqs": ["mmseqs", "easy-linclust", str(fasta), f"{folder}/m", f"{folder}/t", "--min-seq-id", "0.9"]
            + ["--threads", str(threads)],
            "cd-hit-est": ["cd-hit-est", "-i", str(fasta), "-o", f"{folder}/c", "-c", "0.9", "-M", "0", "-d", "0"]
            + ["-T", str(threads), "-r", "1"],
        }
        for name, command in commands.items():
            if shutil.which(name):
                run = lambda words=command: subprocess.run(words, check=True, capture_output=True)  # noqa: E731
                _, times = timed(run)
                labels = _mmseqs_clusters(folder) if name == "mmseqs" else _cdhit_clusters(folder)
                found[name] = {"seconds": times["seconds"], **agreement(labels, truth)}
    return found


def _mmseqs_clusters(folder: str) -> np.ndarray:
    rows = [line.split("\t") for line in Path(folder, "m_cluster.tsv").read_text().splitlines()]
    return np.array([int(first) for first, _ in sorted(rows, key=lambda row: int(row[1]))])


def _cdhit_clusters(folder: str) -> np.ndarray:
    cluster, found = -1, {}
    for line in Path(folder, "c.clstr").read_text().splitlines():
        if line.startswith(">"):
            cluster += 1
        else:
            found[int(line.split(">")[1].split(".")[0])] = cluster
    return np.array([found[row] for row in sorted(found)])


def whole_report(sequences: list[str], rng: np.random.Generator) -> dict[str, Any]:
    """Return the time to read, divide and report on a table of these sequences with two classes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        labels = rng.choice(["yes", "no"], len(sequences))
        path.write_text("sequence,label\n" + "".join(f"{s},{l}\n" for s, l in zip(sequences, labels, strict=True)))
        table, reading = timed(lambda: read_table(path))
        code = code_labels(table.labels)
        split, dividing = timed(lambda: split_rows(table, code))
        _, reporting = timed(lambda: report_table(table, code, split))
    return {"read": reading, "split": dividing, "report": reporting}


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--length", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    sequences, truth = families(options.rows, options.length, rng)
    sizes = np.bincount(truth)
    found, times = timed(lambda: similarity_clusters(sequences))
    result = {
        "rows": options.rows,
        "length": options.length,
        "families": len(sizes),
        "largest_family": int(sizes.max()),
        "machine": platform.processor() or platform.machine(),
        "genolm": {**times, "clusters": int(found.max()) + 1, **agreement(found, truth)},
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    if options.others:
        result |= other_tools(sequences, truth, options.threads)
    if options.report:
        result["table"] = whole_report(sequences, rng)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
