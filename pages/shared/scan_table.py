"""The calls of a finished scan as a table: filters, order, and the way from a row to its place."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from genolm.jobs import Job
from genolm.regions import Region
from pages.shared import inputs, state
from pages.shared.scan_browser import Place, pick
from pages.shared.scan_data import Finished

ROWS_SHOWN = 5_000
ALL = "all"
_STRANDS = {"both": "", "plus": "+", "minus": "-"}
_WIDTHS = {"order": 1.6, "contig": 1, "strand": 1, "gene": 1, "score": 1, "q": 1}


@dataclass(frozen=True)
class Filter:
    """What of the calls to list; empty words and None ask for nothing.

    Attributes
    ----------
    contig, strand, text : str
        ``text`` is part of the name of the next gene, in any case.
    min_score, max_q : float or None
    within : Region or None
        Only calls whose summit lies there.
    """

    contig: str = ""
    strand: str = ""
    min_score: float | None = None
    max_q: float | None = None
    text: str = ""
    within: Region | None = None

    def of(self, calls: pd.DataFrame) -> pd.DataFrame:
        """Return the calls that pass."""
        keep = pd.Series(True, index=calls.index)
        if self.contig:
            keep &= calls["contig"] == self.contig
        if self.strand:
            keep &= calls["strand"] == self.strand
        if self.min_score is not None:
            keep &= calls["score"] >= self.min_score
        if self.max_q is not None and "q_value" in calls:
            keep &= calls["q_value"] <= self.max_q
        if self.text and "gene" in calls:
            keep &= calls["gene"].str.contains(self.text, case=False, regex=False)
        if self.within is not None:
            keep &= calls["contig"] == self.within.contig
            keep &= calls["summit"].between(self.within.start, self.within.end - 1)
        return calls[keep]


def orders(calls: pd.DataFrame) -> dict[str, tuple[list[str], list[bool]]]:
    """Return the orders that a table with these columns can have: label -> (columns, ascending)."""
    found = {
        "best score first": (["score"], [False]),
        "along the genome": (["contig", "summit"], [True, True]),
        "widest first": (["width"], [False]),
    }
    if "gene_distance" in calls:
        found["nearest gene start first"] = (["far", "gene_distance"], [True, True])
    return found


def show(job: Job, found: Finished, calls: pd.DataFrame, place: Place) -> None:
    """Show the filters and the table; a row selected sends the browser there."""
    st.subheader("Calls", anchor=False)
    chosen, order = _ask(job, found, calls, place)
    listed = chosen.of(calls)
    total = len(listed)
    listed = in_order(listed, order).head(ROWS_SHOWN).reset_index(drop=True)
    if listed.empty:
        none = "No window reaches the threshold. Lower it to see weaker candidates."
        words = none if calls.empty else "No call passes these filters."
        st.info(words, icon=":material/info:")
        return
    stamp = abs(hash((chosen, order, len(calls), float(calls["score"].min()))))
    key = f"table_{job.id}_{stamp}"
    st.dataframe(
        as_people_write(listed),
        hide_index=True,
        column_config={"contig": inputs.name_column(found.lengths), **_columns()},
        on_select=lambda: _follow(st.session_state[key]["selection"]["rows"], listed, found, place),
        selection_mode="single-row",
        key=key,
        height=380,
        alt="Calls",
    )
    more = f" The first {ROWS_SHOWN:,} are listed." if total > ROWS_SHOWN else ""
    st.caption(
        f"{total:,} of {len(calls):,} calls.{more} Select a row to see it in the browser. Positions "
        "here count from 1 "
        "and include the last base, as in the browser and in GFF3; in CSV and BED they count from 0."
    )


def _follow(rows: list[int], listed: pd.DataFrame, found: Finished, place: Place) -> None:
    """Send the browser to the selected row."""
    if rows:
        pick(listed.iloc[rows[0]], found, place)


def in_order(calls: pd.DataFrame, order: str) -> pd.DataFrame:
    """Return the calls in one of :func:`orders`."""
    columns, ascending = orders(calls)[order]
    keys = calls.assign(width=calls["end"] - calls["start"])
    if "gene_distance" in calls:
        keys["far"] = keys["gene_distance"] < 0
    return calls.loc[keys.sort_values(columns, ascending=ascending, kind="stable").index]


def as_people_write(calls: pd.DataFrame) -> pd.DataFrame:
    """Return the table with positions from 1, the last base included."""
    shown = pd.DataFrame(
        {
            "contig": calls["contig"],
            "from": calls["start"] + 1,
            "to": calls["end"],
            "strand": calls["strand"],
            "score": calls["score"],
            "summit": calls["summit"] + 1,
            "width": calls["end"] - calls["start"],
        }
    )
    if "q_value" in calls:
        shown["q-value"] = calls["q_value"]
    if "gene" in calls:
        shown["next gene"] = calls["gene"]
        shown["distance"] = calls["gene_distance"].where(calls["gene_distance"] >= 0)
    return shown


def _columns() -> dict[str, object]:
    number = st.column_config.NumberColumn
    return {
        "from": number(format="localized"),
        "to": number(
            format="localized", help="Beyond the contig's length where a call goes over the origin."
        ),
        "summit": number(format="localized", help="The place of the highest score."),
        "width": number("width (bp)"),
        "score": st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.3f"),
        "q-value": number(
            format="%.2g", help="Share of false calls to expect among all calls at least as good as this one."
        ),
        "distance": number(
            "to gene start (bp)",
            help="From the summit downstream on the call's strand to the next gene start.",
        ),
    }


def _ask(job: Job, found: Finished, calls: pd.DataFrame, place: Place) -> tuple[Filter, str]:
    """Show the filters that these calls can have and return what they say, with the order."""
    absent = {"contig": len(found.lengths) < 2, "gene": "gene" not in calls, "q": "q_value" not in calls}
    widths = {name: width for name, width in _WIDTHS.items() if not absent.get(name)}
    at = dict(zip(widths, st.columns(list(widths.values()), vertical_alignment="bottom"), strict=True))
    order = at["order"].selectbox("Order", list(orders(calls)), key=f"order_{job.id}", **inputs.KEPT)
    contig, text, worst = ALL, "", None
    if "contig" in at:
        contig = at["contig"].selectbox("Contig", [ALL, *found.lengths], key=f"filter_contig_{job.id}", **inputs.KEPT)
    strand = at["strand"].selectbox("Strand", list(_STRANDS), key=f"filter_strand_{job.id}", **inputs.KEPT)
    if "gene" in at:
        text = at["gene"].text_input("Next gene", key=f"filter_gene_{job.id}", placeholder="any", **inputs.KEPT)
    lowest = at["score"].number_input(
        "Score from", 0.0, 1.0, None, 0.05, key=f"filter_score_{job.id}", placeholder="any", **inputs.KEPT
    )
    if "q" in at:
        worst = at["q"].number_input(
            "q-value up to", 0.0, 1.0, None, 0.05, key=f"filter_q_{job.id}", placeholder="any", format="%.3f",
            **inputs.KEPT,
        )
    only = st.toggle("Only calls in the browser's view", key=f"filter_view_{job.id}", **inputs.KEPT)
    chosen = Filter(
        contig="" if contig == ALL else str(contig),
        strand=_STRANDS[strand],
        min_score=lowest,
        max_q=worst,
        text=text.strip(),
        within=place.seen if only else None,
    )
    if only:
        seen = place.seen
        st.caption(state.plain(f"In view: {seen.contig}, {seen.start + 1:,} to {seen.end:,}"))
    return chosen, str(order)
