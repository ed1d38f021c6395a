"""Compare: two models and labelled rows -> which is better, by how much, and whether it may be chance."""

import hashlib
from pathlib import Path

import streamlit as st

from genolm import workspace
from genolm.comparison import compare_models
from genolm.model_report import ROWS_FILE
from genolm.record import write_json
from genolm.registry import BundleInfo
from genolm.tables import read_table
from pages.shared import code_view, comparison_view, report_view, running, state, uploads

IN_PAGE_BASES = 1_000_000
OUT_NAME = "comparison.json"
UPLOAD, REPORT = "Upload", "Test rows of a training"


def pick_models() -> tuple[BundleInfo, BundleInfo]:
    """Let the user pick two models that answer the same classes; where there are none the page ends."""
    models = {info.name: info for info in state.classifiers()}
    pairs = {name: [other for other in models if comparable(models[name], models[other])] for name in models}
    firsts = [name for name, others in pairs.items() if others]
    if not firsts:
        words = "Two models with the same classes are needed. Train another one on your table, or import one."
        st.info(words, icon=":material/info:")
        st.page_link("pages/models/library.py", label="Go to Models", icon=":material/inventory_2:")
        st.stop()
    left, right = st.columns(2)
    first = left.selectbox("Model A", firsts, key="compare_a")
    second = right.selectbox("Model B", pairs[first], key=f"compare_b_{first}")
    for column, name in ((left, first), (right, second)):
        column.caption(state.plain(models[name].headline or "not measured"))
    return models[first], models[second]


def comparable(a: BundleInfo, b: BundleInfo) -> bool:
    """Return whether two different models answer the same classes."""
    one, two = a.config.head, b.config.head
    same = one.classes == two.classes if one.task == "binary" else set(one.classes) == set(two.classes)
    return a.name != b.name and one.task == two.task and same


def choose_rows() -> tuple[Path, str, str | None]:
    """Ask for labelled rows: path, name for the user, and which split of them; none chosen ends the page."""
    reports = dict(report_view.known_reports())
    ways = [REPORT, UPLOAD]
    options = {"default": REPORT, "required": True, "key": "compare_way"}
    if reports and st.segmented_control("Labelled rows from", ways, **options) == REPORT:
        title = st.selectbox("Training", list(reports), key="compare_report")
        return reports[title] / ROWS_FILE, f"test rows of {title}", None
    hint = "CSV or TSV with the columns sequence and label; rows that neither model has learned from."
    accept = ".csv,.tsv,.txt,.gz"
    upload = uploads.upload_box("Choose a table", key="compare_upload", accept=accept, hint=hint)
    if upload is None:
        st.stop()
    st.caption(f"In use: {state.plain(upload.name)}")
    with state.shown_errors(upload.path, upload.name):
        table = read_table(upload.path)
    parts = sorted(set(table.frame["split"])) if "split" in table.frame else []
    chosen = "all rows"
    if parts:
        first = parts.index("test") + 1 if "test" in parts else 0
        chosen = st.selectbox("Rows", ["all rows", *parts], first, key="compare_split")
    return upload.path, upload.name, None if chosen == "all rows" else chosen


st.title("Compare two models")
st.markdown("Both answer the same labelled rows. Is one better, and is the difference more than chance?")
if job := running.current("compare"):
    running.header(job, again="New comparison")
    running.wait_until_over(job)
    comparison_view.show(job.result / OUT_NAME)
    st.stop()
model_a, model_b = pick_models()
path, name, split = choose_rows()
arguments = ["compare", model_a.name, model_b.name, str(path), *(["--split", split] if split else [])]
stamps = (state.stamp(model_a), state.stamp(model_b), path.stat().st_mtime_ns)
digest = hashlib.sha256(f"{arguments}{stamps}".encode()).hexdigest()[:24]
out = workspace.uploads_dir() / "results" / digest / OUT_NAME
if st.button("Compare", type="primary", icon=":material/play_arrow:"):
    with state.shown_errors(path, name):
        table = read_table(path)
    if sum(map(len, table.sequences)) > IN_PAGE_BASES:
        title = f"{model_a.name}, {model_b.name}: {name}"
        running.start("compare", [*arguments, "--out", OUT_NAME], title=title)
    with state.shown_errors(path, name), state.progress_shown("Comparing") as tell:
        found = compare_models(model_a.name, model_b.name, path, split=split, progress=tell)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, found.as_dict())
code_view.show_code(arguments, key="compare")
if out.is_file():
    comparison_view.show(out)
running.recent("compare", "pages/models/compare.py")
