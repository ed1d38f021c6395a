"""Finished work on disk, written and read back: scans and saliencies; no streamlit here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyBigWig

from genolm import features, outputs
from genolm.errors import GenolmError
from genolm.pipelines import strips_path
from genolm.tracks import Track

TRACK_FILES = {"+": "scores_plus.bw", "-": "scores_minus.bw"}
_BLOCK = 200_000
_PLOT_POINTS = 1_000


@dataclass(frozen=True)
class ScanFolder:
    """A scan as its folder tells it: tracks, calls as made, lengths of the contigs, record of the run."""

    folder: Path
    tracks: list[Track]
    calls: pd.DataFrame
    lengths: dict[str, int]
    record: dict[str, Any]

    def setting(self, name: str, default: Any = None) -> Any:
        """Return an option of the run."""
        return self.record.get("settings", {}).get(name, default)

    @property
    def model(self) -> str:
        """Name of the model that scored."""
        return str(self.record.get("model", {}).get("name", ""))

    @property
    def circular(self) -> dict[str, int]:
        """Lengths of the contigs that were scanned as circles."""
        return {name: self.lengths[name] for name in self.setting("circular", []) if name in self.lengths}

    def of(self, contig: str) -> list[Track]:
        """Return the tracks of one contig."""
        return [track for track in self.tracks if track.contig == contig]


def read_scan(folder: Path) -> ScanFolder:
    """Read what a scan wrote; a folder without it is a :class:`GenolmError`."""
    missing = [name for name in ("run.json", "calls.csv") if not (folder / name).is_file()]
    if missing:
        gone = ", ".join(missing)
        raise GenolmError(f"The results of this scan are no longer whole ({gone} is gone); scan again.")
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    step = int(record["settings"]["stride"])
    tracks: list[Track] = []
    lengths: dict[str, int] = {}
    for strand, name in TRACK_FILES.items():
        if (folder / name).is_file():
            found, lengths = _read_bigwig(folder / name, strand, step)
            tracks += found
    order = {contig: place for place, contig in enumerate(lengths)}
    tracks.sort(key=lambda track: (order[track.contig], track.strand))
    return ScanFolder(folder, tracks, features.read_calls(folder / "calls.csv"), lengths, record)


def _read_bigwig(path: Path, strand: str, step: int) -> tuple[list[Track], dict[str, int]]:
    with pyBigWig.open(str(path)) as handle:
        lengths = {contig: int(length) for contig, length in handle.chroms().items()}
        tracks = [
            track
            for contig, length in lengths.items()
            if (track := _one_track(handle, contig, length, strand, step)) is not None
        ]
    return tracks, lengths


def _one_track(handle: Any, contig: str, length: int, strand: str, step: int) -> Track | None:
    first = _first_interval(handle, contig, length)
    if first is None:
        return None
    start, end = first
    blocks = [
        handle.values(contig, left, min(left + _BLOCK * step, length), numpy=True)[::step]
        for left in range(start, length, _BLOCK * step)
    ]
    values = np.concatenate(blocks).astype(np.float32)
    last = int(np.flatnonzero(~np.isnan(values))[-1])
    return Track(contig, strand, start, step, end - start, values[: last + 1])


def _first_interval(handle: Any, contig: str, length: int) -> tuple[int, int] | None:
    reach = 1000
    for left in range(0, length, reach):
        found = handle.intervals(contig, left, min(left + reach, length))
        if found:
            return int(found[0][0]), int(found[0][1])
    return None


def curves(tracks: list[Track], start: int, end: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what to draw of [start, end): per strand (positions, highest score per bin), NaN in gaps."""
    found = {}
    for track in tracks:
        bins = track.binned_max(_PLOT_POINTS, start, end)
        found[track.strand] = (bins.sites, bins.values)
    return found


def check_sites(
    scan: ScanFolder, calls: pd.DataFrame, sites: list[tuple[str, str, int, str]], *, reach: int = 50
) -> pd.DataFrame:
    """Return, for each known site, the highest score within ``reach`` bp and how far the nearest summit is.

    Sites without a score so near are left out: the scan did not look there.

    Columns ``site, contig, position`` (from 1), ``strand, highest score nearby, nearest call (bp)``.
    """
    rows = []
    for name, contig, position, strand in sites:
        near = [
            track.between(position - reach, position + reach + 1).values
            for track in scan.of(contig)
            if track.strand == strand
        ]
        same = calls[(calls["contig"] == contig) & (calls["strand"] == strand)]
        top = max((float(np.nanmax(part, initial=-np.inf)) for part in near), default=-np.inf)
        if top == -np.inf:
            continue
        gap = (same["summit"] - position).abs().min() if len(same) else float("nan")
        rows.append((name, contig, position + 1, strand, top, gap))
    columns = ["site", "contig", "position", "strand", "highest score nearby", "nearest call (bp)"]
    return pd.DataFrame(rows, columns=columns)


def write_calls(
    folder: Path, calls: pd.DataFrame, scan: ScanFolder, *, circular: Mapping[str, int] | None = None
) -> dict[str, Path]:
    """Write calls as CSV, BED and GFF3, as the scan itself does, and return the files by label."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"CSV": folder / "calls.csv", "BED": folder / "calls.bed", "GFF3": folder / "calls.gff3"}
    names = {"model": scan.model, "class_name": str(scan.setting("class", ""))}
    outputs.write_calls(folder, calls, scan.lengths, circular=circular, **names)
    return paths


def read_saliency(out: Path) -> tuple[pd.DataFrame, dict[str, dict[int, np.ndarray]]]:
    """Return the table of a saliency and, per strand, the losses per length where they were written.

    Numbers of a record that is not judged are NaN.
    """
    texts, empty = {"record": str, "base": str, "strand": str}, dict.fromkeys(("score", "low", "high"), [""])
    table = pd.read_csv(out, dtype=texts, keep_default_na=False, na_values=empty)
    strips: dict[str, dict[int, np.ndarray]] = {}
    if strips_path(out).is_file():
        losses = pd.read_csv(strips_path(out), dtype={"record": str, "strand": str})
        for (strand, length), rows in losses.groupby(["strand", "length"], sort=False):
            strips.setdefault(str(strand), {})[int(length)] = rows["loss"].to_numpy()
    return table, strips
