"""The genome browser of a finished scan: what it shows, where it is, and the ways out of it."""

import hashlib
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from genolm.errors import RegionError
from genolm.figure_parts import BLUE, GREEN, PURPLE, VERMILION
from genolm.genome_files import open_genome
from genolm.jobs import Job
from genolm.regions import Region, parse_region
from pages.shared import inputs, results, scan_places, state, view_files
from pages.shared.genome_view import FeatureTrack, GenomeView, ScoreTrack, genome_view
from pages.shared.scan_data import Finished, gaps

AROUND_CALL = 250
BESIDE_WINDOW = 25
SALIENCY_UP_TO = 500
_SCORES = {"+": ("Score, plus strand", BLUE), "-": ("Score, minus strand", VERMILION)}
_STRANDS = {"+": "plus strand", "-": "minus strand"}
_CALL_FACTS = {
    "place": "Position",
    "summit": "Summit",
    "score": "Score",
    "q_value": "q-value",
    "gene": "Next gene",
}


@dataclass
class Place:
    """Where the browser of one job is.

    Attributes
    ----------
    target, seen : Region
        Where it was sent, and what it shows.
    jumps : int
        How often it was sent somewhere.
    said : Region or None
        What it said last.
    picked : Region or None
        The stretch to explain of the call that was selected in the table last.
    call : Series or None
        That call.
    problem, note : str
        What is wrong with the place that was typed, or worth knowing of it.
    """

    target: Region
    seen: Region
    jumps: int = 0
    said: Region | None = None
    picked: Region | None = None
    call: pd.Series | None = None
    problem: str = ""
    note: str = ""

    def go(self, region: Region) -> None:
        """Send the browser to a stretch."""
        self.target = self.seen = region
        self.jumps += 1


def place_of(job: Job, found: Finished) -> Place:
    """Return where the browser of this job is; at first where the address says, else a whole contig."""
    key = f"place_{job.id}"
    if key not in st.session_state:
        start = _from_address(found) or _whole(found, found.first)
        st.session_state[key] = Place(start, start)
    place: Place = st.session_state[key]
    return place


def _from_address(found: Finished) -> Region | None:
    text = st.query_params.get("locus")
    if not text:
        return None
    try:
        return parse_region(text, contigs=found.lengths)
    except RegionError as error:
        st.warning(state.plain(f"The place in this address is not in the genome. {error}"))
        return None


def _whole(found: Finished, contig: str) -> Region:
    return Region(contig, 0, found.lengths[contig])


def around(call: pd.Series, found: Finished) -> Region:
    """Return the stretch to look at around a call's summit, within its contig; it holds :func:`window_of`.

    But for the part of it that lies beyond the origin of a circular contig, which the browser cannot show.
    """
    reach, summit = max(AROUND_CALL, found.window + BESIDE_WINDOW), int(call["summit"])
    return Region(call["contig"], max(0, summit - reach), min(found.lengths[call["contig"]], summit + reach))


def window_of(call: pd.Series, found: Finished) -> Region:
    """Return the model's window whose site is a call's summit, with a few bases beside it.

    It ends where a linear contig does, and goes over the origin of a circular one: its end then is beyond the length.
    """
    site = int(found.scan.setting("value_at", found.window // 2))
    before, after = site + BESIDE_WINDOW, found.window - site + BESIDE_WINDOW
    if call["strand"] == "-":  # the window is mirrored about the summit's base
        before, after = after - 1, before + 1
    contig, summit = call["contig"], int(call["summit"])
    start, end, length = summit - before, summit + after, found.lengths[contig]
    if contig not in found.circular or before + after > length:
        return Region(contig, max(0, start), min(length, end))
    return Region(contig, start % length, start % length + before + after)


def pick(call: pd.Series, found: Finished, place: Place) -> None:
    """Send the browser to a call, and let it be the one to explain."""
    place.picked, place.call = window_of(call, found), call
    place.go(around(call, found))


def show(job: Job, found: Finished, calls: pd.DataFrame, threshold: float) -> Place:
    """Show the browser, which keeps the address of the page at its stretch, and return where it is."""
    place = place_of(job, found)
    view = _view(job, found, calls, threshold)
    said = genome_view(view, locus=place.target, jump=place.jumps, key=f"browser_{job.id}")
    if said != place.said:
        place.said = said
        place.seen = _within(said, found) or place.seen
    return place


def _within(said: Region | None, found: Finished) -> Region | None:
    """Return the stretch without what lies beyond its contig's end."""
    length = found.lengths.get(said.contig, 0) if said else 0
    if said is None or said.start >= length:
        return None
    return Region(said.contig, said.start, min(said.end, length))


def _view(job: Job, found: Finished, calls: pd.DataFrame, threshold: float) -> GenomeView:
    folder = found.folder / "view"
    scores = [
        ScoreTrack(*_SCORES[strand][:1], found.scan.folder / name, _SCORES[strand][1])
        for strand, name in results.TRACK_FILES.items()
        if (found.scan.folder / name).is_file()
    ]
    return GenomeView(
        identity=f"{job.id}_{found.changed}",
        genome=found.source.name,
        fasta=found.fasta,
        fai=found.fai,
        sizes=view_files.write_sizes(folder / "contigs.sizes", found.lengths),
        contigs=len(found.lengths),
        scores=scores,
        features=_features(found, calls, threshold),
        threshold=threshold,
        gaps=gaps(found),
    )


def _features(found: Finished, calls: pd.DataFrame, threshold: float) -> list[FeatureTrack]:
    folder = found.folder / "view"
    stamp = hashlib.sha256(f"{found.changed} {threshold!r}".encode()).hexdigest()[:16]
    facts = {name: label for name, label in _CALL_FACTS.items() if name in calls or name == "place"}
    table = _call_words(calls)
    paths = view_files.write_features(folder, f"calls_{stamp}", table, facts=facts, lengths=found.lengths)
    tracks = [FeatureTrack("Calls", *paths, (BLUE, VERMILION), 75)]
    if found.genes is not None:
        genes = found.genes.assign(place=_places(found.genes))
        stem = f"genes_{found.changed}"
        paths = view_files.write_features(
            folder, stem, genes, facts={"place": "Position", "kind": "Kind"}, lengths=found.lengths
        )
        tracks.append(FeatureTrack("Genes", *paths, (GREEN, PURPLE), 80))
    return tracks


def _call_words(calls: pd.DataFrame) -> pd.DataFrame:
    words = {"name": "", "place": _places(calls), "score": _said("{:.3f}", calls["score"])}
    words["summit"] = _said("{:,}", calls["summit"] + 1)
    if "q_value" in calls:
        words["q_value"] = _said("{:.2g}", calls["q_value"])
    return calls.assign(**words)


def _places(table: pd.DataFrame) -> list[str]:
    return [
        f"{start + 1:,} to {end:,} ({_STRANDS.get(strand, 'no strand')})"
        for start, end, strand in zip(table["start"], table["end"], table["strand"], strict=True)
    ]


def _said(form: str, numbers: pd.Series) -> list[str]:
    return [form.format(number) for number in numbers]


def show_ways_out(job: Job, found: Finished, calls: pd.DataFrame, place: Place) -> None:
    """Offer to type a place, to see the whole contig, and to explain a stretch."""
    key = f"region_{job.id}"
    region = to_explain(place, found) if found.fasta else None
    others = "a contig, or a gene" if found.genes is not None else "or a contig"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Go to",
            key=key,
            placeholder=f"A place such as 20,400-20,800 or name:1-10K, {others}",
            on_change=lambda: _go_typed(str(st.session_state[key]), found, place),
        )
        st.button("Whole contig", key=f"whole_{job.id}", on_click=lambda: place.go(_whole(found, place.seen.contig)))
    if place.problem:
        st.error(state.plain(place.problem), icon=":material/error:")
    if place.note:
        st.info(state.plain(place.note), icon=":material/info:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            "pages/annotate/saliency.py",
            label="Saliency of this locus",
            icon=":material/insights:",
            disabled=region is None,
            query_params={"model": found.scan.model, **(_offer(found, calls, region, place) if region else {})},
        )
        st.caption(state.plain(_explained(region, place, found, calls)))


def _go_typed(typed: str, found: Finished, place: Place) -> None:
    """Go where the user says; a place that is none is said beside the field."""
    place.problem = place.note = ""
    if not typed.strip():
        return
    try:
        there = scan_places.find(typed, found, place.seen.contig)
    except RegionError as error:
        place.problem = str(error)
    else:
        place.note = there.note
        place.go(there.region)


def to_explain(place: Place, found: Finished) -> Region | None:
    """Return the stretch to explain: of the call picked, or what is in view where that is shorter or alone.

    None where the view is too wide and holds no call that was picked.
    """
    seen, picked, call = place.seen, place.picked, place.call
    if picked is not None and picked.contig == seen.contig:
        spot = picked
        if call is not None and picked.end > found.lengths[picked.contig]:
            # It goes over the origin, and the browser shows the side of the summit.
            spot = Region(picked.contig, int(call["summit"]), int(call["summit"]) + 1)
        inside = seen.start <= spot.start and spot.end <= seen.end
        if inside and (call is None or seen.length >= around(call, found).length):
            return picked
    return seen if seen.length <= SALIENCY_UP_TO else None


def _explained(region: Region | None, place: Place, found: Finished, calls: pd.DataFrame) -> str:
    """Say what the saliency is of, or how to come to one."""
    if found.fasta is None:
        return "It needs the genome file of this scan, which is no longer here."
    if region is None:
        return f"Select a call in the table, or zoom in to {SALIENCY_UP_TO} bp or less."
    what = "what is in view; its best call decides strand and site"
    if region == place.picked:
        what = f"the window of {found.window} bp at the summit of the call and {BESIDE_WINDOW} bp on either side"
        if region.length < found.window + 2 * BESIDE_WINDOW:
            what += ", as far as the contig goes"
        elif region.end > found.lengths[region.contig]:
            what += ", over the origin"
    elif _best_in(calls, region) is None:
        what = "what is in view, on the plus strand and without a site, as no call has its summit there"
    return f"{region} ({region.length} bp): {what}."


def _best_in(calls: pd.DataFrame, region: Region) -> pd.Series | None:
    here = calls[(calls["contig"] == region.contig) & calls["summit"].between(region.start, region.end - 1)]
    return None if here.empty else here.loc[here["score"].idxmax()]


def _offer(found: Finished, calls: pd.DataFrame, region: Region, place: Place) -> dict[str, str]:
    """Offer the stretch to the page Saliency, with strand and summit of the call picked, else of its best one."""
    call = place.call if region == place.picked else _best_in(calls, region)

    def fasta() -> str:
        with open_genome(found.source) as genome:
            letters = genome.fetch(region.contig, region.start, region.end)
        return f">{str(region).replace(' ', '_')}\n{letters}\n"

    site = None if call is None else (int(call["summit"]) - region.start) % found.lengths[region.contig]
    strand = "minus" if call is not None and call["strand"] == "-" else "plus"
    return inputs.offer("saliency", "scan", fasta, site=site, strand=strand)
