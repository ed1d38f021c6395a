"""The genome browser on a page: igv.js in a component, fed by byte ranges from this server alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from genolm.regions import Region
from pages.shared import ranges


@dataclass(frozen=True)
class ScoreTrack:
    """A bigWig of one strand, drawn from 0 to 1 with the highest value of each pixel."""

    name: str
    path: Path
    colour: str


@dataclass(frozen=True)
class FeatureTrack:
    """Features from a file of :func:`pages.shared.view_files.write_features`.

    Attributes
    ----------
    path, index : Path
        The features, and where those of each contig lie in that file.
    colours : (str, str)
        Of the plus and of the minus strand.
    height : int
        Pixels.
    """

    name: str
    path: Path
    index: Path
    colours: tuple[str, str]
    height: int = 70


@dataclass(frozen=True)
class GenomeView:
    """Everything to show: sequence, tracks and what to mark in them.

    Attributes
    ----------
    identity : str
        The browser is built anew when this changes, and only then.
    genome : str
        What to call it.
    fasta, fai : Path or None
        The indexed sequence; without it only the names and lengths in ``sizes`` are known.
    sizes : Path
        Two columns, name and length.
    gaps : sequence of (contig, start, end)
        Stretches without scores, shaded grey; 0-based, half-open.
    """

    identity: str
    genome: str
    fasta: Path | None
    fai: Path | None
    sizes: Path
    contigs: int
    scores: Sequence[ScoreTrack]
    features: Sequence[FeatureTrack]
    threshold: float
    gaps: Sequence[tuple[str, int, int]] = field(default=())


_PARTS = Path(__file__).parent
_widget = st.components.v2.component(
    "genolm_genome_view",
    html=(_PARTS / "widget.html").read_text(encoding="utf-8"),
    css=(_PARTS / "widget.css").read_text(encoding="utf-8"),
    js=(_PARTS / "widget.js").read_text(encoding="utf-8"),
)


def genome_view(view: GenomeView, *, locus: Region, jump: int, key: str) -> Region | None:
    """Show the browser and return the stretch that it shows, None until it says so.

    Parameters
    ----------
    view : GenomeView
    locus : Region
        Where to begin, and where to go when ``jump`` changes.
    jump : int
        A count of jumps; the same number leaves the user where they are.
    key : str
        Streamlit key.
    """
    data = {
        "program": ranges.igv_address(),
        "identity": view.identity,
        "genome": view.genome,
        "sequence": _sequence(view),
        "many": view.contigs > 1,
        "threshold": view.threshold,
        "gaps": [{"chr": contig, "start": start, "end": end} for contig, start, end in view.gaps],
        "scores": [{**asdict(track), "path": None, "url": ranges.link(track.path)} for track in view.scores],
        "features": [_features(track) for track in view.features],
        "locus": {"chr": locus.contig, "start": locus.start, "end": locus.end},
        "jump": jump,
    }
    result = _widget(key=key, data=data, default={"locus": None}, on_locus_change=lambda: None)
    return _region(result.get("locus"))


def _sequence(view: GenomeView) -> dict[str, str]:
    if view.fasta is None or view.fai is None:
        return {"sizes": ranges.link(view.sizes)}
    return {"fasta": ranges.link(view.fasta), "fai": ranges.link(view.fai)}


def _features(track: FeatureTrack) -> dict[str, Any]:
    urls = {"url": ranges.link(track.path), "index": ranges.link(track.index)}
    shown = {"name": track.name, "colours": track.colours, "height": track.height}
    return {**shown, **urls, "version": str(track.path)}


def _region(said: Mapping[str, Any] | None) -> Region | None:
    """Return what the browser says it shows; what is no stretch counts as nothing said."""
    try:
        start, end = int(said["start"]), int(said["end"])  # type: ignore[index]
        return Region(str(said["chr"]), max(0, start), end)  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return None
