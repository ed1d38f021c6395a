"""Classify: a FASTA file and a model -> the class of each record with calibrated probabilities."""

from pathlib import Path

import pandas as pd
import streamlit as st

from genolm.pipelines import classify_file
from genolm.prediction import value_columns
from genolm.registry import BundleInfo
from pages.shared import charts, code_view, inputs, many_classes, running, samples, state

IN_PAGE_BASES = 2_000_000
OUT_NAME = "classification.csv"
ROWS_SHOWN = 5_000


def show_lengths(overview: state.Overview, model: BundleInfo) -> None:
    """Say when records are not as long as what the model was trained on."""
    window = model.config.window if model.config else None
    other = 0 if window is None else sum(size != window.length for size in overview.contigs.values())
    if other:
        st.warning(
            f"{other:,} of {len(overview.contigs):,} records are not {window.length} bp long, as the pieces "
            "were that the model was trained and measured on. They are classified as a whole, less surely. "
            "To find sites within long sequences, use Scan.",
            icon=":material/straighten:",
        )


def show_figure(table: pd.DataFrame, model: BundleInfo) -> None:
    """Draw the answers in the way that fits the task and the number of records."""
    head, threshold = model.config.head, model.config.calibration.threshold
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
        + (f" From {threshold:.2f} up (filled, blue) the answer is yes." if head.task == "binary" else "")
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
    st.dataframe(table.head(ROWS_SHOWN), hide_index=True, column_config=bars, alt="Answer for each record")
    if is_long:
        st.caption(f"The likeliest of {len(chances)} classes; the download has the probability of each.")
    if len(table) > ROWS_SHOWN:
        st.caption(f"The first {ROWS_SHOWN:,} of {len(table):,} rows; the download has all.")


def show_answers(out: Path, model: BundleInfo, sample: samples.Sample | None = None) -> None:
    """Show a finished classification: figure, table, download."""
    st.header("Answers", divider="gray")
    table = pd.read_csv(out, dtype={"record": str, "predicted": str}, keep_default_na=False)
    show_figure(table, model)
    show_table(table, model, sample)
    st.download_button("Download CSV", out.read_bytes(), OUT_NAME, "text/csv", icon=":material/download:")


st.title("Classify sequences")
st.markdown("Each record gets one answer as a whole, with a calibrated probability for every class.")
if job := running.current("classify"):
    running.header(job, again="New classification")
    running.wait_until_over(job)
    show_answers(job.result / OUT_NAME, running.model_of(job))
    code_view.show_code(job.arguments, key=job.id)
    st.stop()
model = inputs.pick_model("classify_model")
source = inputs.choose_sequences("classify", [samples.model_sample(model)])
overview = state.overview(source.path, source.name)
inputs.show_overview(overview)
show_lengths(overview, model)
result = state.results_folder(source.path, model) / OUT_NAME
arguments = ["classify", str(source.path), "--model", model.name, "--out", OUT_NAME]
if st.button(f"Classify {overview.summary.records:,} records", type="primary", icon=":material/play_arrow:"):
    if overview.summary.bases > IN_PAGE_BASES:
        running.start("classify", arguments, title=f"{source.name}: {model.name}")
    predictor = state.predictor(model)
    with state.shown_errors(source.path, source.name), state.progress_shown("Classifying") as tell:
        classify_file(source.path, result, model=predictor, progress=tell)
if result.is_file():
    show_answers(result, model, source.sample)
code_view.show_code(arguments, key="classify")
