"""Saliency: one sequence and a model -> how much each base supports the answer."""

from pathlib import Path

import streamlit as st

from genolm.registry import BundleInfo
from pages.shared import charts, code_view, explain, inputs, results, running, samples, state

STRANDS = {"plus": "+", "minus": "-", "both": "both"}
PREDICTED = "predicted class"
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
    named = right.selectbox("Class to explain", class_options(model), key=f"saliency_class_{model.name}")
    with st.expander("Options"):
        fills = st.number_input("Random fills at each place", 2, 64, 8, help="More narrow the band.")
        seed = st.number_input("Seed of the random fills", 0, 10**6, 1)
    return explain.Task(
        path=overview.path,
        record=record,
        start=int(start) - 1,
        end=int(end),
        strand=STRANDS[strand],
        class_name=None if named == PREDICTED else named,
        mark=None if mark is None else int(mark) - int(start),
        fills=int(fills),
        seed=int(seed),
    )


def show(
    out: Path, *, model: BundleInfo | None, class_name: str, mark: int | None = None, known: str = ""
) -> None:
    """Show a finished saliency: the answer and a figure per strand, the best bases, and the table to download."""
    st.header("Saliency", divider="gray")
    table, strips = results.read_saliency(out)
    last = int(table["position"].max()) + 1
    first, end = 1, last
    if last > charts.LETTERS_UP_TO:
        label = f"Positions to show (up to {charts.LETTERS_UP_TO} of them with their bases)"
        first, end = st.slider(label, 1, last, (1, last))
    for strand, rows in table.groupby("strand", sort=False):
        part = rows[rows["position"].between(first - 1, end - 1)]
        kept = strips.get(str(strand))
        grid = charts.length_grid(kept, last).loc[:, first - 1 : end - 1] if kept else None
        visible = mark if mark is not None and first - 1 <= mark < end else None
        st.markdown(f"**{charts.STRAND_WORDS[strand].capitalize()}**")
        if model:
            asked = None if class_name == PREDICTED else class_name
            letters = "".join(rows["base"])
            words = explain.answer_words(model, letters, strand, class_name=asked, mark=mark, known=known)
            st.markdown(words)
        figure = charts.saliency_figure(part, class_name=class_name, mark=visible, grid=grid)
        st.plotly_chart(figure, key=f"saliency_{strand}", alt="Loss of log-odds at each base, with a band.")
    st.caption(MEANING)
    with st.expander("The 15 bases that support the class most"):
        best = table.nlargest(15, "score").assign(position=lambda found: found["position"] + 1)
        st.dataframe(best, hide_index=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        icon = ":material/download:"
        st.download_button("Download CSV", out.read_bytes(), explain.OUT_NAME, "text/csv", icon=icon)
        st.caption("Positions on this page count from 1; in the CSV they count from 0.")


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
    show(job.result / explain.OUT_NAME, model=own, class_name=named, mark=int(site) if site else None)
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
time_left = state.duration(task.seconds(model))
bases = task.end - task.start
st.caption(f"{bases:,} bases: {task.cost(model):,} passes of the model, about {time_left} here; {inputs.LONGER}.")
if st.button("Explain the answer", type="primary", icon=":material/play_arrow:"):
    start = explain.run_as_job if task.is_long(model) else explain.run_here
    start(task, model, result)
if result.is_file():
    known = source.sample.answers.get(task.record, "") if source.sample else ""
    show(result, model=model, class_name=task.class_name or PREDICTED, mark=task.mark, known=known)
code_view.show_code(explain.command(task, model, explain.PIECE_NAME), key="saliency", piece=task.fasta())
running.recent("saliency", "pages/annotate/saliency.py")
