"""From genomes to a language model bundle."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded

from genolm import distributed
from genolm.ascode import command_arguments
from genolm.batches import TextBatch
from genolm.corpus import Corpus, divide_files, outline, split_corpus
from genolm.errors import SettingsError, TrainingError, check_list, first_names
from genolm.language import token_losses
from genolm.language_scores import bits_per_base, markov_losses, scored_text
from genolm.language_training import assist_training, train_language_model
from genolm.markov import bits_interval, fit_markov
from genolm.model import LanguageModel
from genolm.own_files import check_own_files
from genolm.pretrain_plan import (
    HELD_OUT_BASES,
    PretrainPlan,
    PretrainSettings,
    plan_here,
    plan_pretraining,
    token_config,
)
from genolm.progress import Progress, ProgressCallback
from genolm.record import RECORD_NAME, file_facts, run_record, timestamp, write_json
from genolm.registry import BundleConfig, ModelBundle, check_free, load_bundle, new_folder, save_bundle
from genolm.shared_words import relative_notes
from genolm.tokenizer import KmerTokenizer
from genolm.training import History, checkpoint_beside
from genolm.unfinished import Unfinished
from genolm.workspace import exclusive, report_folder, room_asked_for

__all__ = [
    "Corpus",
    "PretrainSettings",
    "bits_per_base",
    "language_card",
    "plan_for_files",
    "pretrain",
    "pretrain_arguments",
    "split_corpus",
    "train_language_model",
]

HELD_OUT = "held-out"
PURPOSE = "Language model to fine-tune classifiers from."
PLANNED, TRAINING = "planned", "training"


@dataclass
class _Run:
    """One training: what it reads, its plan, what it keeps, and how it tells of itself."""

    train: Corpus
    valid: Corpus
    base: ModelBundle | None
    plan: PretrainPlan
    kept: Unfinished
    progress: ProgressCallback | None
    last: Progress = field(default_factory=lambda: Progress("reading", 0, 0))
    figures: dict[str, float] = field(default_factory=dict)

    def say(self, stage: str) -> None:
        """Report a stage that has no measure of its own."""
        self.tell(replace(self.last, stage=stage))

    def tell(self, report: Progress) -> None:
        """Pass a report on, with the baseline's figure beside the live ones."""
        self.last = report
        if self.progress:
            self.progress(replace(report, values={**report.values, **self.figures}))

    def tell_training(self, report: Progress) -> None:
        """Pass a report of the trainer on; it has but one phase."""
        self.tell(replace(report, stage="training"))


@dataclass(frozen=True)
class _Baseline:
    """The Markov model's order and its loss on each scored token of the held-out text."""

    order: int
    tried: tuple[float, ...]
    losses: np.ndarray


def pretrain(
    fasta_paths: Sequence[str | Path],
    name: str = "",
    *,
    settings: PretrainSettings | None = None,
    base: str | None = None,
    held_out: Sequence[str] = (),
    out_dir: str | Path | None = None,
    report_dir: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Train a language model on sequence files and save it as a bundle; goes on where it was cut off.

    Parameters
    ----------
    fasta_paths : sequence of path
    name : str
        Name of the new model, which is at once among the user's models.
    settings : PretrainSettings, optional
    base : str, optional
        Name or path of a language model to go on from; its k, stride and sizes are kept.
    held_out : sequence of str
        Records (``record`` or ``file:record``) or whole files to judge the model by; by default about a
        twentieth, see :func:`genolm.held_out.choose_held_out`, and copies of that are not learned from.
    out_dir : path, optional
        Folder for the bundle, in place of the user's models; its name is the model's.
    report_dir : path, optional
        Folder for the record of the run, ``run.json``.
    progress : callback, optional

    Returns
    -------
    Path
        The bundle's folder, written by the first of several processes. What is unfinished lies beside it in
        ``.<name>.training``.

    Raises
    ------
    TrainingError
        When there is too little sequence.
    BundleError, SettingsError
        Also when the same name is trained by another process.
    """
    started, began = timestamp(), time.monotonic()
    check_list(fasta_paths, "fasta_paths")
    check_list(held_out, "held_out")
    asked = settings or PretrainSettings()
    folder = new_model_folder(name, out_dir)
    if not distributed.group().is_first:
        assist_training(fasta_paths, base=base, held_out=held_out)
        return folder
    report = None if report_dir is None else report_folder(report_dir)
    scratch = checkpoint_beside(folder)
    if report is not None and not scratch.exists():
        check_own_files(report, [RECORD_NAME], "pretrain")
    with exclusive(scratch, folder.name):
        # Another process may have finished it between the first look and the lock.
        check_free(folder)
        kept = Unfinished(scratch)
        run = _open_run(fasta_paths, kept, asked, base=base, held_out=held_out, progress=progress)
        model, tokenizer, card = _trained(run, folder.name)
        with room_asked_for(kept.folder):
            _save(kept.made(folder.name), card, model, tokenizer)
        if report is not None:
            place = {"out_dir": Path(out_dir).absolute()} if out_dir else {"name": name}
            arguments = _same_again(run, asked, fasta_paths, base=base, held_out=tuple(held_out), **place)
            seconds = time.monotonic() - began
            record = _record(run, card, arguments, fasta_paths, started=started, seconds=seconds)
            write_json(report / RECORD_NAME, record)
        kept.publish(folder)
    return folder


def new_model_folder(name: str, out_dir: str | Path | None) -> Path:
    """Return the folder of a new model that has either a name or a folder; refuse both, and what is taken or bad."""
    if bool(name) == (out_dir is not None):
        raise SettingsError("Give the new model either a name or a folder of its own (--name or --out).")
    return new_folder(name, out_dir)


def pretrain_arguments(settings: PretrainSettings, **values: Any) -> list[str]:
    """Return the arguments of ``python -m genolm`` for a training; ``values`` as in :func:`pretrain`."""
    said = (*(() if values.get("base") else ("preset", "k", "stride")), "tokens", "hours", "seed")
    return command_arguments("pretrain", **{key: getattr(settings, key) for key in said}, **values)


def _same_again(run: _Run, asked: PretrainSettings, paths: Sequence[str | Path], **values: Any) -> list[str]:
    """Return the arguments of the same training: as many tokens, however fast the machine is."""
    settings = replace(asked, tokens=run.plan.settings.tokens)
    values["held_out"] = values["held_out"] or None
    return pretrain_arguments(settings, fasta=[Path(path).absolute() for path in paths], **values)


def plan_for_files(
    fasta_paths: Sequence[str | Path],
    settings: PretrainSettings | None = None,
    *,
    base: str | None = None,
    held_out: Sequence[str] = (),
) -> tuple[PretrainPlan, str]:
    """Return what :func:`pretrain` would do and what it would hold out, in words; measures the speed here."""
    start = load_language_model(base) if base else None
    paths = [Path(path) for path in fasta_paths]
    *_, known = outline(paths)
    division = divide_files(paths, held_out=held_out)
    plan = plan_here(max(1, known - division.unlearned_bases), settings, base=start)
    return plan, division.words()


def _open_run(
    paths: Sequence[str | Path],
    kept: Unfinished,
    settings: PretrainSettings,
    *,
    base: str | None,
    held_out: Sequence[str],
    progress: ProgressCallback | None,
) -> _Run:
    """Read the sequences and plan the training, or take the plan of the run that was cut off."""
    start = load_language_model(base) if base else None
    if progress:
        progress(Progress("reading the sequences", 0, 0))
    train, valid = split_corpus([Path(path) for path in paths], held_out=held_out)
    facts = {
        "files": [item["sha256"] for item in train.files],
        "base": _base_facts(start),
        "held_out": list(held_out),
        "settings": asdict(settings),
    }
    if train.notes:
        # A training that has learned from the copies is another one.
        facts["copies_left_out"] = list(train.notes)
    train.notes.extend(relative_notes(valid.records, train.records))
    for note in train.notes if progress else ():
        progress(Progress(note.rstrip("."), 0, 0))
    kept.open(kept.folder.stem.removeprefix("."), facts)
    planned = _planned(kept)
    if planned is None:
        # What was learned by a plan that is lost is no beginning for another one.
        shutil.rmtree(kept.folder / TRAINING, ignore_errors=True)
        choose = plan_pretraining if settings.tokens else plan_here
        plan = choose(train.known_bases, settings, base=start)
        kept.write(PLANNED, asdict(plan.settings))
    else:
        plan = plan_pretraining(train.known_bases, planned, base=start)
    return _Run(train, valid, start, plan, kept, progress)


def _planned(kept: Unfinished) -> PretrainSettings | None:
    """Return what a run that was cut off had planned, None where there is none or it is damaged."""
    planned = kept.read(PLANNED)
    try:
        return PretrainSettings(**planned) if isinstance(planned, dict) else None
    except TypeError:
        return None


def _trained(run: _Run, name: str) -> tuple[LanguageModel, KmerTokenizer, dict[str, Any]]:
    """Train and judge the model; a training that came to nothing leaves nothing to go on from."""
    try:
        baseline = _baseline(run)
        distributed.group().told(lambda: asdict(run.plan.settings))
        model, tokenizer, history = run.kept.with_checkpoint(
            TRAINING,
            lambda checkpoint: train_language_model(
                run.train,
                run.valid,
                run.plan.settings,
                base=run.base,
                checkpoint=checkpoint,
                progress=run.tell_training,
            ),
        )
    except TrainingError:
        run.kept.remove()
        raise
    run.say("scoring the held-out sequence")
    return model, tokenizer, _card(name, run, baseline, model, history)


def load_language_model(name_or_path: str) -> ModelBundle:
    """Return a bundle that pre-training can go on from."""
    bundle = load_bundle(name_or_path)
    if bundle.config.kind != "language-model":
        raise SettingsError(
            f"'{name_or_path}' is a {bundle.config.kind}; pre-training goes on from a language model."
        )
    return bundle


def _base_facts(base: ModelBundle | None) -> dict[str, Any]:
    return {"name": base.name, "sha256": base.sha256} if base else {}


def _record(
    run: _Run,
    card: Mapping[str, Any],
    arguments: list[str],
    paths: Sequence[str | Path],
    *,
    started: str,
    seconds: float,
) -> dict[str, Any]:
    return run_record(
        "pretrain",
        inputs=[file_facts(path) for path in paths],
        model=_base_facts(run.base),
        settings={**card["settings"], "held_out": run.valid.names},
        compute={"device": genolm.compute.device_name(), "threads": genolm.compute.thread_budget()},
        started=started,
        seconds=seconds,
        results={"metrics": card["metrics"], "baselines": card["baselines"], "notes": run.train.notes},
        arguments=arguments,
    )


def _text(run: _Run, tokenizer: KmerTokenizer) -> list[TextBatch]:
    return scored_text(run.valid.records, tokenizer, bases=HELD_OUT_BASES)


def _baseline(run: _Run) -> _Baseline:
    """Fit the Markov model and score it on the text that the language model will be scored on."""
    run.say("counting words for the Markov baseline")
    tokenizer = KmerTokenizer(token_config(run.plan.settings, run.base))
    markov = fit_markov(run.train.records)
    losses = markov_losses(markov, _text(run, tokenizer), tokenizer)
    run.figures["markov_bits_per_base"] = bits_interval(losses, bases=tokenizer.stride)["value"]
    return _Baseline(markov.order, markov.slice_bits, losses)


def _save(folder: Path, card: Mapping[str, Any], model: LanguageModel, tokenizer: KmerTokenizer) -> None:
    config = BundleConfig(
        name=folder.name,
        kind="language-model",
        title=folder.name,
        purpose=card["purpose"],
        tokenizer=tokenizer.config,
        encoder=model.encoder.config,
    )
    save_bundle(folder, config, model.state_dict(), dict(card))


def _card(
    name: str, run: _Run, baseline: _Baseline, model: LanguageModel, history: History
) -> dict[str, Any]:
    """Return the card, with the paired difference to the Markov model and what the base knew before."""
    tokenizer = KmerTokenizer(token_config(run.plan.settings, run.base))
    stride, text = tokenizer.stride, _text(run, tokenizer)
    losses = token_losses(model, text)
    saved = bits_interval(baseline.losses - losses, bases=stride)
    scores = {HELD_OUT: bits_interval(losses, bases=stride)}
    card = language_card(name, run.train, scores, run.plan.settings, history)
    card["metrics"][HELD_OUT]["bits_saved_over_markov"] = saved
    markov = bits_interval(baseline.losses, bases=stride)
    card["baselines"][f"Markov model of order {baseline.order}"] = {"bits_per_base": markov}
    card["training"]["markov_bits_by_order"] = [round(value, 4) for value in baseline.tried]
    card["training"]["held_out"] = run.valid.names
    card["settings"]["base"] = run.base.name if run.base else ""
    card["limits"].append(
        f"Held out for the figure: {first_names(run.valid.names)}; it is of the same organisms."
    )
    card["limits"] += run.train.notes
    if run.base:
        before = bits_per_base(run.base.build(), text, stride)
        card["baselines"][f"{run.base.name}, before"] = {"bits_per_base": before}
        card["limits"].append(
            f"It went on from {run.base.name}; where that had read the held-out sequence, or a close "
            "relative's, the figure flatters."
        )
    return card


def language_card(
    name: str,
    train: Corpus,
    scores: dict[str, dict[str, float]],
    settings: PretrainSettings,
    history: History,
) -> dict[str, Any]:
    """Return the card of a language model: its data, settings, training and bits per base on each text."""
    tokens = history.steps * settings.rows * settings.bptt
    return {
        "title": name,
        "purpose": PURPOSE,
        "date": time.strftime("%Y-%m-%d"),
        "licence": "",
        "data": train.files,
        "recipe": "genolm pretrain",
        "settings": asdict(settings),
        "training": {
            "tokens": tokens,
            "seconds": round(history.seconds, 1),
            "tokens_per_second": round(tokens / max(history.seconds, 1e-9)),
            "device": genolm.compute.device_name(),
            "epochs": history.to_json()["epochs"],
        },
        "metrics": {text: {"bits_per_base": value} for text, value in scores.items()},
        "baselines": {},
        "limits": [],
    }
