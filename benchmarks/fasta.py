"""Seconds and peak memory of opening a large FASTA file, beside plain readers, in one run.

    python benchmarks/fasta.py                        (250 Mbp in one record, lines of 60)
    python benchmarks/fasta.py --lines one --mbp 100  (the whole record on one line)

``first`` checks every letter, indexes the file and reads 1,000 pieces of 300 bp; ``again`` does so with the
index kept. The plain readers keep the record in memory: a loop that joins lines, and Biopython's fastest
parser; neither checks a letter. Each way runs in a process of its own; ``added`` is its peak above what it had
in memory when its modules were loaded.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PIECES, PIECE = 1_000, 300
BLOCK = 6_000_000


def write_genome(path: Path, bases: int, line: int) -> None:
    """Write one record of random bases with lines of ``line`` letters; 0 puts all of them on one line."""
    rng, letters = np.random.default_rng(1), np.frombuffer(b"ACGT", dtype=np.uint8)
    with path.open("wb") as handle:
        handle.write(b">chr1 random\n")
        for first in range(0, bases, BLOCK):
            block = letters[rng.integers(4, size=min(BLOCK, bases - first))]
            if line:
                full = block[: len(block) // line * line].reshape(-1, line)
                ends = np.full((len(full), 1), ord("\n"), dtype=np.uint8)
                handle.write(np.hstack([full, ends]).tobytes() + block[full.size :].tobytes())
            else:
                handle.write(block.tobytes())
        handle.write(b"\n")


def pieces_of(fetch: Callable[[int, int], str], bases: int) -> str:
    """Return the letters at random places, joined, so that the ways can be compared."""
    starts = np.random.default_rng(2).integers(bases - PIECE, size=PIECES).tolist()
    return "".join(fetch(start, start + PIECE) for start in starts)


def ours(path: Path) -> str:
    """Read pieces through the index."""
    from genolm.sequences import open_fasta

    with open_fasta(path) as genome:
        (name,) = genome.contigs
        return pieces_of(lambda start, end: genome.fetch(name, start, end), genome.contigs[name])


def plain(path: Path) -> str:
    """Read the record into memory, line by line."""
    with path.open() as handle:
        next(handle)
        letters = "".join(line.rstrip("\n") for line in handle)
    return pieces_of(lambda start, end: letters[start:end], len(letters))


def biopython(path: Path) -> str:
    """Read the record into memory with Biopython's fastest parser."""
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    with path.open() as handle:
        ((_, letters),) = SimpleFastaParser(handle)
    return pieces_of(lambda start, end: letters[start:end], len(letters))


READERS = {"ours": ours, "plain": plain, "biopython": biopython}


def load_modules(way: str) -> None:
    """Load what a way needs."""
    if way == "ours":
        import genolm.sequences  # noqa: F401
    if way == "biopython":
        import Bio.SeqIO.FastaIO  # noqa: F401


def memory_mb(field: str) -> float:
    """Return the peak (VmHWM) or present (VmRSS) resident memory of this process in MB.

    Elsewhere than on Linux it is the peak, which a process may have from its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def run_one(way: str, path: Path) -> None:
    """Run one way in this process and print what it took as JSON."""
    load_modules(way)
    before, began, clock = memory_mb("VmRSS"), time.perf_counter(), time.process_time()
    letters = READERS[way](path)
    figures = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - clock,
        "peak_mb": memory_mb("VmHWM"),
        "added_mb": memory_mb("VmHWM") - before,
        "letters": hash(letters),
    }
    print(json.dumps(figures))


def measure(way: str, path: Path, home: Path) -> dict[str, float]:
    """Return what one way took, in a process of its own."""
    environment = {**os.environ, "GENOLM_HOME": str(home), "PYTHONHASHSEED": "0"}
    command = [sys.executable, __file__, "--one", way, "--file", str(path)]
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)


def main() -> None:
    """Measure all ways and print a table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mbp", type=float, default=250)
    parser.add_argument("--lines", default="60", help="letters in a line, or 'one' for a single line")
    parser.add_argument("--folder", type=Path, help="where to put the file for the while")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=list(READERS), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, options.file)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        path, home = Path(work) / "large.fa", Path(work) / "home"
        write_genome(path, int(options.mbp * 1e6), 0 if options.lines == "one" else int(options.lines))
        ways = {"ours, first": "ours", "ours, again": "ours", "plain loop": "plain", "Biopython": "biopython"}
        table = {name: measure(way, path, home) for name, way in ways.items()}
    if len({row.pop("letters") for row in table.values()}) != 1:
        raise SystemExit("The ways do not give the same letters.")
    if options.json:
        print(json.dumps({name: {key: round(row[key], 3) for key in row} for name, row in table.items()}))
        return
    layout = "on one line" if options.lines == "one" else f"in lines of {options.lines}"
    print(f"{options.mbp:g} Mbp in one record {layout}; {PIECES:,} pieces of {PIECE} bp")
    print(f"{'way':14} {'seconds':>8} {'CPU s':>7} {'peak MB':>8} {'added MB':>9} {'memory, times ours':>19}")
    least = max(1.0, table["ours, first"]["added_mb"])
    for name, row in table.items():
        print(
            f"{name:14} {row['seconds']:>8.2f} {row['cpu_seconds']:>7.2f} {row['peak_mb']:>8.0f} "
            f"{row['added_mb']:>9.1f} {row['added_mb'] / least:>18.1f}x"
        )


if __name__ == "__main__":
    main()
