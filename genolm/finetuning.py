"""From a labelled table and a language model to a classifier of one's own: the whole of ULMFiT on one table.

The stages are: fine-tune the language model on the table's sequences (optional), try settings (optional),
train one or several classifiers, calibrate their mean, judge it on the test rows, write bundle and report. What
a stage has finished lies in ``.<bundle>.training``, so that a run that was cut off goes on after it.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
from torch import Tensor

from genolm.adaptation import Adapted, adapt_language_model
from genolm.bundles import WEIGHTS_FILE
from genolm.classifier import Ensemble, SequenceClassifier
from genolm.classifier_training import TrainedClassifier, train_classifier
from genolm.config import (
    Calibration,
    ClassifierSettings,
    FinetuneSettings,
    encoder_preset,
    read_calibration,
    to_json,
)
from genolm.distributed import refuse_several
from genolm.errors import SettingsError, TrainingError
from genolm.model_report import FILES
from genolm.own_files import check_inputs_stay, check_own_files
from genolm.preparation import Preparation, prepare_training
from genolm.progress import ProgressCallback, Stages
from genolm.record import file_facts, run_record, timestamp
from genolm.recording import run_arguments
from genolm.reduction import reduction_curve
from genolm.registry import check_free, new_folder
from genolm.shortcuts import shortcut_predictions
from genolm.table_report import TableReport, report_table
from genolm.tokenizer import KmerTokenizer
from genolm.trained import save_classifier
from genolm.training import History, checkpoint_beside, remove_checkpoint
from genolm.training_report import paired_baselines, training_card, write_training_report
from genolm.tuning import search_settings, search_size
from genolm.unfinished import Unfinished
from genolm.workspace import exclusive, models_dir, report_folder, room_asked_for

ADAPT, SEARCH, REDUCTION, JUDGE = "language model", "trying settings", "fewer sequences", "judging"
ADAPTED = "adapted"


@dataclass
class _Run:
    """One training with its folder for what is finished; the parts fill in as it goes on."""

    preparation: Preparation
    kept: Unfinished
    stages: Stages
    encoder: Mapping[str, Tensor] | None = None
    adapted: dict[str, Any] | None = None


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
    refuse_several("finetune")
    started, began = timestamp(), time.monotonic()
    folder = new_folder(name, out_dir)
    if folder.name != name:
        raise SettingsError(f"The new model is called '{name}', but its folder '{folder.name}'; give both one name.")
    preparation = prepare_training(table_path, base, settings, from_scratch=from_scratch)
    scratch = checkpoint_beside(folder)
    if report_dir is not None:
        report = report_folder(report_dir)
        check_inputs_stay([report / item for item in FILES], [table_path])
        if not scratch.exists():
            check_own_files(report, FILES, "finetune")
    with exclusive(scratch, name):
        # Another process may have ended the same training while this one waited to be let in.
        check_free(folder)
        run = _Run(preparation, Unfinished(scratch), Stages(progress, _weights(preparation)))
        run.kept.open(name, preparation.facts)
        try:
            _make(run, folder, report_dir, (started, began))
        except TrainingError:
            # What led to nothing is no beginning to go on from.
            run.kept.remove()
            raise
        run.kept.publish(folder)
    return folder


def _make(run: _Run, folder: Path, report_dir: str | Path | None, began: tuple[str, float]) -> None:
    """Do all stages; the finished bundle still lies among what the run keeps."""
    preparation = run.preparation
    _adapt(run)
    settings = _searched(run)
    trained = _train(run, settings)
    predictions, report = _judge(run)
    extra = _reduced(run, trained, settings)
    card = training_card(folder.name, preparation, trained, report, adapted=run.adapted)
    made = run.kept.made(folder.name)
    with room_asked_for(run.kept.folder):
        save_classifier(made, trained, card, sequences=preparation.table.sequences)
    if report_dir is not None:
        record = _record(run, folder, report_dir, began=began, extra=extra)
        record["outputs"] = [file_facts(made / WEIGHTS_FILE)]
        baselines = paired_baselines(preparation, report, predictions)
        write_training_report(
            Path(report_dir), preparation, trained, report, card=card, record=record, baselines=baselines
        )


def _record(
    run: _Run, folder: Path, report_dir: str | Path, *, began: tuple[str, float], extra: Mapping[str, Any]
) -> dict[str, Any]:
    preparation = run.preparation
    settings = {**asdict(preparation.settings), "from_scratch": preparation.from_scratch}
    return run_record(
        "finetune",
        # A folder of one's own for the bundle is no option of the command: such a run cannot be said as one.
        arguments=_arguments(preparation, folder.name, report_dir) if folder.parent == models_dir() else (),
        inputs=[{**preparation.facts["table"], "rows": len(preparation.table)}],
        model=preparation.facts["base"],
        settings={**settings, "split": preparation.split.method},
        compute=_compute_facts(),
        started=began[0],
        seconds=time.monotonic() - began[1],
        results=extra,
    )


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
    earlier = run.kept.read_weights(ADAPTED)
    if earlier is None:
        train = [*preparation.samples("train").sequences, *preparation.unrelated()]
        adapted = run.kept.with_checkpoint(
            "adapt",
            lambda folder: adapt_language_model(
                preparation.bundle,
                train,
                preparation.samples("valid").sequences,
                passes=plan.adapt_passes,
                both_strands=plan.classifier.mirrored,
                seed=plan.classifier.seed,
                checkpoint=folder,
                progress=run.stages.reporter(ADAPT),
            ),
        )
        run.adapted, run.encoder = _adapted_facts(adapted), adapted.state
        run.kept.write_weights(ADAPTED, run.adapted, adapted.state)
        run.stages.finish(ADAPT)
    else:
        run.adapted, run.encoder = earlier
        run.stages.skip(ADAPT)


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
        kept=run.kept,
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
    preparation = run.preparation
    earlier = run.kept.read_weights(key)
    if earlier is not None:
        run.stages.skip(name)
        return _read_member(preparation, earlier.data, earlier.tensors)
    trained = run.kept.with_checkpoint(
        f"{key}.training",
        lambda folder: train_classifier(
            preparation.samples("train"),
            preparation.samples("valid"),
            preparation.head,
            preparation.start,
            settings,
            encoder=run.encoder,
            checkpoint=folder,
            progress=run.stages.reporter(name),
        ),
    )
    facts = {"history": trained.history.to_json(), "calibration": to_json(trained.calibration)}
    run.kept.write_weights(key, {**facts, "settings": trained.settings}, trained.model.state_dict())
    remove_checkpoint(run.kept.folder / f"{key}.training")
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
    history, calibration = History.from_json(kept["history"]), read_calibration(kept["calibration"])
    settings, framed = dict(kept["settings"]), preparation.plan.classifier.framed
    trained = TrainedClassifier(
        model.eval(), tokenizer, preparation.head, calibration, history, settings | {"framed": framed}
    )
    # One that was finished before there were frames answered by the first alone.
    return trained if settings.get("framed", False) == framed else trained.calibrated(preparation.samples("valid"))


def _judge(run: _Run) -> tuple[dict[str, np.ndarray], TableReport]:
    """Return what the table's short cuts say of the judged rows, and the report on the table."""
    table, code, split = run.preparation.table, run.preparation.code, run.preparation.split
    progress = run.stages.reporter(JUDGE)
    predictions = shortcut_predictions(table.sequences, code, split.parts, progress=progress)
    report = report_table(table, code, split, predictions=predictions)
    run.stages.finish(JUDGE)
    return predictions, report


def _reduced(run: _Run, trained: TrainedClassifier, settings: ClassifierSettings) -> dict[str, Any]:
    """Return what else was measured: the language model's gain and, if asked for, the data-reduction curve."""
    extra: dict[str, Any] = {"reasons": list(run.preparation.plan.reasons)}
    if run.adapted is not None:
        extra["adapted"] = run.adapted
    if run.preparation.settings.search_minutes:
        last = settings.schedule[-1]
        extra["searched"] = {"lr": last.lr, "drop_mult": settings.drop_mult}
    if run.preparation.settings.reduction:
        extra["reduction"] = reduction_curve(
            run.preparation,
            trained,
            run.encoder,
            kept=run.kept,
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
