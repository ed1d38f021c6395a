"""Train the built-in language models, and measure how well they read what was held out.

    python recipes/language_models.py --data DATA --out assets/models/bacteria-lm --tokens 18000000
    python recipes/language_models.py --data DATA --corpus ecoli --out RUNS/ecoli-lm --tokens 2000000
    python recipes/language_models.py --data DATA --base assets/models/bacteria-lm --stride 1 \\
        --out assets/models/bacteria-lm-dense --tokens 3200000 --lr 0.002
    python recipes/language_models.py --data DATA --corpus mammal --base assets/models/bacteria-lm \\
        --out assets/models/mammal-lm --tokens 12000000 --lr 0.004 --drop-mult 0 --alpha 0 --beta 0
    python recipes/language_models.py --data DATA --corpus mammal --base assets/models/mammal-lm --stride 1 \\
        --out assets/models/mammal-lm-dense --tokens 3600000 --lr 0.002 --drop-mult 0 --alpha 0 --beta 0 \\
        --validations 4
    python recipes/language_models.py --data DATA --corpus mammal --base assets/models/mammal-lm --stride 2 \\
        --out RUNS/mammal-lm-stride-2 --tokens 3600000 --lr 0.002 --drop-mult 0 --alpha 0 --beta 0 \\
        --validations 4
    python recipes/language_models.py --data DATA --out assets/models/bacteria-lm --judge

DATA is the data folder; :mod:`language_corpora` says what of it is read and what is held out. A run that was
cut off goes on from its checkpoint. With --judge the model at OUT is judged anew and its card rewritten; its weights
stay. The recipe language-models.toml trains nothing: it judges the models that
are there.
"""

import argparse
import math
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
from language_corpora import Corpora, markov_sample, read_corpora
from run_parts import available, difference, method, scored
from scan_proof_ground import Store

from genolm.bootstrap import Array, Figures, Statistic, paired_bootstrap
from genolm.bundles import read_description, write_description
from genolm.errors import GenolmError
from genolm.language import token_losses
from genolm.language_scores import LEAST_PIECES, TEXT_VERSION, held_out_text, markov_losses
from genolm.markov import MarkovModel, bits_interval, fit_markov
from genolm.model import LanguageModel
from genolm.pretraining import PretrainSettings, language_card, train_language_model
from genolm.progress import Progress
from genolm.recipe_run import RecipeTask
from genolm.registry import BundleConfig, ModelBundle, load_bundle, save_bundle
from genolm.tokenizer import KmerTokenizer
from genolm.training import History

RECIPE = "recipes/language_models.py"
MARKOV_BASES = 100_000_000
MARKOV, MARKOV_BEST = "markov", "markov-best"
MODELS = {"bacteria": ("bacteria-lm", "bacteria-lm-dense"), "mammal": ("mammal-lm", "mammal-lm-dense")}
FIRST_TEXT = "held-out species"
STEPS_TOLD = {1: ", overlapping k-mers", PretrainSettings().stride: ""}
BLOCK_TOKENS = 500
BEATEN = "A Markov model of the bases needs fewer bits per base"


class TextLosses(NamedTuple):
    """Losses on each scored token of a text, nats: of a language model and of two Markov models.

    The order of ``markov`` is chosen on training bases; on those of another species a lower one may do
    better.
    """

    ours: np.ndarray
    markov: np.ndarray
    best: np.ndarray
    best_order: int


def text_losses(
    model: LanguageModel, tokenizer: KmerTokenizer, markov: MarkovModel, corpora: Corpora
) -> dict[str, TextLosses]:
    """Return what a language model and Markov models reach on each held-out text, on the same tokens."""
    found = {}
    for name, text in corpora.texts.items():
        batches = held_out_text(text.records, tokenizer, bases=text.bases)
        ends = range(1, markov.order + 2)
        models = [MarkovModel(markov.counts, markov.strengths[:end]) for end in ends]
        tried = [markov_losses(item, batches, tokenizer) for item in models]
        best = min(range(len(tried)), key=lambda order: tried[order].mean())
        found[name] = TextLosses(token_losses(model, batches), tried[-1], tried[best], best)
    return found


def run(task: RecipeTask) -> dict[str, Any]:
    """Measure bits per base of the built-in language models beside the best Markov model of the same bases.

    Options: ``markov_bases``, about how many bases the Markov model is fitted on at most.
    """
    store = Store(task.out / "parts.json")
    result: dict[str, Any] = {"protocols": {}, "methods": {}, "scores": {}, "differences": [], "missing": []}
    for corpus, names in MODELS.items():
        bundles, missing = available(task, names)
        result["missing"] += missing
        if bundles:
            most = int(task.options.get("markov_bases", MARKOV_BASES))
            models = {name: item.sha256 for name, item in bundles.items()}
            facts = {"models": models, "markov_bases": most, "least_pieces": LEAST_PIECES, "text": TEXT_VERSION}
            part = store.part(corpus, facts, partial(_judge, task, corpus, bundles, most))
            for key in ("protocols", "methods", "scores"):
                result[key] |= part[key]
            result["differences"] += part["differences"]
            if (whole := _key(FIRST_TEXT)) in part["protocols"]:
                others = [key for key in part["protocols"] if key != whole]
                result["protocols"][whole] = {**part["protocols"][whole], "pools": others}
    result["methods"][MARKOV] = method("Markov model, its order chosen on training bases", kind="baseline")
    words = "Markov model, of the order that is best on this very text, which favours it"
    result["methods"][MARKOV_BEST] = method(words, kind="baseline")
    return result


def _judge(task: RecipeTask, corpus: str, bundles: Mapping[str, ModelBundle], most: int) -> dict[str, Any]:
    """Return protocols, methods, scores and differences of the models of one corpus."""
    task.say(f"reading the sequences of the {corpus} models")
    corpora = read_corpora(task.data, corpus)
    for bundle in bundles.values():
        check_same_sequences(bundle, corpora)
    sample = markov_sample(corpora.train, most)
    markov = fit_markov(sample)
    facts = {
        "training_bases": corpora.train.known_bases,
        "markov_bases": sum(len(record) for record in sample),
        "markov_order": markov.order,
    }
    part: dict[str, Any] = {"protocols": {}, "methods": {}, "scores": {}, "differences": []}
    for name, bundle in bundles.items():
        task.say(f"scoring {name}")
        tokenizer = KmerTokenizer(bundle.config.tokenizer)
        part["methods"][name] = method(bundle.config.title, **vars(bundle.config.tokenizer))
        losses = text_losses(bundle.build(), tokenizer, markov, corpora)
        for text in sorted(losses, key=lambda key: key != FIRST_TEXT):
            _add_text(part, name, text, losses[text], tokenizer.stride)
            part["protocols"][_key(text)]["record"] |= facts
    return part


def _add_text(part: dict[str, Any], name: str, text: str, losses: TextLosses, stride: int) -> None:
    """Add what a model and Markov models reach on one text; theirs are on the tokens of one model."""
    key = _key(text)
    record = {"scored_bases": len(losses.ours) * stride, "best_markov_order": losses.best_order}
    part["protocols"].setdefault(key, {"title": _title(text), "rows": {}, "record": record})
    scores = part["scores"].setdefault(key, {})
    for method_key, values in ((name, losses.ours), (MARKOV, losses.markov), (MARKOV_BEST, losses.best)):
        figures = {"bits_per_base": bits_interval(values, bases=stride)}
        scores.setdefault(method_key, {"seeds": [scored(figures)]})
    ours = _mean_bits(losses.ours, stride)
    for other, values in ((MARKOV, losses.markov), (MARKOV_BEST, losses.best)):
        found = paired_bootstrap(ours, _mean_bits(values, stride), len(_blocks(values)))["bits_per_base"]
        change = found.difference.as_dict()
        part["differences"].append(difference((key, name, other), "bits_per_base", change, found.p))


def _blocks(losses: np.ndarray) -> list[np.ndarray]:
    return np.array_split(losses, max(2, len(losses) // BLOCK_TOKENS))


def _mean_bits(losses: np.ndarray, stride: int) -> Statistic:
    """Return bits per base as a function of how often each block of tokens is drawn."""
    sums = np.array([block.sum(dtype=float) for block in _blocks(losses)])
    sizes = np.array([len(block) for block in _blocks(losses)]) * stride * math.log(2)

    def statistic(weights: Array) -> Figures:
        return {"bits_per_base": (weights @ sums) / (weights @ sizes)}

    return statistic


def _key(text: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())


def _title(text: str) -> str:
    return text if text.startswith("held-out") else f"{text}, held out"


def check_same_sequences(bundle: ModelBundle, corpora: Corpora) -> None:
    """Refuse a model that was trained on other files than those that are there, as its card says."""
    there = {item["name"]: item["sha256"] for item in corpora.train.files}
    for item in bundle.card.get("data") or ():
        if there.get(item["name"]) != item["sha256"]:
            raise GenolmError(
                f"The model '{bundle.name}' was trained on {item['name']} (SHA-256 {item['sha256'][:12]}…);"
                " the data folder has another file or none, so its Markov model would be of other sequences."
            )


def make_card(
    name: str,
    corpora: Corpora,
    model: LanguageModel,
    tokenizer: KmerTokenizer,
    *,
    settings: PretrainSettings,
    history: History,
    base: str,
) -> dict[str, Any]:
    """Return the card: bits per base on each held-out text, beside the best Markov model of its bases."""
    markov = fit_markov(markov_sample(corpora.train, MARKOV_BASES))
    losses = text_losses(model, tokenizer, markov, corpora)
    stride = tokenizer.stride
    card = language_card(name, corpora.train, {}, settings, history) | judged_part(losses, stride)
    card["settings"]["base"] = Path(base).name if base else ""
    card["training"]["markov_bits_by_order"] = [round(value, 4) for value in markov.slice_bits]
    return card | {
        "title": corpora.title + STEPS_TOLD.get(stride, f", {tokenizer.k}-mers every {stride} bp"),
        "purpose": f"Starting point for classifiers of {corpora.organisms} sequences; "
        "it gives no annotation by itself.",
        "licence": "MIT (weights); genomes are public records",
        "recipe": RECIPE,
        "limits": [
            *corpora.limits,
            *([f"Went on from {Path(base).name}."] if base else []),
            *beaten_words(losses, stride),
        ],
    }


def judged_part(losses: Mapping[str, TextLosses], stride: int) -> dict[str, Any]:
    """Return ``metrics`` and ``baselines`` of a card: bits per base of the model and of the best Markov model."""
    metrics = {
        text: {
            "bits_per_base": bits_interval(item.ours, bases=stride),
            "bits_saved_over_markov": bits_interval(item.best - item.ours, bases=stride),
        }
        for text, item in losses.items()
    }
    # Of the orders the one that is best on the very text: a baseline that is favoured is beaten for sure.
    baselines = {
        f"Markov model of order {item.best_order}, {text}": {"bits_per_base": bits_interval(item.best, bases=stride)}
        for text, item in losses.items()
    }
    return {"metrics": metrics, "baselines": baselines}


def judge_again(folder: Path, corpora: Corpora) -> dict[str, Any]:
    """Judge the model in a folder anew, rewrite its card and return that; :class:`GenolmError` of other sequences."""
    bundle = load_bundle(folder)
    check_same_sequences(bundle, corpora)
    tokenizer = KmerTokenizer(bundle.config.tokenizer)
    markov = fit_markov(markov_sample(corpora.train, MARKOV_BASES))
    losses = text_losses(bundle.build(), tokenizer, markov, corpora)
    limits = [item for item in bundle.card["limits"] if not item.startswith(BEATEN)]
    card = bundle.card | judged_part(losses, tokenizer.stride)
    card["limits"] = [*limits, *beaten_words(losses, tokenizer.stride)]
    config, _, weights = read_description(folder)
    write_description(folder, config, card, weights)
    return card


def beaten_words(losses: Mapping[str, TextLosses], stride: int) -> list[str]:
    """Return a sentence on the texts that a Markov model reads better, none where there is none."""
    behind = {text: (item.ours - item.best).mean() / (stride * math.log(2)) for text, item in losses.items()}
    told = [f"{text} by {bits:.3f}" for text, bits in behind.items() if bits > 0]
    return [f"{BEATEN}: {', '.join(told)}."] if told else []


def report(progress: Progress) -> None:
    """Write one line of the log."""
    figures = " ".join(f"{key} {value:.4f}" for key, value in progress.values.items())
    left = f"{progress.eta / 60:.1f} min left" if progress.eta else ""
    print(f"{progress.done}/{progress.total} {progress.elapsed:.0f} s {figures} {left}", flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, help="folder for the checkpoint; default OUT.training")
    parser.add_argument("--corpus", choices=("bacteria", "ecoli", "mammal"), default="bacteria")
    parser.add_argument("--base", help="language model to go on from, with the stride that --stride gives")
    parser.add_argument("--judge", action="store_true", help="judge the model at OUT anew; train nothing")
    parser.add_argument("--others", type=float, default=0.3, help="readings of bacteria but enterobacteria")
    for name, default in PretrainSettings().__dict__.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Train, score on what was held out and save; or judge a model that is there."""
    options = parse(arguments)
    names = PretrainSettings().__dict__
    settings = PretrainSettings(**{name: getattr(options, name) for name in names})
    corpora = read_corpora(options.data, options.corpus, others=options.others)
    print(f"{len(corpora.train.records)} records, {corpora.train.bases:,} bases to learn from", flush=True)
    if options.judge:
        print(judge_again(options.out, corpora)["metrics"], flush=True)
        return
    scratch = options.runs or options.out.with_name(options.out.name + ".training")
    model, tokenizer, history = train_language_model(
        corpora.train,
        corpora.valid,
        settings,
        base=load_bundle(options.base) if options.base else None,
        stride=settings.stride,
        checkpoint=scratch,
        progress=report,
    )
    card = make_card(
        options.out.name,
        corpora,
        model,
        tokenizer,
        settings=settings,
        history=history,
        base=options.base or "",
    )
    config = BundleConfig(
        name=options.out.name,
        kind="language-model",
        title=card["title"],
        purpose=card["purpose"],
        tokenizer=tokenizer.config,
        encoder=model.encoder.config,
    )
    save_bundle(options.out, config, model.state_dict(), card)
    print(card["metrics"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
