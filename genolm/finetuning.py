"""From a labelled table and a language model to a classifier of one's own: the whole of ULMFiT on one table.

The stages are: fine-tune the language model on the table's sequences (optional), try settings (optional),
train one or several classifiers, calibrate their mean, judge it on the test rows, write bundle and report. What
a stage has finished lies in ``.<bundle>.training``, so that a run that was cut off goes on after it.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
from safetensors.torch import load_file, save_file
from torch import Tensor

from genolm.adaptation import Adapted, adapt_language_model
from genolm.bundles import WEIGHTS_FILE
from genolm.classifier import Ensemble, SequenceClassifier
from genolm.classifier_training import Samples, TrainedClassifier, train_classifier
from genolm.config import Calibration, ClassifierSettings, FinetuneSettings, encoder_preset
from genolm.errors import SettingsError
from genolm.model_report import Answers, write_report
from genolm.preparation import Preparation, prepare_training
from genolm.progress import ProgressCallback, Stages
from genolm.record import file_facts, run_record, timestamp
from genolm.recording import run_arguments
from genolm.reduction import reduction_curve
from genolm.registry import check_name, check_new_name
from genolm.shortcuts import shortcut_predictions
from genolm.table_report import TableReport, report_table
from genolm.tokenizer import KmerTokenizer
from genolm.trained import card_baselines, classifier_card, save_classifier
from genolm.training import History, checkpoint_beside
from genolm.tuning import search_settings, search_size
from genolm.workspace import atomic_write, models_dir

ADAPT, SEARCH, REDUCTION, JUDGE = "language model", "trying settings", "fewer sequences", "judging"


@dataclass
class _Run:
    """One training with its folder for what is finished; the parts fill in as it goes on."""

    preparation: Preparation
    scratch: Path
    stages: Stages
    encoder: Mapping[str, Tensor] | None = None
    adapted: dict[str, Any] | None = None

    def kept(self, name: str) -> Any | None:
        """Return what a finished stage left as JSON, None if it is not finished."""
        path = self.scratch / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def keep(self, name: str, data: Any) -> None:
        """Write what a finished stage leaves."""
        with atomic_write(self.scratch / f"{name}.json") as stream:
            stream.write(json.dumps(data).encode())


def finetune(
    table_path: str | Path,
    base: str,
    name: str,
    *,
    settings: FinetuneSettings | None = None,
    out_dir: str | Path | None = None,
    from_scratch: bool = False,
    report_dir: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Fine-tune a classifier on a labelled table and save it as a bundle.

    Parameters
    ----------
    table_path : path
        Table with columns ``sequence,label`` and optionally ``split,group,name``, see
        :func:`genolm.tables.read_table`.
    base : str
        Language model (or classifier) whose encoder is the start; name or path.
    name : str
        Name of the new model.
    settings : FinetuneSettings, optional
    out_dir : path, optional
        Where the bundle goes; by default among the user's own models.
    from_scratch : bool
        Take only the tokens of ``base``, to see what pre-training is worth.
    report_dir : path, optional
        Folder for the report on the test rows, see :func:`genolm.model_report.write_report`.
    progress : callback, optional

    Returns
    -------
    Path
        The bundle's folder.

    Raises
    ------
    TableError, BundleError, SettingsError, TrainingError
    """
    started, began = timestamp(), time.monotonic()
    check = check_name(name) if out_dir else check_new_name(name)
    folder = Path(out_dir) if out_dir else models_dir() / check
    if folder.exists():
        raise SettingsError(f"There is a model in {folder} already; choose another name or remove it.")
    preparation = prepare_training(table_path, base, settings, from_scratch=from_scratch)
    run = _open_run(preparation, checkpoint_beside(folder), progress)
    _adapt(run)
    trained = _train(run, _searched(run))
    report, extra = _judge(run), _reduced(run, trained)
    record = run_record(
        "finetune",
        # A folder of one's own for the bundle is no option of the command: such a run cannot be said as one.
        arguments=() if out_dir else _arguments(preparation, name, report_dir),
        inputs=[{**preparation.facts()["table"], "rows": len(preparation.table)}],
        model=preparation.facts()["base"],
        settings={**asdict(preparation.settings), "from_scratch": from_scratch, "split": preparation.split.method},
        compute=_compute_facts(),
        started=started,
        seconds=time.monotonic() - began,
        results=extra,
    )
    card = _card(name, run, trained, report)
    save_classifier(folder, trained, card, sequences=preparation.table.sequences)
    record["outputs"] = [file_facts(folder / WEIGHTS_FILE)]
    if report_dir is not None:
        _write_report(Path(report_dir), run, trained, report, card=card, record=record)
    shutil.rmtree(run.scratch)
    return folder


def _open_run(preparation: Preparation, scratch: Path, progress: ProgressCallback | None) -> _Run:
    run = _Run(preparation, scratch, Stages(progress, _weights(preparation)))
    scratch.mkdir(parents=True, exist_ok=True)
    facts, kept = json.loads(json.dumps(preparation.facts())), run.kept("facts")
    if kept is not None and kept != facts:
        different = ", ".join(key for key in facts if kept.get(key) != facts[key])
        raise SettingsError(
            f"A training of '{scratch.stem.lstrip('.')}' was begun with another {different}; give the same, choose another "
            f"name, or remove {scratch} to begin anew."
        )
    run.keep("facts", facts)
    return run


def _weights(preparation: Preparation) -> dict[str, float]:
    """Return the stages and about how many steps each takes."""
    plan, settings = preparation.plan, preparation.settings
    per_epoch = max(1, len(preparation.rows("train")) // plan.classifier.batch_size)
    steps = per_epoch * sum(item.epochs for item in plan.classifier.schedule)
    weights = {}
    if plan.adapt_passes:
        weights[ADAPT] = float(per_epoch * plan.adapt_passes)
    if settings.search_minutes:
        weights[SEARCH] = search_size(steps)
    weights |= {_member_name(index, plan.seeds): steps for index in range(plan.seeds)}
    weights[JUDGE] = max(1.0, 0.05 * steps)
    if settings.reduction:
        weights[REDUCTION] = steps
    return weights


def _member_name(index: int, count: int) -> str:
    return "classifier" if count == 1 else f"classifier {index + 1} of {count}"


def _adapt(run: _Run) -> None:
    """Fine-tune the language model on the table's sequences, or take up what an earlier run made of it."""
    plan, preparation = run.preparation.plan, run.preparation
    if not plan.adapt_passes:
        return
    weights = run.scratch / "adapted.safetensors"
    run.adapted = run.kept("adapted")
    if run.adapted is not None:
        run.encoder = load_file(weights) if weights.exists() else None
        run.stages.skip(ADAPT)
        return
    train = [*preparation.samples("train").sequences, *preparation.table.unlabelled]
    adapted = adapt_language_model(
        preparation.bundle,
        train,
        preparation.samples("valid").sequences,
        passes=plan.adapt_passes,
        both_strands=plan.classifier.mirrored,
        seed=plan.classifier.seed,
        checkpoint=run.scratch / "adapt",
        progress=run.stages.reporter(ADAPT),
    )
    run.adapted = _adapted_facts(adapted)
    if adapted.helped:
        run.encoder = {key: value.contiguous() for key, value in adapted.state.items()}
        save_file({key: value.clone() for key, value in run.encoder.items()}, weights)
    run.keep("adapted", run.adapted)
    run.stages.finish(ADAPT)


def _adapted_facts(adapted: Adapted) -> dict[str, Any]:
    return {
        "bits_per_base_before": adapted.before,
        "bits_per_base_after": adapted.after,
        "passes": adapted.passes,
        "used": adapted.helped,
    }


def _searched(run: _Run) -> ClassifierSettings:
    """Return the classifier's settings, after a search if one was asked for."""
    settings, minutes = run.preparation.plan.classifier, run.preparation.settings.search_minutes
    if not minutes:
        return settings
    found = search_settings(
        run.preparation,
        run.encoder,
        minutes=minutes,
        store=run.scratch / "search.json",
        progress=run.stages.reporter(SEARCH),
    )
    run.stages.finish(SEARCH)
    return found


def _train(run: _Run, settings: ClassifierSettings) -> TrainedClassifier:
    """Train each member that is not finished, and calibrate their mean."""
    count, preparation = run.preparation.plan.seeds, run.preparation
    members = []
    for index in range(count):
        name = _member_name(index, count)
        own = replace(settings, seed=settings.seed + index)
        members.append(_member(run, f"member-{index + 1}", own, name))
    if count == 1:
        return members[0]
    best = min(members, key=lambda item: min(epoch.valid["loss"] for epoch in item.history.epochs))
    model = Ensemble([item.model for item in members]).eval()
    seconds = sum(item.history.seconds for item in members)
    history = replace(best.history, seconds=seconds)
    whole = replace(best, model=model, history=history, calibration=Calibration())
    return whole.calibrated(preparation.samples("valid"))


def _member(run: _Run, key: str, settings: ClassifierSettings, name: str) -> TrainedClassifier:
    preparation, path = run.preparation, run.scratch / f"{key}.safetensors"
    kept = run.kept(key)
    if kept is not None:
        run.stages.skip(name)
        return _read_member(preparation, kept, load_file(path))
    trained = train_classifier(
        preparation.samples("train"),
        preparation.samples("valid"),
        preparation.head,
        preparation.start,
        settings,
        encoder=run.encoder,
        checkpoint=run.scratch / key,
        progress=run.stages.reporter(name),
    )
    save_file({item: value.contiguous().clone() for item, value in trained.model.state_dict().items()}, path)
    facts = {"history": trained.history.to_json(), "calibration": vars(trained.calibration)}
    run.keep(key, {**facts, "settings": trained.settings})
    shutil.rmtree(run.scratch / key, ignore_errors=True)
    run.stages.finish(name)
    return trained


def _read_member(
    preparation: Preparation, kept: Mapping[str, Any], state: Mapping[str, Tensor]
) -> TrainedClassifier:
    tokenizer = KmerTokenizer(preparation.bundle.config.tokenizer)
    preset = preparation.plan.classifier.preset
    sizes = encoder_preset(preset) if preparation.from_scratch else preparation.bundle.config.encoder
    model = SequenceClassifier(sizes, preparation.head, tokenizer.vocab_size)
    model.load_state_dict(state)
    history, calibration = History.from_json(kept["history"]), Calibration(**kept["calibration"])
    return TrainedClassifier(
        model.eval(), tokenizer, preparation.head, calibration, history, dict(kept["settings"])
    )


def _judge(run: _Run) -> TableReport:
    preparation = run.preparation
    report = report_table(
        preparation.table, preparation.code, preparation.split, progress=run.stages.reporter(JUDGE)
    )
    run.stages.finish(JUDGE)
    return report


def _reduced(run: _Run, trained: TrainedClassifier) -> dict[str, Any]:
    """Return what else was measured: the language model's gain and, if asked for, the data-reduction curve."""
    extra: dict[str, Any] = {} if run.adapted is None else {"adapted": run.adapted}
    if run.preparation.settings.reduction:
        extra["reduction"] = reduction_curve(
            run.preparation,
            trained,
            run.encoder,
            store=run.scratch / "reduction.json",
            progress=run.stages.reporter(REDUCTION),
        )
        run.stages.finish(REDUCTION)
    return extra


def _arguments(preparation: Preparation, name: str, report_dir: str | Path | None) -> list[str]:
    return run_arguments(
        "finetune",
        table=preparation.path,
        base=preparation.bundle,
        name=name,
        from_scratch=preparation.from_scratch,
        report_dir=report_dir,
        **vars(preparation.settings),
    )


def _compute_facts() -> dict[str, Any]:
    device = genolm.compute.pick_device()
    dtype = str(genolm.compute.pick_dtype("auto", device)).removeprefix("torch.")
    return {
        "device": genolm.compute.device_name(),
        "precision": dtype,
        "threads": genolm.compute.thread_budget(),
    }


def _card(name: str, run: _Run, trained: TrainedClassifier, report: TableReport) -> dict[str, Any]:
    preparation = run.preparation
    table = preparation.table
    data = {
        **preparation.facts()["table"],
        "records": len(table),
        "bases": int(table.frame["sequence"].str.len().sum()),
    }
    parts = {part: preparation.samples(part) for part in ("train", "valid", "test")}
    base = "nothing (from scratch)" if preparation.from_scratch else preparation.bundle.name
    card = classifier_card(name, trained, parts, [data], base)
    card["settings"] |= {"split": preparation.split.method, "members": preparation.plan.seeds}
    if run.adapted is not None:
        card["training"]["adapted"] = run.adapted
    card["baselines"] = card_baselines(report)
    card["limits"] += [item.sentence for item in report.warnings if item.level in ("stop", "warn")]
    return card


def _answers(run: _Run, trained: TrainedClassifier, part: str) -> Answers:
    rows, samples = run.preparation.rows(part), run.preparation.samples(part)
    names, numbers = run.preparation.table.names, run.preparation.table.frame.index
    return Answers(
        head=trained.head,
        rows=tuple(int(numbers[row]) for row in rows),
        names=tuple(names[row] for row in rows),
        sequences=tuple(samples.sequences),
        labels=np.asarray(samples.labels),
        logits=trained.logits(samples.sequences),
        calibration=trained.calibration,
    )


def _write_report(
    folder: Path,
    run: _Run,
    trained: TrainedClassifier,
    report: TableReport,
    *,
    card: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """Write the report on the test rows, or on validation rows where there are none."""
    valid = _answers(run, trained, "valid")
    test = _answers(run, trained, "test") if len(run.preparation.rows("test")) else valid
    write_report(
        folder,
        card["title"],
        test,
        valid=valid,
        card=card,
        record=record,
        table=report.to_json(),
        baselines=_paired_baselines(run, report, len(test.rows)),
        extra={**record["results"], "reasons": list(run.preparation.plan.reasons)},
    )


def _paired_baselines(run: _Run, report: TableReport, rows: int) -> dict[str, np.ndarray]:
    """Return what counts of short words say of the judged rows, to be compared row by row."""
    names = [item.name for item in report.shortcuts if item.key == "kmers"]
    if not names:
        return {}
    preparation = run.preparation
    found = shortcut_predictions(
        preparation.table.sequences, preparation.code, preparation.split.parts, keys=("kmers",)
    )["kmers"]
    return {names[0]: found} if len(found) == rows else {}
