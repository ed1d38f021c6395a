"""Compare: two models and labelled rows -> which is better, by how much, and whether it may be chance."""

import hashlib

import streamlit as st

from genolm import workspace
from genolm.comparison import compare_models, same_question
from genolm.model_report import ROWS_FILE
from genolm.record import write_json
from genolm.registry import BundleInfo
from pages.shared import code_view, comparison_view, report_view, running, state
from pages.shared.table_view import UPLOAD, TableChoice, choose_table, load_table

IN_PAGE_BASES = 1_000_000
OUT_NAME = "comparison.json"
OWN, REPORT = "Other rows", "Test rows of a training"


def pick_models() -> tuple[BundleInfo, BundleInfo]:
    """Let the user pick two models that answer the same question; where there are none the page ends."""
    models = {info.name: info for info in state.classifiers()}
    heads = {name: info.config.head for name, info in models.items()}
    pairs = {
        name: [other for other in models if other != name and same_question(heads[name], heads[other])]
        for name in models
    }
    firsts = [name for name, others in pairs.items() if others]
    if not firsts:
        words = "Two models with the same classes are needed. Train another one on your table, or import one."
        st.info(words, icon=":material/info:")
        st.page_link("pages/models/train.py", label="Go to Train", icon=":material/model_training:")
        st.page_link("pages/models/models.py", label="Go to Models", icon=":material/inventory_2:")
        st.stop()
    left, right = st.columns(2)
    first = left.selectbox("Model A", firsts, key="compare_a")
    second = right.selectbox("Model B", pairs[first], key=f"compare_b_{first}")
    for column, name in ((left, first), (right, second)):
        column.caption(state.plain(models[name].headline or "not measured"))
    if alone := [name for name in models if name not in firsts]:
        st.caption(f"Not offered, as no other model answers the same question: {state.plain(', '.join(alone))}.")
    return models[first], models[second]


def choose_rows() -> tuple[TableChoice, str | None]:
    """Ask for labelled rows and which split of them; none chosen ends the page."""
    reports = dict(report_view.known_reports())
    options = {"default": REPORT, "required": True, "key": "compare_way"}
    if reports and st.segmented_control("Labelled rows from", [REPORT, OWN], **options) == REPORT:
        title = st.selectbox("Training", list(reports), key="compare_report")
        return TableChoice(reports[title] / ROWS_FILE, f"test rows of {title}", {}, False), None
    st.caption("Take rows that neither model has learned from.")
    choice = choose_table("compare_rows", first=UPLOAD)
    if choice is None:
        st.stop()
    table = load_table(choice)
    parts = sorted(set(table.frame["split"])) if "split" in table.frame else []
    if not parts:
        return choice, None
    first = parts.index("test") + 1 if "test" in parts else 0
    chosen = st.selectbox("Rows", ["all rows", *parts], first, key="compare_split")
    return choice, None if chosen == "all rows" else chosen


def words(choice: TableChoice, split: str | None) -> list[str]:
    """Return how a table is to be read as options of the command."""
    said = ["--split", split] if split else []
    for ours, theirs in choice.columns.items():
        said += ["--column", f"{ours}={theirs}"]
    return [*said, *(["--skip-bad-rows"] if choice.skip_bad_rows else [])]


st.title("Compare two models")
st.markdown("Both answer the same labelled rows. Is one better, and is the difference more than chance?")
if job := running.current("compare"):
    running.header(job, again="New comparison")
    running.wait_until_over(job)
    comparison_view.show(job.result / OUT_NAME)
    st.stop()
model_a, model_b = pick_models()
choice, split = choose_rows()
path, name = choice.path, choice.name
arguments = ["compare", model_a.name, model_b.name, str(path), *words(choice, split)]
stamps = (state.stamp(model_a), state.stamp(model_b), path.stat().st_mtime_ns)
digest = hashlib.sha256(f"{arguments}{stamps}".encode()).hexdigest()[:24]
out = workspace.uploads_dir() / "results" / digest / OUT_NAME
asked = st.button("Compare", type="primary", icon=":material/play_arrow:")
with state.work_place():
    if asked:
        if sum(map(len, load_table(choice).sequences)) > IN_PAGE_BASES:
            title = f"{model_a.name}, {model_b.name}: {name}"
            running.start("compare", [*arguments, "--out", OUT_NAME], title=title)
        with state.shown_errors(path, name), state.progress_shown("Comparing") as tell:
            options = {"columns": tuple(choice.columns.items()), "skip_bad_rows": choice.skip_bad_rows}
            found = compare_models(model_a.name, model_b.name, path, split=split, **options, progress=tell)
            out.parent.mkdir(parents=True, exist_ok=True)
            write_json(out, found.as_dict())
code_view.show_code(arguments, key="compare")
if out.is_file():
    comparison_view.show(out)
running.recent("compare", "pages/models/compare.py")
