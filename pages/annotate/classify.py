"""Classify: a FASTA file and a model -> the class of each record with calibrated probabilities."""

from collections.abc import Sequence

import streamlit as st

from genolm.errors import SequenceError
from genolm.orientation import why_not_either
from genolm.pipelines import classify_file
from genolm.predict import check_whole
from genolm.prediction import other_length_words
from genolm.registry import BundleInfo
from pages.shared import answers_view, code_view, inputs, running, samples, state
from pages.shared.answers_view import OUT_NAME

IN_PAGE_BASES = 2_000_000
STRANDS = {"plus": "+", "minus": "-", "unknown": "either"}
STRAND_HELP = (
    "Plus reads each record as it is in the file, minus its reverse complement. Of records of unknown strand, such as "
    "the reads of a sequencer, both are read and the surer answer is kept; a column says which it was. Of two classes "
    "the probability counts what the model says of both strands."
)


def show_lengths(overview: state.Overview, model: BundleInfo) -> None:
    """Say when records are not as long as what the model was trained on."""
    length = model.config.window.length if model.config and model.config.window else None
    other = 0 if length is None else sum(size != length for size in overview.contigs.values())
    if words := other_length_words(other, len(overview.contigs), length, "Scan"):
        st.warning(words, icon=":material/straighten:")


def check_lengths(overview: state.Overview, model: BundleInfo) -> None:
    """Refuse, before any work, a record that is too long to be classified as a whole, and point to Scan."""
    longest = max(overview.contigs, key=overview.contigs.__getitem__)
    try:
        check_whole(model.config, f"'{longest}'", overview.contigs[longest])
    except SequenceError as error:
        st.error(state.plain(error), icon=":material/error:")
        if inputs.can_scan(model):
            query = {"model": model.name}
            st.page_link("pages/annotate/scan.py", label="Go to Scan", icon=":material/genetics:", query_params=query)
        st.stop()


def choose_strand(model: BundleInfo) -> str:
    """Ask which strand of the records to read; a model without strand is not asked about it."""
    if model.config.mirrored:
        return "+"
    known = [word for word, strand in STRANDS.items() if strand != "either" or not why_not_either(model.config)]
    options = {"horizontal": True, "key": "classify_strand", "help": STRAND_HELP, **inputs.KEPT}
    return STRANDS[st.radio("Strand to read", known, **options)]


def strand_of(arguments: Sequence[str]) -> str:
    """Return the strand that a command asks for."""
    return arguments[arguments.index("--strand") + 1] if "--strand" in arguments else "+"


def kept_name(strand: str) -> str:
    """Return under which name the answers on a strand are kept."""
    return OUT_NAME if strand == "+" else f"{'minus' if strand == '-' else strand}-{OUT_NAME}"


st.title("Classify sequences")
st.markdown("Each record gets one answer as a whole, with a calibrated probability for every class.")
if job := running.current("classify"):
    running.header(job, again="New classification")
    running.wait_until_over(job)
    answers_view.show_answers(job.result / OUT_NAME, running.model_of(job), strand=strand_of(job.arguments))
    code_view.show_code(job.arguments, key=job.id)
    st.stop()
model = inputs.pick_model("classify_model")
source = inputs.choose_sequences("classify", samples.model_samples(model), wanted=inputs.wanted_pieces(model))
overview = state.overview(source.path, source.name)
inputs.show_overview(overview)
check_lengths(overview, model)
show_lengths(overview, model)
strand = choose_strand(model)
result = state.results_folder(source.path, model) / kept_name(strand)
arguments = ["classify", str(source.path), "--model", model.name, "--out", OUT_NAME]
arguments += [] if strand == "+" else ["--strand", strand]
words = f"Classify {inputs.count_words(overview.summary.records)}"
asked = st.button(words, type="primary", icon=":material/play_arrow:")
with state.work_place():
    if asked:
        if overview.summary.bases > IN_PAGE_BASES:
            running.start("classify", arguments, title=f"{source.name}: {model.name}")
        predictor = state.predictor(model)
        with state.shown_errors(source.path, source.name), state.progress_shown("Classifying") as tell:
            classify_file(source.path, result, model=predictor, strand=strand, progress=tell)
if result.is_file():
    answers_view.show_answers(result, model, source.sample, strand=strand)
code_view.show_code(arguments, key="classify")
