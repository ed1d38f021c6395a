"""The report of a trained model on a page: how good it is, where it errs, what a threshold would give."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from genolm import model_report, report_figures, workspace
from genolm.bootstrap import drawn_words
from genolm.cards import format_estimate, metric_name
from genolm.errors import GenolmError
from genolm.jobs import list_jobs
from genolm.report_data import THRESHOLDS, expected_precision, rates
from genolm.registry import BundleInfo, find_bundle
from pages.shared import html_tables, inputs, scores, state
from pages.shared.downloads import Download, download_row
from pages.shared.score_metric import show_estimate

ALSO = ("mcc", "accuracy", "exact_match", "precision", "recall", "pearson", "rmse")
ALT = "The same numbers are in the downloads as JSON and CSV."
_LISTED = 20

Report = Mapping[str, Any]


def known_reports() -> Iterator[tuple[str, Path]]:
    """Yield title and folder of the reports that finished trainings have left, newest first.

    On a server that others reach, only those of this session: whoever knows a job's address may see it.
    """
    own = st.session_state.get("jobs", [])
    alone = st.get_option("server.address") in ("127.0.0.1", "localhost", "::1")
    jobs = [job for job in list_jobs(kind="finetune") if alone or job.id in own][:_LISTED]
    for job in jobs:
        for path in sorted(job.result.glob(f"**/{model_report.REPORT_FILE}")):
            yield job.title, path.parent


def show_report(folder: Path, *, key: str) -> None:
    """Show a report; ``key`` sets its widgets apart from others on the page."""
    with state.shown_errors():
        report = model_report.read_report(folder)
    _headline(report)
    model = _model(folder, report)
    names = ["Scores", "Errors", "Probabilities", "Threshold", "Fewer sequences", "Downloads"]
    if report["task"] == "regression":
        names = ["Scores", "Errors", "Fewer sequences", "Downloads"]
    if not report["reduction"]:
        names.remove("Fewer sequences")
    parts = dict(zip(names, st.tabs(names), strict=True))
    with parts["Scores"]:
        _scores(report, key)
    with parts["Errors"]:
        _errors(report, model, key)
    if "Threshold" in parts:
        with parts["Probabilities"]:
            _probabilities(report, key)
        with parts["Threshold"]:
            _threshold(report, key)
    if "Fewer sequences" in parts:
        with parts["Fewer sequences"]:
            _fewer(report, key)
    with parts["Downloads"]:
        _downloads(folder, report, model, key)


def _rows(report: Report) -> Report:
    return report["splits"][report["judged_by"]]


def _headline(report: Report) -> None:
    """Say in a line how good the model is, on what, and whether that can be believed."""
    rows, key = _rows(report), report["main_metric"]
    kind = "test" if report["judged_by"] == "test" else "validation"
    if kind == "validation":
        st.warning(
            "There were no test rows. These scores are on the validation rows, which also chose when to "
            "stop, so they are too good; a table with more rows, or with a test part, would tell.",
            icon=":material/warning:",
        )
    shown = [key, *(name for name in ALSO if name in rows["metrics"] and name != key)][:5]
    with st.container(horizontal=True):
        for name in shown:
            item = rows["metrics"][name]
            show_estimate(metric_name(name), item, meaning=scores.meaning(name))
    st.markdown(state.plain(f"{_counted(report, kind)} {_against_baselines(report)}"))


def _counted(report: Report, kind: str) -> str:
    rows = _rows(report)
    if report["task"] == "regression":
        return f"Measured on {rows['rows']:,} {kind} rows that the model did not learn from."
    right = rows["rows"] - rows["wrong"]
    whole = " in every label" if report["task"] == "multilabel" else ""
    return (
        f"Of {rows['rows']:,} {kind} rows that the model did not learn from, it answers {right:,} "
        f"({right / rows['rows']:.1%}) right{whole}."
    )


def _against_baselines(report: Report) -> str:
    """Say how the model stands to the best baseline in the main metric."""
    key = report["main_metric"]
    own = _rows(report)["metrics"][key]["value"]
    found = {name: item["metrics"].get(key) for name, item in report["baselines"].items()}
    found = {name: item for name, item in found.items() if item and item["value"] is not None}
    if not found or own is None:
        return ""
    name = max(found, key=lambda item: found[item]["value"])
    said = f"The best of the simple baselines, {name}, has {metric_name(key)} {format_estimate(found[name])}"
    gap = report["baselines"][name].get("difference", {}).get(key)
    if gap is None:
        low, high = _rows(report)["metrics"][key]["low"], found[name].get("high")
        clear = None not in (low, high) and low > high
        return f"{said}{'; the model is clearly better.' if clear else ', the model ' + f'{own:.3f}.'}"
    if gap["low"] is None or gap["low"] <= 0 <= gap["high"]:
        return f"{said}; the model cannot be told apart from it by these rows."
    low, high = sorted((abs(gap["low"]), abs(gap["high"])))
    better = "better" if gap["value"] > 0 else "worse"
    size = f"{abs(gap['value']):.3f} (95 % interval {low:.3f} to {high:.3f})"
    return f"{said}; the model is {better} by {size}."


def _figure(figure: Any, key: str, alt: str) -> None:
    st.plotly_chart(figure, key=key, alt=f"{alt} {ALT}")


def _scores(report: Report, key: str) -> None:
    """Show all scores beside the baselines', and the curves."""
    rows, classes = _rows(report), report["classes"]
    _figure(report_figures.scores_figure(report), f"{key}_scores", "Scores with 95 % intervals.")
    drawn_over = drawn_words(rows.get("drawn"), rows["rows"])
    if drawn_over:
        st.caption(drawn_over)
    card = {
        "metrics": {name: item["metrics"] for name, item in report["splits"].items()},
        "baselines": {name: item["metrics"] for name, item in report["baselines"].items()},
    }
    label = "All scores of the model and its baselines"
    st.html(html_tables.STYLE + html_tables.score_table(scores.wide_table(card), label=label))
    if report["task"] == "regression":
        for place, name in enumerate(classes):
            scatter = report_figures.scatter_figure(rows["scatter"][name], name)
            _figure(scatter, f"{key}_scatter_{place}", f"Predicted against true {name}.")
        return
    left, right = st.columns(2)
    with left:
        st.markdown("**ROC curve**")
        _figure(report_figures.roc_figure(rows), f"{key}_roc", "ROC curve.")
    with right:
        st.markdown("**Precision and recall**")
        _figure(report_figures.pr_figure(rows), f"{key}_pr", "Precision-recall curve.")
    if "confusion" in rows:
        st.markdown("**True class and answer**")
        matrix = report_figures.confusion_figure(rows["confusion"], classes)
        _figure(matrix, f"{key}_confusion", "Confusion matrix.")
    if len(classes) > 2 or report["task"] == "multilabel":
        st.markdown("**Each class**")
        _figure(report_figures.class_figure(rows["per_class"]), f"{key}_classes", "Recall and precision.")
        if drawn_over and "grouped_shares" not in rows:
            st.caption("These intervals are over single rows (Wilson), and too narrow where rows resemble one another.")


def _errors(report: Report, model: BundleInfo | None, key: str) -> None:
    """List the wrong answers, surest first; a click on one shows its sequence."""
    rows = _rows(report)
    numbers = report["task"] == "regression"
    if numbers:
        for place, name in enumerate(report["classes"]):
            drawn = report_figures.residual_figure(rows, name)
            _figure(drawn, f"{key}_residuals_{place}", f"Errors of {name}.")
    found = pd.DataFrame(rows["examples"])
    if found.empty:
        st.success(f"All {rows['rows']:,} rows were answered right.", icon=":material/check_circle:")
        return
    order = "largest error first" if numbers else "surest first; a sure error may be a wrong label"
    many = f"{len(found):,} rows" if numbers else f"{len(found):,} of {rows['wrong']:,} wrong answers"
    st.markdown(f"{many}, {order}. **Click a row to see its sequence.**")
    share = st.column_config.ProgressColumn("probability", min_value=0, max_value=1, format="%.3f")
    size = st.column_config.NumberColumn("error", format="%.4g")
    event = st.dataframe(
        found,
        hide_index=True,
        height=300,
        column_order=["row", "name", "label", "predicted", "surety", "length"],
        column_config={"surety": size if numbers else share},
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}},
        key=f"{key}_errors",
        alt="Wrong answers, surest first",
    )
    chosen = event.selection.rows
    if chosen:
        _example(rows["examples"][chosen[0]], report, model)


def _example(item: Report, report: Report, model: BundleInfo | None) -> None:
    """Show one row with its sequence and the way to its saliency."""
    verbs = ("true value", "predicted") if report["task"] == "regression" else ("is", "called")
    label, answer = (item[key] or "none" for key in ("label", "predicted"))
    words = f"{item['name']} (row {item['row']}): {verbs[0]} {label}, {verbs[1]} {answer}"
    st.markdown(f"**{state.plain(words)}**")
    if not item["sequence"]:
        st.caption(f"Its {item['length']:,} bases are too many to show; see the test rows to download.")
        return
    st.code(item["sequence"], language=None, wrap_lines=True)
    if model is None:
        name = state.plain(report["name"])
        st.caption(f"With the model {name} installed, you could see which bases it looks at.")
        return
    fasta = f">{item['name'].replace(' ', '_')}\n{item['sequence']}\n"
    st.page_link(
        "pages/annotate/saliency.py",
        label="Which bases does this answer rest on?",
        icon=":material/insights:",
        query_params={"model": report["name"], **inputs.offer("saliency", "report", lambda: fasta)},
    )


def _noise_words(rows: Report) -> str:
    noise = rows["calibration"]["after"].get("noise")
    if noise is None:
        return ""
    return f" By chance alone a model of perfect probabilities would be off by {noise:.3f} on {rows['rows']:,} rows."


def _probabilities(report: Report, key: str) -> None:
    """Show whether probabilities mean what they say, and how they are spread."""
    rows, cut = _rows(report), report["calibration"]
    before, after = (format_estimate(rows["calibration"][when]["ece"]) for when in ("before", "after"))
    st.markdown(
        "A probability is worth its name if, of rows that get 0.8, eight in ten are what the model says. The "
        f"mean distance from that was {before} as trained, and is {after} after temperature scaling "
        f"(temperature {cut['temperature']:.2f}), which the model always uses.{_noise_words(rows)}"
    )
    _figure(report_figures.calibration_figure(rows["calibration"]), f"{key}_calibration", "Calibration.")
    if "histogram" in rows:
        drawn = report_figures.histogram_figure(rows["histogram"], report["classes"], cut["threshold"])
        _figure(drawn, f"{key}_histogram", "Probabilities of the rows of each class.")


def _threshold(report: Report, key: str) -> None:
    """Let the user try thresholds and see what each gives."""
    tables = _rows(report)["thresholds"]
    name = next(iter(tables))
    if len(tables) > 1:
        name = st.selectbox("Class", list(tables), key=f"{key}_threshold_class")
    own = round(report["calibration"]["threshold"], 2)
    first = 0.5 if report["task"] == "multiclass" else own
    asked = "Answer only from a probability of" if report["task"] == "multiclass" else "Threshold"
    cut = st.slider(asked, 0.0, 1.0, first, 0.01, key=f"{key}_threshold")
    place = int(round(cut * (len(THRESHOLDS) - 1)))
    if report["task"] == "multiclass":
        _answered(tables[name], place)
    else:
        st.caption(f"The model's own threshold is {own:.2f}. From the threshold up the answer is {name}.")
        _rates(report, name, place, key)
    drawn = report_figures.threshold_figure(tables, name=report["judged_by"], class_name=name, mark=cut)
    _figure(drawn, f"{key}_threshold_figure", "What each threshold gives.")


def _answered(cells: Report, place: int) -> None:
    total, count, right = cells["answered"][0], cells["answered"][place], cells["right"][place]
    columns = st.columns(3)
    columns[0].metric("Rows that get an answer", f"{count:,} of {total:,}")
    columns[1].metric("Right among them", f"{right / count:.1%}" if count else "–")
    columns[2].metric("Wrong among them", f"{count - right:,}")


def _rates(report: Report, name: str, place: int, key: str) -> None:
    """Show precision, recall, false positives and MCC at a threshold, and the precision to expect in use."""
    cells = {item: values[place] for item, values in _rows(report)["thresholds"][name].items()}
    found = rates(*(cells[item] for item in ("tp", "fp", "fn", "tn")))
    columns = st.columns(4)
    columns[0].metric("Precision", _share(found["precision"]), help=scores.meaning("precision"))
    columns[1].metric("Recall", _share(found["recall"]), help=scores.meaning("recall"))
    negatives = cells["fp"] + cells["tn"]
    columns[2].metric("False positives", f"{cells['fp']:,} of {negatives:,}", help="Others that are called.")
    columns[3].metric("MCC", "–" if found["mcc"] != found["mcc"] else f"{found['mcc']:.3f}")
    if "valid" in report["splits"] and report["judged_by"] == "test":
        kept = {item: values[place] for item, values in report["splits"]["valid"]["thresholds"][name].items()}
        other = rates(*(kept[item] for item in ("tp", "fp", "fn", "tn")))
        st.caption(
            f"On the validation rows: precision {_share(other['precision'])}, recall "
            f"{_share(other['recall'])}. Choose by these if you will quote the test figures."
        )
    present = 100 * (cells["tp"] + cells["fn"]) / (negatives + cells["tp"] + cells["fn"])
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    label = f"Share of {name} where you will use it (%)"
    share = left.number_input(label, 0.0, 100.0, round(present, 2), format="%.3f", key=f"{key}_share")
    expected = expected_precision(found["recall"], found["false_positive_rate"], share / 100)
    right.markdown(
        f"Precision to expect there: **{_share(expected)}**. In a genome true sites are far rarer than in "
        "most tables, and precision falls with them."
    )


def _share(value: float) -> str:
    return "–" if value != value else f"{value:.1%}"


def _fewer(report: Report, key: str) -> None:
    """Show how good models from fewer rows are."""
    st.markdown(
        "Models trained on part of the rows, judged by the same rows. Where the curve still rises, more "
        "labelled sequences would help; where it is flat, they would help little."
    )
    drawn = report_figures.reduction_figure(report["reduction"], report["main_metric"])
    _figure(drawn, f"{key}_fewer", "Score by number of training rows.")


def _downloads(folder: Path, report: Report, model: BundleInfo | None, key: str) -> None:
    """Show the methods paragraph and offer everything to download."""
    target = workspace.uploads_dir() / "exports" / key / f"{report['name']}_report.zip"
    if model is None:
        st.caption(f"The model {state.plain(report['name'])} is not installed, so no zip of all is offered.")
    elif st.button("Everything in one zip", key=f"{key}_zip", type="primary", icon=":material/folder_zip:"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with state.shown_errors(), st.spinner("Packing model, card and report"):
            model_report.pack_report(folder, model.path, target)
        download_row([Download(target.name, target, "Model, card and report")], key=f"{key}_zip_link")
    files = {
        model_report.ANSWERS_FILE: "The answer to each row, with probabilities",
        model_report.ROWS_FILE: "The test rows themselves, to compare models on",
        model_report.REPORT_FILE: "Every number of the report",
        model_report.RECORD_FILE: "What ran on what, with hashes and versions",
        model_report.TABLE_FILE: "What was found in the table",
        model_report.METHODS_FILE: "The paragraph below",
    }
    download_row([Download(name, folder / name, hint) for name, hint in files.items()], key=f"{key}_files")
    path = folder / model_report.METHODS_FILE
    if path.is_file():
        st.markdown("**Methods, ready for a paper**")
        text = path.read_text(encoding="utf-8").split("\n\n", 1)[1].replace("## References", "References")
        st.code(text, language=None, wrap_lines=True)


def _model(folder: Path, report: Report) -> BundleInfo | None:
    """Return the model that a report is of if it is installed; one that took its name since is another."""
    try:
        info = find_bundle(report["name"])
    except GenolmError:
        return None
    return info if info.error is None and model_report.is_model_of(folder, info.path) else None
