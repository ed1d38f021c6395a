"""How good a model is, taken from its card as plain tables; no streamlit here."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from genolm import cards
from genolm.cards import LESS_IS_BETTER, PREFERRED_SPLITS, format_estimate, metric_name, what_split

MEANINGS = {
    "accuracy": "share of right answers",
    "precision": "share of positive answers that are right",
    "recall": "share of true sites that are found",
    "f1": "mean of precision and recall",
    "exact_match": "share of sequences with all their labels right and no other",
    "mcc": "agreement of answer and truth: 0 is guessing, 1 is perfect",
    "auroc": "chance that a true one scores above a false one: 0.5 is guessing, 1 is perfect",
    "auprc": "mean precision over all thresholds: guessing gives the share of true sites",
    "ece": "how far probabilities are from observed shares: 0 is perfect",
    "bits_per_base": "bits needed to guess the next base: 2 is chance, lower is better",
    "rmse": "typical error in the units of the quantity",
    "mae": "mean error in the units of the quantity",
    "r2": "share of the spread that is explained",
    "spearman": "agreement in rank: 0 is none, 1 is perfect",
    "pearson": "agreement on a line: 0 is none, 1 is perfect",
}

OWN = "this model, "
_CHOSEN_BY = ("valid", "validation")


def meaning(key: str) -> str:
    """Return what a metric says, in words for a biologist; "" for an unknown one."""
    return MEANINGS.get(key, "")


def main_split(card: Mapping[str, Any]) -> str:
    """Return the split that a model is judged by: test if there is one; "" when nothing was measured."""
    splits = card.get("metrics") or {}
    held_out = [name for name in splits if name.startswith("held-out")]
    return next((name for name in [*PREFERRED_SPLITS, *held_out, *splits] if name in splits), "")


def headline_metric(card: Mapping[str, Any]) -> str:
    """Return the metric that a model is judged by; "" when none of the usual ones was measured."""
    return cards.headline_metric(card, main_split(card))


def _estimate(value: Any) -> tuple[float, float, float]:
    if not isinstance(value, Mapping):
        number = float("nan") if value is None else float(value)
        return number, number, number
    centre = float("nan") if value.get("value") is None else float(value["value"])
    low, high = value.get("low"), value.get("high")
    return centre, centre if low is None else float(low), centre if high is None else float(high)


def score_table(card: Mapping[str, Any]) -> pd.DataFrame:
    """Return every score on a card, the model first: columns who, metric (its key), value, low, high, split.

    The split that it is judged by comes first, the validation rows last. A baseline is of the split that ends its
    name, of others the main one.
    """
    rows = []
    main = main_split(card)
    splits = card.get("metrics") or {}
    for name in sorted(splits, key=lambda item: (item != main, item in _CHOSEN_BY)):
        rows += [(f"{OWN}{name}", key, *_estimate(value), name) for key, value in splits[name].items()]
    for name, scores in (card.get("baselines") or {}).items():
        split = next((item for item in splits if name.endswith(f", {item}")), main)
        rows += [(name, key, *_estimate(value), split) for key, value in scores.items()]
    return pd.DataFrame(rows, columns=["who", "metric", "value", "low", "high", "split"])


def compared(card: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """Return one metric of the model and of its baselines, those of one split together, the main split first.

    Columns as in :func:`score_table`, and ``rows``, what a split is called.
    """
    table = score_table(card)
    table = table[table["metric"] == metric]
    places = {name: place for place, name in enumerate(dict.fromkeys(table["split"]))}
    table = table.sort_values("split", key=lambda names: names.map(places), kind="stable")
    return table.assign(rows=[split_words(card, name) for name in table["split"]]).reset_index(drop=True)


def split_words(card: Mapping[str, Any], split: str) -> str:
    """Return what the rows of a split are called: "valid" are the validation rows."""
    words = {"valid": "validation rows", "validation": "validation rows", "test": "test rows"}.get(split, split)
    return ", ".join(filter(None, (words, what_split(card, split))))


def wide_table(card: Mapping[str, Any]) -> pd.DataFrame:
    """Return the scores as a reader wants them: one row per model or baseline, one column per metric.

    Where a model was tested on several kinds of rows a baseline's name says of which it is.
    """
    table = score_table(card)
    if table.empty:
        return pd.DataFrame()
    if sum(name not in _CHOSEN_BY for name in card.get("metrics") or {}) > 1:
        names = zip(table["who"], table["split"], strict=True)
        table["who"] = [who if who.endswith(f", {split}") else f"{who}, {split}" for who, split in names]
    table["who"] = table["who"].replace(f"{OWN}valid", f"{OWN}validation")
    cells = [
        format_estimate({"value": row.value} | ({"low": row.low, "high": row.high} if row.low < row.high else {}))
        for row in table.itertuples()
    ]
    wide = table.assign(cell=cells, metric=[metric_name(key) for key in table["metric"]])
    order = list(dict.fromkeys(wide["metric"]))
    pivot = wide.pivot_table(index="who", columns="metric", values="cell", aggfunc="first", sort=False)
    return pivot.reindex(columns=order).fillna("–").rename_axis(index=None, columns=None)


def best_baseline(card: Mapping[str, Any], metric: str) -> tuple[str, float] | None:
    """Return name and value of the best baseline in a metric where more is better (bits per base: less)."""
    found = compared(card, metric)
    found = found[~found["who"].str.startswith(OWN) & (found["split"] == main_split(card)) & found["value"].notna()]
    if found.empty:
        return None
    row = found.loc[found["value"].idxmin() if metric in LESS_IS_BETTER else found["value"].idxmax()]
    return str(row["who"]), float(row["value"])
