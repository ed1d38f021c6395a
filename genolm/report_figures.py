"""The figures of a report: plain data in, plotly figures out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genolm.cards import format_difference, format_estimate, metric_name
from genolm.figure_parts import (
    BLUE,
    GREEN,
    GREY,
    MARKS,
    PALETTE,
    VERMILION,
    Data,
    interval_bars,
    label_of,
    laid_out,
    lettered,
    mark_threshold,
    new_figure,
)
from genolm.report_data import THRESHOLDS, rates

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHARES = ("auroc", "auprc", "accuracy", "exact_match", "precision", "recall", "mcc", "f1")
AGREEMENTS = ("r2", "pearson", "spearman")
MOST_LINES, MOST_CLASSES, MOST_NUMBERS = 8, 60, 25



def figures(report: Data) -> dict[str, "go.Figure"]:
    """Return the figures that fit the task of a report, file name without ending -> figure."""
    rows = report["splits"][report["judged_by"]]
    task, classes, name = report["task"], report["classes"], report["judged_by"]
    found: dict[str, Callable[[], go.Figure]] = {"scores": lambda: scores_figure(report)}
    if task == "regression":
        for place, quantity in enumerate(classes):
            ending = f"_{place + 1}" if len(classes) > 1 else ""
            found[f"scatter{ending}"] = lambda item=quantity: scatter_figure(rows["scatter"][item], item)
            found[f"residuals{ending}"] = lambda item=quantity: residual_figure(rows, item)
    else:
        found["roc"] = lambda: roc_figure(rows)
        found["precision_recall"] = lambda: pr_figure(rows)
        found["calibration"] = lambda: calibration_figure(rows["calibration"])
        if "confusion" in rows:
            found["confusion"] = lambda: confusion_figure(rows["confusion"], classes)
        if "histogram" in rows:
            threshold = report["calibration"]["threshold"]
            found["probabilities"] = lambda: histogram_figure(rows["histogram"], classes, threshold)
        if len(classes) > 2 or task == "multilabel":
            found["classes"] = lambda: class_figure(rows["per_class"])
        if task != "multilabel":
            found["threshold"] = lambda: threshold_figure(rows["thresholds"], name=name)
    if report.get("reduction"):
        found["fewer_sequences"] = lambda: reduction_figure(report["reduction"], report["main_metric"])
    return {key: draw() for key, draw in found.items()}


def write_figures(folder: Path, report: Data) -> list[Path]:
    """Write each figure as a page that opens without a network, and beside them the one plotly.js they share.

    The camera button of each page saves the figure as SVG.
    """
    folder.mkdir(exist_ok=True)
    paths = []
    for name, figure in figures(report).items():
        path = folder / f"{name}.html"
        figure.update_layout(template="plotly_white", width=860)
        config = {"toImageButtonOptions": {"format": "svg", "filename": name}, "displaylogo": False}
        figure.write_html(path, include_plotlyjs="directory", config=config)
        paths.append(path)
    return [*paths, folder / "plotly.min.js"]


def scores_figure(report: Data) -> "go.Figure":
    """Draw the metrics of the model and of its baselines with their 95 % intervals."""
    split = report["judged_by"]
    who = {f"this model, {split}": report["splits"][split]["metrics"]}
    who |= {name: found["metrics"] for name, found in report.get("baselines", {}).items()}
    known = AGREEMENTS if report["task"] == "regression" else SHARES
    keys = [key for key in known if key in report["splits"][split]["metrics"]]
    figure = new_figure()
    step = 0.7 / len(who)
    for place, (name, found) in enumerate(who.items()):
        there = {key: index for index, key in enumerate(keys) if key in found}
        estimates = [found[key] for key in there]
        words = [f"{name}<br>{metric_name(key)} {format_estimate(found[key])}" for key in there]
        colour = PALETTE[place % len(PALETTE)]
        figure.add_scatter(
            x=[item["value"] for item in estimates],
            y=[index + step * (place - (len(who) - 1) / 2) for index in there.values()],
            error_x=interval_bars(estimates, colour),
            mode="markers",
            name=name,
            marker={"color": colour, "size": 9, "symbol": MARKS[place % len(MARKS)]},
            customdata=words,
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_yaxes(tickvals=list(range(len(keys))), ticktext=[metric_name(key) for key in keys], zeroline=False)
    figure.update_yaxes(range=[len(keys) - 0.4, -0.6])
    figure.update_xaxes(title="score (mark) with 95 % interval (bar)")
    return laid_out(figure, 130 + len(keys) * max(30, 16 * len(who)))


def roc_figure(rows: Data) -> "go.Figure":
    """Draw the share of true sites found against the share of false ones called, over all thresholds."""
    figure = new_figure()
    _curves(figure, rows, "roc", "auroc")
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="guessing", line={"dash": "dot", "color": GREY}
    )
    figure.update_xaxes(title="false positive rate (share of others called)", range=[-0.01, 1.01])
    figure.update_yaxes(title="recall (share of the class that is found)", range=[-0.01, 1.01])
    return laid_out(figure, 480)


def pr_figure(rows: Data) -> "go.Figure":
    """Draw precision against recall over all thresholds, and what guessing would give."""
    figure = new_figure()
    _curves(figure, rows, "pr", "auprc", shape="vh")
    if len(rows["pr"]) == 1:
        share = rows["counts"][next(iter(rows["pr"]))] / rows["rows"]
        figure.add_scatter(
            x=[0, 1],
            y=[share, share],
            mode="lines",
            name=f"guessing {share:.3f}",
            line={"dash": "dot", "color": GREY},
        )
    figure.update_xaxes(title="recall (share of the class that is found)", range=[-0.01, 1.01])
    figure.update_yaxes(title="precision (share of the calls that are right)", range=[-0.01, 1.01])
    return laid_out(figure, 480)


def calibration_figure(data: Data) -> "go.Figure":
    """Draw observed share against stated probability before and after temperature scaling."""
    figure = new_figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"dash": "dot", "color": GREY}
    )
    looks = {"before": (GREY, "diamond-open", "dash"), "after": (BLUE, "circle", "solid")}
    for when, (colour, symbol, dash) in looks.items():
        bins = data[when]["bins"]
        shown = zip(bins["observed"], bins["low"], bins["high"], strict=True)
        estimates = [dict(zip(("value", "low", "high"), item, strict=True)) for item in shown]
        figure.add_scatter(
            x=bins["probability"],
            y=bins["observed"],
            error_y=interval_bars(estimates, colour),
            mode="lines+markers",
            name=f"{when} scaling, error {format_estimate(data[when]['ece'])}",
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 8, "color": colour},
            customdata=bins["count"],
            hovertemplate="stated %{x:.2f}, observed %{y:.2f} of %{customdata} items<extra></extra>",
        )
    figure.update_xaxes(title="stated probability (mean of the bin)", range=[-0.02, 1.02])
    figure.update_yaxes(title="observed share, with 95 % interval", range=[-0.02, 1.02])
    return laid_out(figure, 480)


def confusion_figure(cells: Sequence[Sequence[int]], classes: Sequence[str]) -> "go.Figure":
    """Draw which class was taken for which: colour is the share of the true class, the number its rows."""
    totals = [max(1, sum(row)) for row in cells]
    shares = [[value / total for value in row] for row, total in zip(cells, totals, strict=True)]
    names = [label_of(name, 24) for name in classes]
    figure = new_figure()
    figure.add_heatmap(
        z=shares,
        x=list(range(len(names))),
        y=list(range(len(names))),
        zmin=0,
        zmax=1,
        colorscale="Cividis",
        colorbar={"title": "share of<br>the class"},
        customdata=[[lettered(f"{true} answered as {said}") for said in classes] for true in classes],
        hovertemplate="%{customdata}: %{z:.1%}<extra></extra>",
    )
    if len(names) <= MOST_NUMBERS:
        _numbers(figure, cells, shares)
    axis = {"tickvals": list(range(len(names))), "ticktext": names}
    figure.update_yaxes(autorange="reversed", title="true class", **axis)
    figure.update_xaxes(title="answer of the model", tickangle=-45 if len(names) > 4 else 0, **axis)
    return laid_out(figure, min(1100, 320 + 26 * len(names)))


def histogram_figure(data: Data, classes: Sequence[str], threshold: float) -> "go.Figure":
    """Draw how the probabilities of the two classes' rows are spread, with the threshold."""
    figure = new_figure()
    edges = data["edges"]
    centres = [(left + right) / 2 for left, right in zip(edges[:-1], edges[1:], strict=True)]
    for name, colour, pattern in zip(classes, (VERMILION, BLUE), ("/", ""), strict=True):
        figure.add_bar(
            x=centres,
            y=data["counts"][name],
            width=edges[1] - edges[0],
            name=f"true class {label_of(name)}",
            marker={"color": colour, "opacity": 0.75, "pattern": {"shape": pattern}},
            hovertemplate="about %{x:.2f}: %{y} rows<extra></extra>",
        )
    mark_threshold(figure, threshold, f"threshold {threshold:.2f}")
    figure.update_xaxes(title=f"calibrated probability of {label_of(classes[1])}", range=[0, 1])
    figure.update_yaxes(title="rows")
    return laid_out(figure, 380, barmode="overlay")


def class_figure(per_class: Sequence[Data]) -> "go.Figure":
    """Draw recall and precision of each class with 95 % intervals; of many classes those of lowest recall."""
    chosen = [item for item in per_class if item["rows"]]
    if len(chosen) > MOST_CLASSES:
        chosen = sorted(chosen, key=lambda item: item["recall"]["value"])[:MOST_CLASSES]
    figure = new_figure()
    for key, colour, symbol, shift in (
        ("recall", BLUE, "circle", -0.15),
        ("precision", VERMILION, "diamond-open", 0.15),
    ):
        estimates = [item[key] for item in chosen]
        figure.add_scatter(
            x=[item["value"] for item in estimates],
            y=[place + shift for place in range(len(chosen))],
            error_x=interval_bars(estimates, colour),
            mode="markers",
            name=key,
            marker={"color": colour, "symbol": symbol, "size": 9},
            customdata=[lettered(f"{item['class']}: {key} {format_estimate(item[key])}") for item in chosen],
            hovertemplate="%{customdata}<extra></extra>",
        )
    names = [f"{label_of(item['class'], 24)} ({item['rows']:,})" for item in chosen]
    figure.update_yaxes(tickvals=list(range(len(chosen))), ticktext=names, autorange="reversed")
    figure.update_yaxes(title="class (rows)", zeroline=False)
    figure.update_xaxes(title="share with 95 % interval", range=[-0.02, 1.02])
    return laid_out(figure, 150 + 30 * len(chosen))


def difference_figure(metrics: Mapping[str, Data], names: tuple[str, str]) -> "go.Figure":
    """Draw how far one model is above another in each metric where more is better.

    ``metrics`` are those of :meth:`genolm.comparison.Comparison.as_dict`, ``names`` those of the two models.
    """
    known = [key for key in (*SHARES, *AGREEMENTS) if key in metrics]
    keys = [key for key in known if metrics[key]["difference"]["value"] is not None]
    estimates = [metrics[key]["difference"] for key in keys]
    figure = new_figure()
    figure.add_scatter(
        x=[item["value"] for item in estimates],
        y=list(range(len(keys))),
        error_x=interval_bars(estimates, BLUE),
        mode="markers",
        marker={"color": BLUE, "size": 11},
        customdata=[f"{metric_name(key)}: {format_difference(metrics[key]['difference'])}" for key in keys],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.add_vline(x=0, line={"width": 1.5, "dash": "dash", "color": GREY})
    figure.update_yaxes(tickvals=list(range(len(keys))), ticktext=[metric_name(key) for key in keys])
    figure.update_yaxes(range=[len(keys) - 0.4, -0.6], zeroline=False)
    a, b = (label_of(name, 22) for name in names)
    # As far to either side; the words beneath stand in lines, for a narrow window would cut off a long one.
    reach = 1.08 * max((abs(item[key] or 0) for item in estimates for key in ("value", "low", "high")), default=0) or 1
    figure.update_xaxes(range=[-reach, reach], title=f"difference, 95 % interval<br>← {b} is better<br>{a} is better →")
    return laid_out(figure, 170 + 34 * len(keys), showlegend=False)


def threshold_figure(
    counts: Data, *, name: str, class_name: str | None = None, mark: float | None = None
) -> "go.Figure":
    """Draw what each threshold gives: precision, recall and MCC, or shares answered and right of classes.

    Parameters
    ----------
    counts : mapping
        See :func:`genolm.report_data.threshold_counts`.
    name : str
        Of the rows that were counted.
    class_name : str, optional
        Of the class; the first by default.
    mark : float, optional
        A threshold to mark.
    """
    cells = counts[next(iter(counts)) if class_name is None else class_name]
    figure = new_figure()
    looks = zip((BLUE, VERMILION, GREEN), ("solid", "dash", "dot"), strict=True)
    for (label, values), (colour, dash) in zip(_threshold_lines(cells).items(), looks, strict=False):
        figure.add_scatter(
            x=THRESHOLDS, y=values, mode="lines", name=label, line={"color": colour, "dash": dash}
        )
    if mark is not None:
        figure.add_vline(x=mark, line={"width": 2, "color": GREY}, annotation_text=f"{mark:.2f}")
    figure.update_xaxes(title="threshold", range=[0, 1])
    figure.update_yaxes(title=f"on the {name} rows", rangemode="tozero")
    return laid_out(figure, 360)


def scatter_figure(data: Data, quantity: str) -> "go.Figure":
    """Draw predicted against true values."""
    ends = [min(data["truth"] + data["predicted"]), max(data["truth"] + data["predicted"])]
    figure = new_figure()
    line = {"dash": "dot", "color": GREY}
    figure.add_scatter(x=ends, y=ends, mode="lines", name="perfect", line=line, hoverinfo="skip")
    figure.add_scatter(
        x=data["truth"],
        y=data["predicted"],
        mode="markers",
        name="rows",
        marker={"color": BLUE, "size": 6, "opacity": 0.5},
        customdata=data["rows"],
        hovertemplate="row %{customdata}: true %{x:.4g}, predicted %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(title=f"true {label_of(quantity)}")
    figure.update_yaxes(title=f"predicted {label_of(quantity)}")
    return laid_out(figure, 480)


def residual_figure(rows: Data, quantity: str) -> "go.Figure":
    """Draw how the errors (predicted minus true) are spread, and over which predictions."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=2, column_widths=[0.62, 0.38], horizontal_spacing=0.14)
    data, bars = rows["scatter"][quantity], rows["residuals"][quantity]
    errors = [found - true for found, true in zip(data["predicted"], data["truth"], strict=True)]
    dots = {"color": BLUE, "size": 6, "opacity": 0.5}
    text = "predicted %{x:.4g}, error %{y:.4g}<extra></extra>"
    figure.add_scatter(x=data["predicted"], y=errors, mode="markers", marker=dots, hovertemplate=text)
    edges = bars["edges"]
    middles = [(left + right) / 2 for left, right in zip(edges[:-1], edges[1:], strict=True)]
    figure.add_bar(x=middles, y=bars["counts"], marker={"color": BLUE}, row=1, col=2)
    figure.add_hline(y=0, line={"width": 1, "color": GREY}, row=1, col=1)
    figure.update_xaxes(title=f"predicted {label_of(quantity)}", row=1, col=1)
    figure.update_yaxes(title="error (predicted minus true)", row=1, col=1)
    figure.update_xaxes(title="error", row=1, col=2)
    figure.update_yaxes(title="rows", row=1, col=2)
    return laid_out(figure, 400, showlegend=False)


def reduction_figure(points: Sequence[Data], metric: str) -> "go.Figure":
    """Draw how good models from fewer training rows are."""
    estimates = [point["scores"][metric] for point in points]
    figure = new_figure()
    figure.add_scatter(
        x=[point["rows"] for point in points],
        y=[item["value"] for item in estimates],
        error_y=interval_bars(estimates, BLUE),
        mode="lines+markers",
        line={"color": BLUE},
        marker={"size": 9},
        hovertemplate="%{x:,} rows: %{y:.3f}<extra></extra>",
    )
    sizes = [point["rows"] for point in points]
    texts = [f"{size:,}" for size in sizes]
    figure.update_xaxes(title="training rows", type="log", tickvals=sizes, ticktext=texts)
    figure.update_yaxes(title=f"{metric_name(metric)} with 95 % interval")
    return laid_out(figure, 380, showlegend=False)


def _numbers(
    figure: "go.Figure", cells: Sequence[Sequence[int]], shares: Sequence[Sequence[float]]
) -> None:
    """Write the counts into the cells of a matrix, light on dark ones and dark on light ones."""
    places = [(row, column) for row in range(len(cells)) for column in range(len(cells))]
    colours = ["#111111" if shares[row][column] > 0.5 else "#ffffff" for row, column in places]
    figure.add_scatter(
        x=[column for _, column in places],
        y=[row for row, _ in places],
        text=[f"{cells[row][column]:,}" for row, column in places],
        mode="text",
        textfont={"color": colours, "size": 14},
        hoverinfo="skip",
        showlegend=False,
    )


def _curves(figure: "go.Figure", rows: Data, kind: str, area: str, *, shape: str = "linear") -> None:
    """Add one curve per class, of many classes those with most rows."""
    areas = {item["class"]: item[area] for item in rows["per_class"]}
    names = sorted(rows[kind], key=lambda name: -rows["counts"][name])[:MOST_LINES]
    dashes = ("solid", "dash", "dot", "dashdot")
    for place, name in enumerate(names):
        figure.add_scatter(
            x=rows[kind][name]["x"],
            y=rows[kind][name]["y"],
            mode="lines",
            line={"color": PALETTE[place], "shape": shape, "dash": dashes[place % 4]},
            name=f"{label_of(name, 20)}, {metric_name(area)} {format_estimate(areas[name])}",
            hovertemplate="%{x:.3f}, %{y:.3f}<extra></extra>",
        )


def _threshold_lines(cells: Data) -> dict[str, list[float]]:
    if "answered" in cells:
        total = max(cells["answered"][0], 1)
        pairs = list(zip(cells["right"], cells["answered"], strict=True))
        return {
            "share answered": [count / total for _, count in pairs],
            "right among the answered": [right / count if count else float("nan") for right, count in pairs],
        }
    found = [rates(*item) for item in zip(*(cells[key] for key in ("tp", "fp", "fn", "tn")), strict=True)]
    words = {"precision": "precision", "recall": "recall", "mcc": "MCC"}
    return {word: [item[key] for item in found] for key, word in words.items()}
