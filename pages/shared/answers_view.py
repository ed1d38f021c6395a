"""The answers of a classification on the page: what is not judged, a figure, the table and the download."""

from pathlib import Path

import pandas as pd
import streamlit as st

from genolm.config import Calibration
from genolm.prediction import NOT_JUDGED, not_judged_words, value_columns
from genolm.registry import BundleInfo
from pages.shared import charts, inputs, many_classes, samples, state

OUT_NAME = "classification.csv"
ROWS_SHOWN = 5_000


def show_not_judged(table: pd.DataFrame, judged: pd.Series, model: BundleInfo) -> None:
    """Name the records that have too few known bases for an answer."""
    names = list(table["record"][~judged])
    if words := not_judged_words(names, len(names), len(table), model.config.window):
        st.warning(state.plain(words), icon=":material/warning:")


def show_strands(table: pd.DataFrame, model: BundleInfo, strand: str) -> None:
    """Say how many records were read on the minus strand, where the table has strands, and what that costs."""
    if "strand" not in table:
        return
    minus = int((table["strand"] == "-").sum())
    st.markdown(f"**{minus:,} of {len(table):,} read on the minus strand.**")
    if strand == "either" and model.config.head.task == "binary":
        name = model.config.head.classes[1]
        st.caption(
            f"The strand told is that with more for {name}; the probability counts what the model says of both. "
            "Answers are less sure than where the strand is known."
        )


def show_figure(table: pd.DataFrame, model: BundleInfo, strand: str) -> None:
    """Draw the answers in the way that fits the task and the number of records."""
    head, threshold = model.config.head, model.config.calibration.threshold_on(strand)
    columns = value_columns(head.classes, head.task)
    few = len(table) <= charts.MANY_RECORDS
    if head.task == "regression":
        figure = charts.value_histogram(table[columns[0]], quantity=head.classes[0])
    elif head.task == "binary":
        options = {"threshold": threshold, "class_name": head.classes[1]}
        scores = table[columns[1]]
        dots = few and charts.score_dots(table["record"], scores, **options)
        figure = dots or charts.score_histogram(scores, **options)
    elif few:
        values = table[columns].to_numpy()
        shown = many_classes.drawn_classes(values)
        labels = many_classes.short_labels(head.classes)
        figure = charts.class_heatmap(table["record"], [labels[place] for place in shown], values[:, shown])
        if len(shown) < len(labels):
            st.caption(f"The {len(shown)} of {len(labels)} classes with the highest probabilities.")
    else:
        figure = charts.class_counts(table["predicted"])
    st.plotly_chart(figure, key="classify_figure", alt="The answers; the table below has the same numbers.")
    if head.task == "regression":
        st.caption("Predictions of that quantity, in the unit of the table that the model learned from.")
        return
    st.caption(
        "A calibrated probability of 0.8 means: of pieces that get 0.8, about eight in ten are of that "
        "class, if they resemble the data on the model's card."
        + (f" {threshold_words(model.config.calibration, strand)}" if head.task == "binary" else "")
    )


def threshold_words(calibration: Calibration, strand: str = "+") -> str:
    """Say from which probability on the answer is yes, and why there."""
    if calibration.scan_threshold is None:
        return (
            f"From {calibration.threshold_on(strand):.2f} up (filled, blue) the answer is yes: that "
            "line was chosen by sequences kept apart from the training, whose answers were known."
        )
    return (
        "This model's probabilities are those of a genome, where such sites are rare, so that even most true ones stay "
        f"far below 1. Of a piece that was chosen with care the answer is yes from {calibration.threshold:.2f} up "
        f"(filled, blue); a scan, which meets many more windows without a site, calls from "
        f"{calibration.for_scans:.2f} up."
    )


def show_table(table: pd.DataFrame, model: BundleInfo, sample: samples.Sample | None) -> None:
    """Show the table, beside what is known of a sample; of many classes the likeliest."""
    head = model.config.head
    chances = value_columns(head.classes, head.task)
    is_long = head.task == "multiclass" and len(chances) > many_classes.MANY_CLASSES
    table = many_classes.likeliest(table, chances, head.classes) if is_long else table.copy()
    if sample and sample.answers:
        known = table["record"].map(sample.answers).fillna("unknown")
        table.insert(table.columns.get_loc("predicted") + 1, "known", known)
        right = sample.right(known, table["predicted"], head)
        if right is not None:
            st.markdown(f"**{sum(right)} of {len(table)} answers agree with what is known.**")
            st.caption(
                "These are well-known sequences; most models have seen their like in training. This shows "
                "how to read the page, not how good the model is. For that see its card."
            )
    bars = {
        name: st.column_config.ProgressColumn(name, min_value=0, max_value=1, format="%.3f")
        for name in table.columns
        if name.startswith("p_") or (is_long and name.endswith("probability"))
    }
    shown = table.head(ROWS_SHOWN)
    config = {"record": inputs.name_column(shown["record"]), **bars}
    st.dataframe(shown, hide_index=True, column_config=config, alt="Answer for each record")
    if is_long:
        st.caption(f"The likeliest of {len(chances)} classes; the download has the probability of each.")
    if len(table) > ROWS_SHOWN:
        st.caption(f"The first {ROWS_SHOWN:,} of {len(table):,} rows; the download has all.")


def show_answers(out: Path, model: BundleInfo, sample: samples.Sample | None = None, *, strand: str = "+") -> None:
    """Show a finished classification of what was read on a strand: figure, table, download."""
    st.header("Answers", divider="gray")
    head = model.config.head
    empty = dict.fromkeys(value_columns(head.classes, head.task), [""])
    table = pd.read_csv(out, dtype={"record": str, "predicted": str}, keep_default_na=False, na_values=empty)
    judged = table[list(empty)].notna().all(axis=1)
    table.loc[~judged, "predicted"] = NOT_JUDGED
    show_not_judged(table, judged, model)
    show_strands(table, model, strand)
    if judged.any():
        show_figure(table[judged], model, strand)
    show_table(table, model, sample)
    st.download_button("Download CSV", out.read_bytes(), OUT_NAME, "text/csv", icon=":material/download:")
