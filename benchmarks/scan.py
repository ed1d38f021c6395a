"""Speed and memory of the scan beside what one would use instead, in one run on one machine.

    python benchmarks/scan.py                             (random genome, the built-in promoter model)
    python benchmarks/scan.py --fasta genome.fa --model NAME --json figures.json
    python benchmarks/scan.py lengths --full              (cost against length: 1, 10, 50, 250 Mbp)
    python benchmarks/scan.py memory                      (peak of a 250 Mbp contig, tiny random weights)

``ways`` (what runs when nothing is named) compares ``genolm.scan.scan_genome``, streamed and exact, with the
original's way and with published models in random weights (``peers.py``). The original's way
(Genomic-ULMFiT) sends every window on its own through the same weights in torch's fp32 ``nn.LSTM``, 300
windows at a time. All read the same file and get the same windows of the same strands of its longest contig,
from the start on, as many as fit into ``--seconds``; how many is found by runs on smaller pieces, which also
warm up, and a run that took at least half of the time is taken. Pieces are whole batches; our scan cuts its
work into parts of one thread each, so its piece is whole parts for every thread, and may take longer.

Each measurement has a process of its own and the same number of threads. Ways take turns, so that a noisy
machine hurts all alike; medians of the rounds are told, and ratios are taken within a round. Where others use
the machine, what is told by processor time is the steadier figure.

bp/s is windows times stride, on each strand. The share is the work that a way's model needs (without the
first LSTM's input product, which a table can give), over what a square matrix product in its number type
reaches in the same round; burn-in, padding and whatever else is done beyond the need lowers it.

``lengths`` scans random contigs, each as far as fits into ``--seconds``, and extrapolates the rest;
``--full`` scans every base. Opening, which reads the whole file, is always measured on all of it. Scores take
4 bytes per window that is scanned, so the peak is that of the real thing only where a whole contig was.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genolm import compute  # before torch: it sets the OpenMP wait policy

import numpy as np
import torch

from fasta import memory_mb, write_genome
from genolm.registry import find_bundle
from genolm.sequences import Genome, open_fasta
from peers import PEERS, checked_counts
from ways import ORIGINAL_BATCH, OURS, TITLES, Job, Prefix, Way, original_scan, our_scan, scores_of, way_of

MODEL = "ecoli-promoter"
FIRST_WINDOWS, MOST_GROWTH = 16, 16
ECOLI_BASES = 4_641_652
SIZES = {"lengths": (1, 10, 50, 250), "memory": (250,)}


def timed(way: Way, piece: Prefix) -> dict[str, float]:
    """Return windows done with wall and processor seconds of a scan."""
    began, clock = time.perf_counter(), time.process_time()
    windows = way.scan(piece)
    return {
        "windows": windows,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - clock,
    }


def next_size(windows: int, filled: float, unit: int) -> int:
    """Return how many windows of a strand to try next, when ``windows`` filled this share of the time."""
    if filled < 1 / MOST_GROWTH:
        return windows * MOST_GROWTH
    return max(1, int(windows / filled) // unit) * unit


def fill_time(job: Job, way: Way, genome: Genome) -> tuple[Prefix, dict[str, float]]:
    """Return the first piece that takes at least half of the job's time, of whole units, and its figures."""
    whole = Prefix(genome)
    most, windows = whole.count(way.window, job.stride), FIRST_WINDOWS

    def piece() -> Prefix:
        return Prefix(genome, way.window + (windows - 1) * job.stride) if windows < most else whole

    timed(way, piece())
    if math.isinf(job.seconds):
        return whole, timed(way, whole)
    while True:
        found = timed(way, piece())
        filled = found["seconds"] / job.seconds
        bigger = next_size(windows, filled, way.unit)
        if windows >= most or bigger <= windows or (filled >= 0.5 and windows % way.unit == 0):
            return piece(), found
        windows = min(most, bigger)


def measure(job: Job) -> dict[str, Any]:
    """Return the figures of one way on the largest piece that fits into the job's time."""
    loaded, began = memory_mb("VmRSS"), time.perf_counter()
    with open_fasta(job.fasta) as genome, compute.torch_threads(job.threads):
        opened, way = time.perf_counter() - began, way_of(job)
        piece, found = fill_time(job, way, genome)
        contig = Prefix(genome).length
    return found | {
        "bases": piece.length,
        "contig": contig,
        "precision": way.precision,
        "work": way.work,
        "opened": opened,
        "loaded_mb": loaded,
        "peak_mb": memory_mb("VmHWM"),
    }


def agreement(job: Job) -> dict[str, Any]:
    """Return how our scores of a small piece compare with the original's way: is what is timed right?"""
    found = {}
    with open_fasta(job.fasta) as genome, compute.torch_threads(job.threads):
        predictor, scan = original_scan(job)
        piece = Prefix(genome, predictor.config.window.length + ORIGINAL_BATCH * job.stride)
        theirs = scan(piece)
        for mode in OURS:
            scores = scores_of(our_scan(replace(job, way=mode))[1](piece))
            real = ~np.isnan(scores)
            found[mode] = {
                "windows": int(real.sum()),
                "correlation": round(float(np.corrcoef(scores[real], theirs[real])[0, 1]), 4),
                "largest_difference": round(float(np.abs(scores - theirs)[real].max()), 4),
            }
    return found


def matrix_speed(job: Job, size: int = 2048) -> dict[str, tuple[float, float]]:
    """Return the best speed of a square matrix product in each number type.

    In GFLOP per second and per processor second.
    """
    device, speeds = compute.pick_device(job.device), {}
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if device.type == "cpu":
        kinds["int8"] = torch.int8
    with compute.torch_threads(job.threads):
        for name, dtype in kinds.items():
            left, best = torch.ones(size, size, dtype=dtype, device=device), (math.inf, math.inf)
            product = torch._int_mm if name == "int8" else torch.mm
            for _ in range(12):
                began, clock = time.perf_counter(), time.process_time()
                product(left, left)[0, 0].item()
                took = time.perf_counter() - began, time.process_time() - clock
                best = min(best[0], took[0]), min(best[1], took[1])
            speeds[name] = tuple(2 * size**3 / seconds / 1e9 for seconds in best)
    return speeds


TASKS = {"matrix": matrix_speed, "agreement": agreement}


def in_process(job: Job) -> dict[str, Any]:
    """Return what a job gives, run in a process of its own."""
    command = [sys.executable, __file__, "--job", json.dumps(asdict(job))]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


def jobs_of(options: argparse.Namespace, first: Job) -> list[Job]:
    """Return one job for each way and number type to compare, the original's way first."""
    device = compute.pick_device(options.device)
    fast = compute.pick_dtype("auto", device) == torch.bfloat16
    kinds = {"original": ["fp32"], "stream": [options.precision], "exact": [options.precision]}
    if options.precision == "int8":
        kinds["exact"] = ["auto"]
    elif options.precision == "auto" and device.type == "cpu" and compute.has_fast_int8():
        kinds["stream"] = ["auto", "int8"]
    kinds |= {name: ["fp32", "bf16"] if fast else ["fp32"] for name in PEERS}
    ways = [way for way in kinds if way in ("original", *options.ways)]
    return [replace(first, way=way, precision=kind) for way in ways for kind in kinds[way]]


def figures(
    found: dict[str, Any], base: dict[str, Any], speeds: dict[str, list[float]], stride: int
) -> dict[str, float]:
    """Return what is told of one measurement, beside the original's way and the matrix speed of its round."""
    rate, by_clock = (found["windows"] / found[clock] for clock in ("seconds", "cpu_seconds"))
    slow, slow_by_clock = (base["windows"] / base[clock] for clock in ("seconds", "cpu_seconds"))
    limit, limit_by_clock = (speed * 1e9 / found["work"] for speed in speeds[found["precision"]])
    return {
        "windows": found["windows"],
        "windows_per_second": rate,
        "bases_per_second": rate * stride,
        "ratio": rate / slow,
        "ratio_by_cpu_time": by_clock / slow_by_clock,
        "gflops": rate * found["work"] / 1e9,
        "share_of_matrix_speed": rate / limit,
        "share_by_cpu_time": by_clock / limit_by_clock,
        "loaded_mb": found["loaded_mb"],
        "peak_mb": found["peak_mb"],
        "ecoli_minutes": 2 * ECOLI_BASES / (rate * stride) / 60,
    }


def compare(options: argparse.Namespace, first: Job) -> dict[str, Any]:
    """Run all ways in turns and return their figures."""
    counts, rounds, speeds = checked_counts(), {}, []
    agreed, jobs = in_process(replace(first, way="agreement")), jobs_of(options, first)
    for number in range(options.rounds):
        speeds.append(in_process(replace(first, way="matrix")))
        base = None
        for job in jobs:
            print(f"round {number + 1}: {TITLES[job.way]}, {job.precision}", file=sys.stderr)
            found = in_process(job)
            base = base or found
            row = figures(found, base, speeds[-1], options.stride)
            rounds.setdefault((TITLES[job.way], found["precision"]), []).append(row)
    ways = []
    for (title, kind), rows in rounds.items():
        middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        spread = [min(row["ratio"] for row in rows), max(row["ratio"] for row in rows)]
        ways.append({"way": title, "precision": kind, **middle, "ratio_range": spread})
    return {
        "matrix_gflops": {kind: statistics.median(item[kind][0] for item in speeds) for kind in speeds[0]},
        "peers": {peer.title: [counts[name], int(peer.published)] for name, peer in PEERS.items()},
        "agreement": agreed,
        "ways": ways,
    }


def print_ways(report: dict[str, Any]) -> None:
    """Print the comparison as a table."""
    for title, (count, published) in report["peers"].items():
        print(f"{title}: {count:,} parameters, published {published / 1e6:g} M")
    for mode, row in report["agreement"].items():
        print(
            f"{TITLES[mode]}, against the original's way: correlation {row['correlation']:.4f}, largest "
            f"difference of a probability {row['largest_difference']:.4f}, {row['windows']:,} windows"
        )
    speeds = ", ".join(f"{kind} {speed:,.0f}" for kind, speed in report["matrix_gflops"].items())
    print(f"matrix speed in GFLOP/s: {speeds}; the last column is E. coli, both strands, extrapolated")
    print(
        f"{'way':24}{'type':>5}{'windows':>9}{'windows/s':>11}{'bp/s':>10}{'ratio':>9}{'by CPU':>9}"
        f"{'GFLOP/s':>9}{'share':>7}{'by CPU':>8}{'peak MB':>9}{'minutes':>9}"
    )
    for row in report["ways"]:
        print(
            f"{row['way']:24}{row['precision']:>5}{row['windows']:>9,.0f}{row['windows_per_second']:>11,.1f}"
            f"{row['bases_per_second']:>10,.0f}{row['ratio']:>9.3g}{row['ratio_by_cpu_time']:>9.3g}"
            f"{row['gflops']:>9,.1f}{row['share_of_matrix_speed']:>7.0%}{row['share_by_cpu_time']:>8.0%}"
            f"{row['peak_mb']:>9,.0f}{row['ecoli_minutes']:>9,.1f}"
        )


def measure_lengths(options: argparse.Namespace, first: Job, folder: Path) -> dict[str, Any]:
    """Scan contigs of several lengths and return what each took."""
    full, rows = options.full or options.what == "memory", []
    for size in options.mbp or SIZES[options.what]:
        path = folder / f"random-{size:g}.fa"
        write_genome(path, int(size * 1e6), 60)
        print(f"{size:g} Mbp", file=sys.stderr)
        seconds = math.inf if full else options.seconds
        found = in_process(replace(first, fasta=str(path), seconds=seconds))
        path.unlink()
        share = found["bases"] / found["contig"]
        rows.append({
            "mbp": size,
            "scanned_share": share,
            "opened_seconds": found["opened"],
            "scan_seconds": found["seconds"] / share,
            "microseconds_per_base": found["seconds"] / found["bases"] * 1e6,
            "peak_mb": found["peak_mb"],
        })  # fmt: skip
    return {"lengths": rows}


def print_lengths(report: dict[str, Any]) -> None:
    """Print the cost against length as a table."""
    print(f"{'Mbp':>6}{'scanned':>9}{'open s':>8}{'scan s':>10}{'us/base':>9}{'peak MB':>9}")
    for row in report["lengths"]:
        partly = row["scanned_share"] < 1
        print(
            f"{row['mbp']:>6g}{row['scanned_share']:>9.1%}{row['opened_seconds']:>8.1f}"
            f"{row['scan_seconds']:>10,.0f}{row['microseconds_per_base']:>9.2f}{row['peak_mb']:>9,.0f}"
            + ("  extrapolated; peak of the scanned part" if partly else "")
        )


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="ways", choices=["ways", *SIZES])
    parser.add_argument("--fasta", help="a genome; random bases by default")
    parser.add_argument("--mbp", type=float, nargs="+", help="length of the random genome, or lengths")
    parser.add_argument("--model", default=MODEL, help="name or folder of a classifier")
    parser.add_argument("--preset", help="random weights of this size, in the shape of the model")
    parser.add_argument("--ways", nargs="+", default=list(TITLES), choices=list(TITLES), metavar="WAY",
                        help="some of " + ", ".join(TITLES))  # fmt: skip
    parser.add_argument("--mode", default="stream", choices=OURS, help="of lengths and memory")
    parser.add_argument("--stride", type=int, default=10)
    parser.add_argument("--strand", default="both", choices=["both", "+", "-"])
    parser.add_argument("--seconds", type=float, default=20, help="time for each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="lengths: scan every base")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32", "int8"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", type=Path, help="where to put random genomes for the while")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run what was asked for and print its figures."""
    options = arguments()
    if options.job:
        job = Job(**json.loads(options.job))
        print(json.dumps(TASKS.get(job.way, measure)(job)))
        return
    if options.what == "memory" and not options.preset:
        options.preset = "tiny"
    named = Path(options.model).name == options.model and not options.model.endswith(".zip")
    model = str(find_bundle(options.model).path if named else options.model)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ["GENOLM_HOME"] = str(Path(folder) / "home")
        fasta = options.fasta or str(Path(folder) / "random.fa")
        if options.what == "ways" and not options.fasta:
            write_genome(Path(fasta), int(options.mbp[0] * 1e6) if options.mbp else ECOLI_BASES, 60)
        first = Job(
            options.mode, options.precision, fasta, model, options.preset, options.stride, options.strand,
            options.seconds, options.device, compute.thread_budget(options.threads),
        )  # fmt: skip
        if options.what == "ways":
            found = compare(options, first)
        else:
            found = measure_lengths(options, first, Path(folder))
    report = {
        "genome": Path(options.fasta).name if options.fasta else "random",
        "model": f"random-{options.preset}" if options.preset else Path(options.model).name,
        "machine": platform.processor() or platform.machine(),
        **{key: getattr(first, key) for key in ("stride", "strand", "threads")},
        **found,
    }
    print(", ".join(f"{key} {report[key]}" for key in ("genome", "model", "stride", "strand", "threads")))
    (print_ways if options.what == "ways" else print_lengths)(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
