"""The methods of a trained model as a paragraph for a paper, with its numbers and references.

What is not known is left out: every sentence is written from the report, the card and the record of the run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genolm.bootstrap import FEW_GROUPS
from genolm.cards import FROM_SCRATCH, format_estimate, metric_name

REFERENCES = {
    "davison": "Davison AC, Hinkley DV (1997) Bootstrap methods and their application. Cambridge University Press. "
    "doi:10.1017/CBO9780511802843",
    "efron": "Efron B (1979) Bootstrap methods: another look at the jackknife. Annals of Statistics 7:1-26. "
    "doi:10.1214/aos/1176344552",
    "elkan": "Elkan C (2001) The foundations of cost-sensitive learning. IJCAI 17:973-978.",
    "guo": "Guo C, Pleiss G, Sun Y, Weinberger KQ (2017) On calibration of modern neural networks. "
    "ICML. arXiv:1706.04599",
    "heyer": "Heyer K (2019) Genomic-ULMFiT: ULMFiT for genomic sequence data. "
    "https://github.com/kheyer/Genomic-ULMFiT",
    "howard": "Howard J, Ruder S (2018) Universal language model fine-tuning for text classification. "
    "ACL. doi:10.18653/v1/P18-1031",
    "merity": "Merity S, Keskar NS, Socher R (2017) Regularizing and optimizing LSTM language models. "
    "arXiv:1708.02182",
    "smith": "Smith LN (2018) A disciplined approach to neural network hyper-parameters: part 1. "
    "arXiv:1803.09820",
}
KINDS = {
    "binary": "tells {names} apart",
    "multiclass": "tells {names} apart",
    "multilabel": "says which of {names} a sequence has",
    "regression": "predicts {names}",
}
SPLITS = {
    "given": "as the table's own column says",
    "cluster": "by sequence similarity, so that near-duplicates on either strand never straddle two parts",
    "group": "by the table's groups, so that no group straddles two parts",
    "random": "at random within classes",
}
_CITED = {
    "davison": "Davison and Hinkley 1997",
    "efron": "Efron 1979",
    "elkan": "Elkan 2001",
    "guo": "Guo et al. 2017",
    "heyer": "Heyer 2019",
    "howard": "Howard and Ruder 2018",
    "merity": "Merity et al. 2017",
    "smith": "Smith 2018",
}
_QUOTED = ("auroc", "auprc", "mcc", "accuracy", "precision", "recall", "r2", "pearson", "spearman", "rmse")
_FEW = 8

Facts = Mapping[str, Any]


def methods_text(report: Facts, *, record: Facts, table: Facts | None = None) -> str:
    """Return Markdown: a title, one paragraph on data, model, training and scores, and its references.

    Parameters
    ----------
    report : mapping
        See :func:`genolm.model_report.write_report`; its ``card`` is read too (``network`` for k-mers and
        sizes, ``settings``, ``training.adapted`` for the language model).
    record : mapping
        See :func:`genolm.record.run_record`.
    table : mapping, optional
        The report on the table, for its numbers of refused and unlabelled rows.
    """
    sentences = [
        _what(report, record),
        *_data(report, record, table or {}),
        *_network(report, table or {}),
        *_training(report, record),
        *_calibration(report),
        *_results(report),
    ]
    paragraph = " ".join(item for item in sentences if item)
    cited = [REFERENCES[key] for key in sorted(REFERENCES) if _CITED[key] in paragraph]
    return "\n\n".join([f"# Methods: {report['name']}", paragraph, "## References", *cited]) + "\n"


def _what(report: Facts, record: Facts) -> str:
    code = record.get("code") or {}
    versions = ", ".join(
        f"{word} {code[key]}" for key, word in (("python", "Python"), ("torch", "PyTorch")) if code.get(key)
    )
    made = f"genolm {code['genolm']}" if code.get("genolm") else "genolm"
    kind = KINDS[report["task"]].format(names=_listed(report["classes"]))
    device = (record.get("compute") or {}).get("device")
    where = f" on {device}" if device else ""
    return f"The model {report['name']} {kind}. It was trained with {made}{_bracketed(versions)}{where}."


def _data(report: Facts, record: Facts, table: Facts) -> list[str]:
    found = []
    inputs = record.get("inputs") or []
    if inputs:
        item = inputs[0]
        digest = f"SHA-256 {str(item['sha256'])[:16]}" if item.get("sha256") else ""
        rows = f" with {item['rows']:,} labelled sequences" if item.get("rows") else ""
        refused = len(table.get("refused") or [])
        more = f"; {refused:,} rows that could not be read were left out" if refused else ""
        found.append(f"It learned from the table {item.get('name', '')}{_bracketed(digest)}{rows}{more}.")
    counts = (report["card"].get("training") or {}).get("counts") or {}
    words = {"train": "training", "valid": "validation", "test": "test"}
    parts = [f"{counts[key]:,} for {word}" for key, word in words.items() if counts.get(key)]
    split = _setting(report, record, "split")
    way = SPLITS.get(str(split), "")
    if parts:
        found.append(f"The sequences were split{' ' + way if way else ''}: {_listed(parts)}.")
    return found


def _network(report: Facts, table: Facts) -> list[str]:
    base = _setting(report, {}, "base")
    start = (
        "The classifier follows ULMFiT (Howard and Ruder 2018) as brought to DNA by Genomic-ULMFiT (Heyer "
        f"2019): an AWD-LSTM encoder (Merity et al. 2017{_sizes(report)}) reads {_tokens(report)}, and a "
        f"head of two layers reads its last, maximal and mean state{_slots(report)}."
    )
    if not base:
        return [start]
    if base == FROM_SCRATCH:
        return [start, "The encoder was not pre-trained."]
    kind = (report["card"].get("settings") or {}).get("base_kind") or "language model"
    return [start, f"The encoder was taken from the {kind} {base}{_adaptation(report, table)}."]


def _tokens(report: Facts) -> str:
    network = report["card"].get("network") or {}
    k, stride = network.get("k"), network.get("stride")
    if not k or not stride:
        return "overlapping or adjoining k-mers"
    kind = "adjoining" if k == stride else "overlapping"
    return f"{kind} {k}-mers, one every {stride} bp"


def _sizes(report: Facts) -> str:
    network = report["card"].get("network") or {}
    if not all(network.get(key) for key in ("embedding", "hidden", "layers")):
        return ""
    return f"; embedding of {network['embedding']}, {network['layers']} layers of {network['hidden']} units"


def _adaptation(report: Facts, table: Facts) -> str:
    """Return what became of the language model on the table's sequences, as the end of a sentence."""
    adapted = (report["card"].get("training") or {}).get("adapted") or {}
    if not adapted:
        return ""
    unlabelled = table.get("unlabelled") or 0
    read = "the training sequences"
    if unlabelled:
        read += (
            f" and on those of the table's {unlabelled:,} sequences without a label that resemble no "
            "validation or test sequence and were not held out with them"
        )
    if not adapted.get("used"):
        return f", unchanged: fine-tuning it on {read} did not help on the validation sequences"
    before, after = adapted["bits_per_base_before"], adapted["bits_per_base_after"]
    return f", fine-tuned on {read} (validation {before:.3f} to {after:.3f} bits per base)"


def _slots(report: Facts) -> str:
    slots = report.get("slots") or 0
    return f", and the mean over each of {slots} equal parts of the sequence" if slots else ""


def _training(report: Facts, record: Facts) -> list[str]:
    settings = report["card"].get("settings") or {}
    found = []
    if settings.get("schedule"):
        phases = _listed([_phase(item) for item in settings["schedule"]])
        found.append(f"It was trained in one-cycle phases (Smith 2018): {phases}.")
    said = [
        f"{word} {settings[key]:g}"
        for key, word in (
            ("batch_size", "batch size"),
            ("weight_decay", "weight decay"),
            ("drop_mult", "dropout multiplier"),
            ("seed", "seed"),
        )
        if settings.get(key) is not None
    ]
    if said:
        found.append(f"Settings were {_listed(said)}; the weights of the best validation epoch were kept.")
    if minutes := _setting(report, record, "search_minutes"):
        found.append(
            f"Learning rate and dropout multiplier were the best on the validation sequences in a search of "
            f"up to {minutes:g} minutes."
        )
    if settings.get("balanced"):
        found.append(
            "Rare classes weighed as much as common ones in the loss; the probabilities were brought back to "
            "the classes' true shares in the training sequences (Elkan 2001)."
        )
    if settings.get("mirrored"):
        found.append("Training sequences were read on either strand, and answers are means of both strands.")
    if settings.get("shifted"):
        found.append("In each pass a training sequence was read from one of its first bases on, drawn at random.")
    if settings.get("trimmed"):
        found.append("In each pass a part of a training sequence was left out at either end, drawn at random.")
    if settings.get("framed"):
        found.append("Answers are means of readings from each of the first bases, one for each frame of k-mers.")
    if int(settings.get("members") or 1) > 1:
        found.append(f"The answers of {settings['members']} such networks with different seeds are averaged.")
    return found


def _calibration(report: Facts) -> list[str]:
    rows = report["splits"][report["judged_by"]]
    if "calibration" not in rows:
        return []
    before, after = (rows["calibration"][key]["ece"] for key in ("before", "after"))
    sentence = (
        f"Probabilities were calibrated by temperature scaling (Guo et al. 2017) on the validation sequences "
        f"(temperature {report['calibration']['temperature']:.3f}; expected calibration error on the "
        f"{report['judged_by']} sequences {format_estimate(before)} before and {format_estimate(after)} "
        f"after{_noise(rows['calibration']['after'])})."
    )
    if report["task"] != "binary":
        return [sentence]
    threshold, positive = report["calibration"]["threshold"], report["classes"][1]
    return [sentence, f"The answer is {positive} from a probability of {threshold:.3f} on."]


def _noise(after: Facts) -> str:
    """Say what noise alone adds to a calibration error; reports of older versions do not know."""
    if after.get("noise") is None:
        return ""
    known = f"a perfectly calibrated model would have {after['noise']:.3f} on average"
    return f", where {known}, which the intervals allow for"


def _drawn(rows: Facts) -> list[str]:
    """Say what was drawn where not every sequence stands alone."""
    groups = rows.get("drawn")
    if groups is None or groups == rows["rows"]:
        return []
    if groups == 0:
        return ["More than half of these sequences resemble one another, so that the intervals are too narrow."]
    few = "; so few groups make the intervals too narrow" if groups < FEW_GROUPS else ""
    return [
        "Sequences that resemble one another, as in a division by similarity, or share a group were drawn together, in "
        f"{groups:,} groups (Davison and Hinkley 1997){few}."
    ]


def _results(report: Facts) -> list[str]:
    split = report["judged_by"]
    rows = report["splits"][split]
    scores = {key: rows["metrics"][key] for key in _QUOTED if key in rows["metrics"]}
    quoted = _listed([f"{metric_name(key)} {format_estimate(item)}" for key, item in scores.items()])
    counts = rows.get("counts") or {}
    each = _listed([f"{count:,} {name}" for name, count in counts.items()]) if len(counts) <= _FEW else ""
    found = [
        f"On the {rows['rows']:,} {split} sequences{_bracketed(each)} it reached {quoted}; brackets hold "
        f"95 % percentile bootstrap intervals of {report['n_boot']:,} draws (Efron 1979)."
    ]
    found += _drawn(rows)
    key = report["main_metric"]
    others = {name: item["metrics"].get(key) or {} for name, item in report["baselines"].items()}
    there = {name: item for name, item in others.items() if item.get("value") is not None}
    known = [f"{name} {format_estimate(item)}" for name, item in there.items()]
    if known:
        found.append(f"Baselines on the same sequences reached {metric_name(key)} {_listed(known)}.")
    if split == "valid":
        found.append("There were no test sequences; these chose the weights too, so the scores are too good.")
    return found


def _phase(item: Facts) -> str:
    layers = item.get("unfreeze") or 0
    which = {0: "all layers", 1: "the head alone"}.get(layers, f"the head and the last {layers - 1} layers")
    if layers == 2:
        which = "the head and the last layer"
    epochs = f"{item['epochs']:g} epoch{'' if item['epochs'] == 1 else 's'}"
    return f"{epochs} of {which} at a peak rate of {item['lr']:g}"


def _setting(report: Facts, record: Facts, key: str) -> Any:
    return (report["card"].get("settings") or {}).get(key) or (record.get("settings") or {}).get(key) or ""


def _listed(items: Sequence[str]) -> str:
    items = list(items)
    if len(items) > _FEW:
        items = [*items[: _FEW - 1], f"{len(items) - _FEW + 1} more"]
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""
