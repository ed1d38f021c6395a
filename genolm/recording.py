"""Recording a run while it goes: its command, how long it takes, and what it leaves behind."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genolm import workspace
from genolm.ascode import command_arguments
from genolm.record import RECORD_ENDING, file_facts, run_record, timestamp, write_json
from genolm.verbs import VERBS


def model_facts(predictor: Any) -> dict[str, Any]:
    """Return name and sha256 of a predictor's bundle, and by what it answers, for the record of a run."""
    config, sha256 = predictor.config, getattr(predictor.bundle, "sha256", None)
    return {"name": config.name, "sha256": sha256, "answers": answer_settings(config)}


def answer_settings(config: Any) -> dict[str, Any]:
    """Return what of a model's configuration changes its answers though its weights stay the same."""
    named = {key: getattr(config, key) for key in ("mirrored", "framed")}
    return {**named, **asdict(config.calibration)}


def run_arguments(command: str, **values: Any) -> list[str]:
    """Return the arguments of ``python -m genolm`` for a run from Python, for its record.

    Parameters
    ----------
    command : str
    **values
        See :func:`genolm.ascode.command_arguments`; paths are made whole. ``model`` and ``base`` may be a
        name, a path, a bundle or a predictor.

    Returns
    -------
    list of str
        Empty for a model that lies in no folder.
    """
    verb, said = VERBS[command], dict(values)
    for key in [key for key in ("model", "base") if said.get(key) is not None]:
        said[key] = _model_word(said[key])
        if not said[key]:
            return []
    for key in {verb.out, *(name for name, _ in verb.named_files(said))} & set(said):
        value = said[key]
        several = isinstance(value, list | tuple)
        said[key] = [_whole(item) for item in value] if several else value and _whole(value)
    return command_arguments(command, **said)


class Recording:
    """A run since its beginning.

    Parameters
    ----------
    command : str
    said : bool
        Whether the run can be said as a command at all.
    **values
        See :func:`run_arguments`.
    """

    def __init__(self, command: str, *, said: bool = True, **values: Any) -> None:
        self.command, self._began, self.started = command, time.monotonic(), timestamp()
        self.arguments = run_arguments(command, **values) if said else []

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def record(
        self,
        predictor: Any,
        *,
        inputs: Sequence[Mapping[str, Any]],
        results: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        outputs: Sequence[Path] = (),
    ) -> dict[str, Any]:
        """Return the record of the run, see :func:`genolm.record.run_record`."""
        return run_record(
            self.command,
            arguments=self.arguments,
            inputs=inputs,
            model=model_facts(predictor),
            settings=settings or {},
            compute=predictor.facts,
            started=self.started,
            seconds=self.seconds,
            results=results,
            outputs=[file_facts(path) for path in outputs],
        )

    def write_beside(self, out: Path, predictor: Any, **more: Any) -> None:
        """Write the record beside the one file that the run has made; ``more`` as in :meth:`record`."""
        record = self.record(predictor, outputs=[out], **more)
        write_json(out.with_name(out.name + RECORD_ENDING), record)


def _whole(path: str | os.PathLike[str]) -> str:
    return str(Path(path).expanduser().absolute())


def _model_word(model: Any) -> str:
    """Return what to call a model on the command line: its name, else its path; "" if it has neither."""
    if not isinstance(model, str | os.PathLike):
        bundle = getattr(model, "bundle", model)
        folder = getattr(bundle, "path", None)
        # What was unpacked from a zip is gone after the run.
        if folder is None or getattr(bundle, "_scratch", None) is not None:
            return ""
        roots = (workspace.models_dir(), workspace.builtin_models_dir())
        return folder.name if folder.parent in roots else _whole(folder)
    text = os.fspath(model)
    is_name = isinstance(model, str) and Path(text).name == text and not text.endswith(".zip")
    return text if is_name else _whole(text)
