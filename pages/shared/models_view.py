"""All models on a page: the card of one, or a table of them with what each is for and how good it is."""

from collections.abc import Sequence

import streamlit as st

from genolm.cards import format_estimate, metric_name
from genolm.registry import BundleInfo
from genolm.results_overview import NONE, Cell
from pages.shared import card, html_tables, inputs, scores, state
from pages.shared.choice import Choice

CHOICE = Choice("model", query="model")
FEW = 3
"""So many models are shown as cards, one below the other; of more there is a table to choose from."""
HEADER = ("Model", "What it is for", "Reads", "How good", "Size")
_CLASSIFIER = "classifier"


def show_models(models: Sequence[BundleInfo]) -> str | None:
    """Show few models as cards; of many the one that was chosen, whose name is returned, else all in tables."""
    if len(models) <= FEW:
        for model in models:
            card.show_card(model)
        return models[-1].name if models else None
    chosen = CHOICE.ask({model.name: inputs.title_of(model) for model in models})
    if chosen is None:
        _show_tables(models)
    else:
        card.show_card(next(model for model in models if model.name == chosen))
    return chosen


def sections(models: Sequence[BundleInfo]) -> dict[str, list[BundleInfo]]:
    """Return models under headings: one's own first, then classifiers, then language models."""
    found: dict[str, list[BundleInfo]] = {"Yours": [], "Classifiers": [], "Language models": [], "Damaged": []}
    for model in models:
        if not model.builtin:
            found["Yours"].append(model)
        elif model.config is None:
            found["Damaged"].append(model)
        else:
            found["Classifiers" if model.config.kind == _CLASSIFIER else "Language models"].append(model)
    return {key: items for key, items in found.items() if items}


def line(model: BundleInfo) -> tuple[Cell, ...]:
    """Return a model's line in the table, the cells of :data:`HEADER`."""
    name = Cell(inputs.short_title(model), model.name)
    if model.error or model.config is None:
        return (name, Cell(model.error), Cell(NONE), Cell(NONE), Cell(NONE))
    reads = inputs.reads(model) if model.config.kind == _CLASSIFIER else "any DNA"
    size = Cell(f"{model.size / 1e6:.1f}\N{NO-BREAK SPACE}MB")
    return (name, Cell(model.config.purpose), Cell(reads), _quality(model), size)


def _quality(model: BundleInfo) -> Cell:
    metric, split = scores.headline_metric(model.card), scores.main_split(model.card)
    if not metric:
        return Cell("not measured")
    words = f"{metric_name(metric)} on {split}"
    best = scores.best_baseline(model.card, metric) if model.config.kind == _CLASSIFIER else None
    if best:
        words += f"; best baseline, {best[0]}: {best[1]:.3f}"
    return Cell(format_estimate(model.card["metrics"][split][metric]), words)


def _show_tables(models: Sequence[BundleInfo]) -> None:
    for section, items in sections(models).items():
        st.header(section, divider="gray")
        st.html(html_tables.cell_table(HEADER, map(line, items), label=f"Models: {section}"))
        with st.container(horizontal=True):
            for model in items:
                icon = ":material/arrow_forward:"
                label = state.plain(inputs.short_title(model))
                st.button(label, key=f"open_{model.name}", icon=icon, on_click=CHOICE.turn_to, args=(model.name,))
