"""Saliency: one sequence and a model -> how much each base supports the answer."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from genolm.prediction import not_judged_words
from genolm.registry import BundleInfo
from pages.shared import charts, code_view, explain, inputs, results, running, samples, state

STRANDS = {"plus": "+", "minus": "-", "both": "both"}
PREDICTED = "predicted class"
CHOSEN = (
    "The predicted class is what the model says of the piece as a whole, on each strand. Where that is none or "
    "several, it is that of the window at the marked site, else that of the surest window."
)
MEANING = (
    "How to read it: stretches of 1 to 15 bases are replaced by random ones, and the loss of log-odds for "
    "the class is shared among the bases that they covered. Above 0 a base supports the class, below 0 it "
    "speaks against it; where the band crosses 0 the effect cannot be told from chance. A loss of 0.7 halves "
    "the odds. Drag across the figure to zoom in; bases are written where there is room for them."
)


def choose_task(overview: state.Overview, model: BundleInfo, known: int | None) -> explain.Task:
    """Ask for record, piece, strand, class and the site to mark."""
    left, middle, right = st.columns([3, 1, 1])
    record = left.selectbox("Record", list(overview.contigs), key="saliency_record")
    length = overview.contigs[record]
    start = middle.number_input("From base", 1, length, 1, key=f"saliency_from_{record}")
    place = f"{record}_{start}"
    end = right.number_input("To base", start, length, min(length, start + 499), key=f"saliency_to_{place}")
    left, middle, right = st.columns([3, 1, 1])
    inputs.keep("saliency_strand")
    strand = left.radio("Strand to read", list(STRANDS), horizontal=True, key="saliency_strand")
    site = known + 1 if known is not None and start <= known + 1 <= end else None
    place = f"{place}_{end}"
    words = "A known TSS, say; may be empty."
    mark = middle.number_input("Site to mark", start, end, site, key=f"saliency_mark_{place}", help=words)
    classes = class_options(model)
    words = CHOSEN if PREDICTED in classes else None
    named = right.selectbox("Class to explain", classes, key=f"saliency_class_{model.name}", help=words)
    with st.expander("Options"):
        fills = st.number_input("Random fills at each place", 2, 64, 8, help="More narrow the band.")
        seed = st.number_input("Seed of the random fills", 0, 10**6, 1)
    return explain.Task(
        path=overview.path,
        record=record,
        length=length,
        start=int(start) - 1,
        end=int(end),
        strand=STRANDS[strand],
        class_name=None if named == PREDICTED else named,
        mark=None if mark is None else int(mark) - int(start),
        fills=int(fills),
        seed=int(seed),
    )


def show(
    out: Path,
    fasta: Path,
    *,
    model: BundleInfo | None,
    class_name: str,
    mark: int | None = None,
    known: str = "",
) -> None:
    """Show a finished saliency of the letters in ``fasta``: answers, figures, the best bases, the table to download."""
    st.header("Saliency", divider="gray")
    table, strips = results.read_saliency(out)
    place = explain.Place.of(table["record"][0], fasta)
    if table["score"].isna().all():
        words = not_judged_words([place.name], 1, 1, model.config.window) if model else "Too few bases are known."
        st.warning(state.plain(words), icon=":material/warning:")
    else:
        first, end = choose_positions(place, len(table) // table["strand"].nunique())
        for strand, rows in table.groupby("strand", sort=False):
            st.markdown(f"**{charts.STRAND_WORDS[strand].capitalize()}**")
            if model:
                asked = None if class_name == PREDICTED else class_name
                letters, options = "".join(rows["base"]), {"class_name": asked, "mark": mark, "known": known}
                st.markdown(explain.answer_words(model, letters, strand, offset=place.start, **options))
            show_figure(rows, strips.get(str(strand)), (first, end), class_name=class_name, mark=mark, place=place)
        st.caption(MEANING)
        with st.expander("The 15 bases that support the class most"):
            best = table.nlargest(15, "score")
            st.dataframe(best.assign(record=place.record, position=best["position"] + place.start + 1), hide_index=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        icon = ":material/download:"
        st.download_button("Download CSV", out.read_bytes(), explain.OUT_NAME, "text/csv", icon=icon)
        st.caption(explain.counting_words(place))


def choose_positions(place: explain.Place, length: int) -> tuple[int, int]:
    """Ask which positions to show, 0-based and half-open in the piece of ``length`` bases: all where they are few."""
    if length <= charts.LETTERS_UP_TO:
        return 0, length
    label = f"Positions to show (up to {charts.LETTERS_UP_TO} of them with their bases)"
    lowest, highest = place.start + 1, place.start + length
    first, last = st.slider(label, lowest, highest, (lowest, highest))
    return first - lowest, last - place.start


def show_figure(
    rows: pd.DataFrame,
    losses: Mapping[int, np.ndarray] | None,
    shown: tuple[int, int],
    *,
    class_name: str,
    mark: int | None,
    place: explain.Place,
) -> None:
    """Draw the positions ``shown`` of one strand."""
    first, end = shown
    part = rows[rows["position"].between(first, end - 1)]
    grid = charts.length_grid(losses, len(rows)).loc[:, first : end - 1] if losses else None
    figure = charts.saliency_figure(
        part,
        class_name=rows["class"].iloc[0] if "class" in rows else class_name,
        mark=mark if mark is not None and first <= mark < end else None,
        grid=grid,
        offset=place.start if place.is_piece else None,
    )
    key = f"saliency_{rows['strand'].iloc[0]}"
    st.plotly_chart(figure, key=key, alt="Loss of log-odds at each base, with a band.")


def class_options(model: BundleInfo) -> list[str]:
    """Return the classes that can be explained, the default first."""
    head = model.config.head
    if head.task == "binary":
        return [head.classes[1], head.classes[0]]
    return list(head.classes) if len(head.classes) == 1 else [PREDICTED, *head.classes]


st.title("Which bases does the answer rest on?")
st.markdown("Stretches of a sequence are replaced at random; where the answer suffers, the bases matter.")
if job := running.current("saliency"):
    running.header(job, again="New saliency")
    running.wait_until_over(job)
    site = running.option(job, "--site")
    named = running.option(job, "--class") or PREDICTED
    wanted = running.option(job, "--model")
    own = next((info for info in state.classifiers() if info.name == wanted), None)
    out, fasta = job.result / explain.OUT_NAME, Path(job.arguments[1])
    show(out, fasta, model=own, class_name=named, mark=int(site) if site else None)
    code_view.show_code(job.arguments, key=job.id)
    st.stop()
model = inputs.pick_model("saliency_model")
source = inputs.choose_sequences("saliency", samples.model_samples(model), wanted=inputs.wanted_pieces(model))
overview = state.overview(source.path, source.name)
inputs.show_overview(overview)
task = choose_task(overview, model, source.site)
if problem := task.problem(model):
    st.error(problem)
    st.stop()
result = task.out(model)
time_left, caution = state.duration(task.seconds(model)), state.windows_per_second(model).words
bases = task.end - task.start
st.caption(f"{bases:,} bases: {task.cost(model):,} passes of the model, about {time_left} here; {caution}.")
asked = st.button("Explain the answer", type="primary", icon=":material/play_arrow:")
with state.work_place():
    if asked:
        start = explain.run_as_job if task.is_long(model) else explain.run_here
        start(task, model, result)
if result.is_file():
    known = source.sample.answers.get(task.record, "") if source.sample else ""
    fasta, named = result.with_name(task.file_name), task.class_name or PREDICTED
    show(result, fasta, model=model, class_name=named, mark=task.mark, known=known)
code_view.show_code(explain.command(task, model, task.file_name), key="saliency", piece=task.fasta())
running.recent("saliency", "pages/annotate/saliency.py")
