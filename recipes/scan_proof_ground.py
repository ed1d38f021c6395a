"""What the proof of the scan is made from, genome, splits and known starts, and the store of its parts."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESERVED, Pieces, overlaps, source_file, write_record
from ecoli_promoter_sites import Settings, block_splits

from genolm.baselines import Examples
from genolm.config import Window
from genolm.errors import GenolmError
from genolm.genome_files import open_genome
from genolm.scan import ScanResult
from genolm.tracks import Track, true_runs

FORMAT_VERSION = 1
ECOLI = "ecoli_k12/GCF_000005845.2_ASM584v2_genomic.fna.gz"
Intervals = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Ground:
    """The genome, which stretches of it belong to which split, and the known starts.

    Attributes
    ----------
    genome : Genome
    contig : str
    reserved : tuple of int
    where : dict of str to list of (start, end)
        Stretches of ``test`` and ``valid``, cut to the first ``limit`` bases of each.
    starts : DataFrame
        Known starts that agree with the genome: contig, position, strand, confidence.
    window : Window
        Of the rows that the baselines are fitted on.
    rows : DataFrame
        Those rows.
    """

    genome: Any
    contig: str
    reserved: tuple[int, int]
    where: dict[str, list[tuple[int, int]]]
    starts: pd.DataFrame
    window: Window
    rows: pd.DataFrame

    @classmethod
    def read(cls, data: Path, tables: Path, limit: int | None) -> "Ground":
        """Read the genome and the tables; a test stretch that touches the reserved region is refused."""
        genome = open_genome(source_file(data, ECOLI), topology="circular")
        (contig, size), *others = genome.contigs.items()
        if others:
            raise GenolmError(
                f"{ECOLI} has {1 + len(others)} records; this proof is made for one chromosome."
            )
        record = json.loads(source_file(tables, "promoter.json").read_text())
        settings = Settings(**{key: _tupled(value) for key, value in record["settings"].items()})
        reserved = RESERVED.get(contig, (0, 0))
        splits = np.array(block_splits(size, reserved, settings))
        where = {name: _stretches(splits == name, settings.block, size, limit) for name in ("test", "valid")}
        if any(overlaps(start, end, reserved) for part in where.values() for start, end in part):
            raise GenolmError(f"Test or validation blocks overlap the reserved region {reserved}.")
        starts = pd.read_csv(source_file(tables, "tss.csv"), keep_default_na=False)
        wrong = inside(starts, where["test"]) & (starts["split"] != "test")
        if wrong.any():
            raise GenolmError(
                f"{int(wrong.sum())} starts of tss.csv lie in test blocks but are not of the test split."
            )
        rows = pd.read_csv(source_file(tables, "promoter.csv.gz"), keep_default_na=False)
        kept = starts.loc[starts["agrees"] == 1, ["contig", "position", "strand", "confidence"]]
        window = Window(record["window"]["length"], record["window"]["anchor"], "TSS")
        return cls(genome, contig, reserved, where, kept.reset_index(drop=True), window, rows)

    def sites(self, split: str) -> dict[str, pd.DataFrame]:
        """Return the known starts of a split: well supported ones, and all."""
        here = self.starts[inside(self.starts, self.where[split])]
        strong = here["confidence"].isin(["C", "S"])
        return {"strong": here[strong].reset_index(drop=True), "all": here.reset_index(drop=True)}

    def examples(self, split: str) -> Examples:
        """Return the rows of a split."""
        rows = self.rows[self.rows["split"] == split]
        return Examples(rows["sequence"].tolist(), rows["label"].to_numpy(np.int64))

    @property
    def free(self) -> Pieces:
        """Everything but the reserved region."""
        start, end = self.reserved
        size = self.genome.contigs[self.contig]
        borders = [(0, start), (end, size)] if end > start else [(0, size)]
        return Pieces(self.genome, {f"part_{low}": (self.contig, low, high) for low, high in borders})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _stretches(chosen: np.ndarray, block: int, size: int, limit: int | None) -> list[tuple[int, int]]:
    """Return the runs of chosen blocks as (start, end), cut after ``limit`` bases in all."""
    found, left = [], limit or size
    for first, last in true_runs(chosen).tolist():
        start, end = first * block, min(last * block, size)
        end = min(end, start + left)
        left -= end - start
        if end > start:
            found.append((start, end))
    return found


def inside(sites: pd.DataFrame, where: Intervals) -> pd.Series:
    """Tell which sites lie in any of the stretches."""
    found = pd.Series(False, index=sites.index)
    for start, end in where:
        found |= (sites["position"] >= start) & (sites["position"] < end)
    return found


class Store:
    """The JSON of a proof: parts by name, each with what it was made from."""

    def __init__(self, path: Path) -> None:
        self.path, self.parts = path, {}
        if path.exists():
            found = json.loads(path.read_text())
            if found.get("format_version") != FORMAT_VERSION:
                raise GenolmError(
                    f"{path} has format {found.get('format_version')}; this recipe reads {FORMAT_VERSION}."
                )
            self.parts = found["parts"]

    def has(self, name: str, facts: Mapping[str, Any]) -> bool:
        """Return whether a part is there that was made from the same."""
        return name in self.parts and self.parts[name]["facts"] == json.loads(json.dumps(facts))

    def part(self, name: str, facts: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a part's result: as it is there if it was made from the same, else made and written now."""
        if not self.has(name, facts):
            facts = json.loads(json.dumps(facts))
            began = time.monotonic()
            result = make()
            self.parts[name] = {
                "facts": facts,
                "seconds": round(time.monotonic() - began, 1),
                "result": result,
            }
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_record(self.path, {"format_version": FORMAT_VERSION, "parts": self.parts})
            print(f"{name}: {self.parts[name]['seconds']:.0f} s", flush=True)
        return self.parts[name]["result"]

    def arrays(
        self, name: str, facts: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]
    ) -> dict[str, np.ndarray]:
        """Return arrays from the folder beside the JSON, made and kept there if they are not."""
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        path = self.path.with_suffix(".scores") / f"{name}-{digest}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".draft.npz")
            np.savez_compressed(draft, **make())
            draft.replace(path)
        with np.load(path) as found:
            return dict(found)


def packed(result: ScanResult) -> dict[str, Any]:
    """Return the tracks of one contig and the time of a scan as arrays."""
    grid = {
        f"grid {track.strand}": np.array([track.start, track.step, track.span]) for track in result.tracks
    }
    return (
        {track.strand: track.values for track in result.tracks} | grid | {"seconds": np.array(result.seconds)}
    )


def unpacked(arrays: Mapping[str, np.ndarray], contig: str) -> list[Track]:
    """Return the tracks that :func:`packed` took."""
    return [Track(contig, strand, *arrays[f"grid {strand}"].tolist(), arrays[strand]) for strand in "+-"]
