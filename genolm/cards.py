"""Model cards: what a model is for, what it learned from and how good it is, as data and as a page.

A card is plain JSON data (``card.json`` in a bundle); the page (``card.md``) is always rendered from it, so
the two cannot disagree. Every part is optional: a card says what is known and leaves out the rest.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

Card = Mapping[str, Any]

METRIC_NAMES = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "f1": "F1",
    "exact_match": "Exact match",
    "mcc": "MCC",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "ece": "Calibration error",
    "bits_per_base": "Bits per base",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "macro_f1": "Macro F1",
    "auprc_all": "AUPRC, all starts",
    "precision_all": "Precision, all starts",
    "recall_all": "Recall, all starts",
    "precision_genes": "Precision, gene starts",
    "recall_genes": "Recall, gene starts",
    "accuracy_hard": "Accuracy, hard rows",
    "mcc_hard": "MCC, hard rows",
    "scan_auprc": "AUPRC of the scan",
    "scan_auprc_strong": "AUPRC of the scan, well supported starts",
    "window_auprc": "AUPRC of single windows",
}
_SPECIES = {"ecoli": "E. coli", "bsubtilis": "B. subtilis"}
LESS_IS_BETTER = ("bits_per_base", "ece", "rmse", "mae")
FROM_SCRATCH = "nothing (from scratch)"
"""What a card's settings name as the base of a model that has none."""
HEADLINE_METRICS = ("auroc", "mcc", "accuracy", "spearman", "bits_per_base")
PREFERRED_SPLITS = ("test", "holdout", "valid", "validation", "held-out species")
_HASH_LETTERS = 12


def headline_metrics(task: str) -> tuple[str, ...]:
    """Return the metrics that a model of a task may be judged by, the one to prefer first.

    With many classes nearly every pair of them is told apart easily, so that AUROC is high for a poor model;
    accuracy is taken then.
    """
    return ("accuracy", *HEADLINE_METRICS) if task == "multiclass" else HEADLINE_METRICS


def p_words(p: float | None) -> str:
    """Return ``p = 0.012``, or ``p < 0.001`` where it is smaller; a dash where it is not defined."""
    if p is None or math.isnan(p):
        return "–"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def metric_name(key: str) -> str:
    """Return how a metric is called on a page: ``auroc_mouse`` is "AUROC, mouse", ``top_5`` is "Top 5"."""
    first, _, rest = key.partition("_")
    if key not in METRIC_NAMES and rest and first in METRIC_NAMES:
        return f"{METRIC_NAMES[first]}, {_SPECIES.get(rest, rest.replace('_', ' '))}"
    return METRIC_NAMES.get(key, f"{key[:1].upper()}{key[1:].replace('_', ' ')}")


def format_number(value: float) -> str:
    """Return a score with three decimals, or a dash when it could not be worked out (NaN or missing)."""
    if value is None or value != value:
        return "–"
    return f"{value:.3f}"


def format_estimate(estimate: Any) -> str:
    """Return ``0.931 (0.915-0.946)`` for a value with its 95 % interval; a bare number has no interval."""
    if not isinstance(estimate, Mapping):
        return format_number(estimate)
    text = format_number(estimate.get("value"))
    low, high = estimate.get("low"), estimate.get("high")
    if low is None or high is None:
        return text
    return f"{text} ({format_number(low)}–{format_number(high)})"


def format_difference(estimate: Mapping[str, Any]) -> str:
    """Return ``+0.031 (-0.002 to +0.064)`` for a difference with its 95 % interval; a dash if not defined."""
    value, low, high = (estimate.get(key) for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "–"
    return f"{value:+z.3f} ({low:+z.3f} to {high:+z.3f})"


def headline(card: Card) -> str:
    """Return the one score to show beside a model's name, with its split, or "" when none was measured.

    The test split is preferred, with what it is of where the card names that; see :func:`headline_metric` for the
    metric.
    """
    splits = card.get("metrics") or {}
    for split in [*(name for name in PREFERRED_SPLITS if name in splits), *splits]:
        if key := headline_metric(card, split):
            of = what_split(card, split)
            return f"{metric_name(key)} {format_estimate(splits[split][key])} on {split}" + (f" ({of})" if of else "")
    return ""


def what_split(card: Card, split: str) -> str:
    """Return what the rows of a split are of, where there are other tests and the card says it; "" elsewhere."""
    return (card.get("test_of") or "") if split == "test" else ""


def headline_metric(card: Card, split: str) -> str:
    """Return the metric that a model is judged by on a split; "" when none of the usual ones was measured.

    It is the card's own ``headline`` if that was measured, else the first of :data:`HEADLINE_METRICS`.
    """
    scores = (card.get("metrics") or {}).get(split, {})
    return next((key for key in (card.get("headline"), *HEADLINE_METRICS) if key in scores), "")


def merged_data(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a card's data with entries of one SHA-256 as one: the first of them, and what only others say."""
    found: dict[Any, dict[str, Any]] = {}
    for place, item in enumerate(items):
        first = found.setdefault(item.get("sha256") or place, {})
        first.update({key: value for key, value in item.items() if first.get(key) in (None, "")})
    return list(found.values())


def render_card(card: Card, *, facts: Mapping[str, str] | None = None, short_hashes: bool = False) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    card : mapping
        Keys: title, purpose, date, licence, data, recipe, settings, training, metrics, baselines, scan,
        composition, limits, sample; all optional, as is ``test_of``, what rows "test" and the baselines are of
        where there are other tests. ``headline``, the metric to show first, and ``training.seen``, a digest for
        programs, are left out.
    facts : mapping of str to str, optional
        What the model is, from its configuration: shown first, in the order given.
    short_hashes : bool, default False
        Whether of a SHA-256 only the first letters are shown, for a page where it is not to be copied from.

    Returns
    -------
    str
        One page, ending in a line break.
    """
    sections = [
        f"# {card.get('title') or 'Untitled model'}",
        str(card.get("purpose") or ""),
        _facts_part({**(facts or {}), **_own_facts(card)}),
        _scores_part(card),
        _data_part(merged_data(card.get("data") or []), _HASH_LETTERS if short_hashes else None),
        _settings_part("Training", _readable(card.get("training") or {})),
        _settings_part("Settings", card.get("settings") or {}),
        _settings_part("In a scan", card.get("scan") or {}),
        _settings_part("Training genome", card.get("composition") or {}),
        _settings_part("Sample", card.get("sample") or {}),
        _limits_part(card.get("limits") or []),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _own_facts(card: Card) -> dict[str, str]:
    names = {"date": "Date", "licence": "Licence", "recipe": "Recipe"}
    return {label: _words(card[key]) for key, label in names.items() if card.get(key)}


def _facts_part(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- **{name}:** {value}" for name, value in facts.items())


def _scores_part(card: Card) -> str:
    def called(rows: str, split: str) -> str:
        return ", ".join(filter(None, (rows, what_split(card, split))))

    splits, baselines = (card.get(key) or {} for key in ("metrics", "baselines"))
    rows = [(called(f"this model, {split}", split), scores) for split, scores in splits.items()]
    rows += [(f"{called('baseline', 'test')}: {name}", scores) for name, scores in baselines.items()]
    if not rows:
        return ""
    keys = list(dict.fromkeys(key for _, scores in rows for key in scores))
    header = ["", *(metric_name(key) for key in keys)]
    body = [[name, *(_cell(scores, key) for key in keys)] for name, scores in rows]
    note = "Values with 95 % intervals in parentheses."
    return f"## Scores\n\n{_table(header, body)}\n\n{note}"


def _cell(scores: Mapping[str, Any], key: str) -> str:
    return format_estimate(scores[key]) if key in scores else ""


def _data_part(items: list[dict[str, Any]], letters: int | None) -> str:
    if not items:
        return ""
    header = ["Name", "Source", "Records", "Bases", "Licence", "SHA-256"]
    keys = ("name", "source", "records", "bases", "licence")
    body = [[*(_words(item.get(key, "")) for key in keys), str(item.get("sha256", ""))[:letters]] for item in items]
    return f"## Data\n\n{_table(header, body)}"


def _readable(training: Any) -> Any:
    """Return what is said of a training without what only programs read."""
    if not isinstance(training, Mapping):
        return training
    return {key: value for key, value in training.items() if key != "seen"}


def _settings_part(title: str, values: Any) -> str:
    if not values:
        return ""
    if not isinstance(values, Mapping):
        return f"## {title}\n\n{values}"
    lines = [f"- {key.replace('_', ' ')}: {_words(value)}" for key, value in values.items()]
    return f"## {title}\n\n" + "\n".join(lines)


def _limits_part(limits: list[str]) -> str:
    return "## Known limits\n\n" + "\n".join(f"- {text}" for text in limits) if limits else ""


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key.replace('_', ' ')} {_words(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, Mapping) for item in value):
            return f"{len(value)} entries, see card.json"
        return ", ".join(_words(item) for item in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(value)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(cell: str) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")
