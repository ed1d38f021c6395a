"""What file pipelines share: the model by name, what they give back, what tells one piece of work from another."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from genolm.errors import SequenceError
from genolm.predict import Predictor
from genolm.record import code_facts, file_facts
from genolm.recording import model_facts
from genolm.registry import load_bundle

Model = str | os.PathLike[str] | Predictor


@dataclass(frozen=True)
class FileResult:
    """What a pipeline wrote.

    Attributes
    ----------
    files : tuple of Path
    records : int
        Records read.
    seconds : float
        Wall time.
    summary : dict
        Counts as plain data.
    calls : DataFrame or None
        Of a scan: the calls as they stand in ``calls.csv``.
    """

    files: tuple[Path, ...]
    records: int
    seconds: float
    summary: dict[str, Any] = field(default_factory=dict)
    calls: pd.DataFrame | None = None


class Source:
    """An input file as it is when this is made: a run notes it before it opens the file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._state = _state_of(self.path)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Name, size and hash, see :func:`genolm.record.file_facts`."""
        return file_facts(self.path)

    def check(self) -> None:
        """Refuse, with a sentence, a file that was changed since; its letters would be mixed with others."""
        state = _state_of(self.path)
        if state == self._state:
            return
        # Some network drives number their files anew: then what is in it decides.
        if state and self._state and state[:2] == self._state[:2]:
            if file_facts(self.path)["sha256"] == self.facts["sha256"]:
                self._state = state
                return
        raise SequenceError(
            f"{self.path} was changed or removed while it was read; when it is complete, give the same command again."
        )


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns, state.st_ino


def open_model(model: Model, **options: Any) -> Predictor:
    """Return a predictor for a model's name or bundle folder; a predictor is passed through.

    ``options`` are those of :class:`genolm.predict.Predictor`.
    """
    return model if isinstance(model, Predictor) else Predictor(load_bundle(model), **options)


def work_facts(
    verb: str, source: Mapping[str, Any], predictor: Predictor, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that decides the numbers of a run: what tells its parts from those of another."""
    return {
        "verb": verb,
        "input": source["sha256"],
        # A model in memory has no hash: its parts are never found again.
        "model": model_facts(predictor)["sha256"] or secrets.token_hex(16),
        "config": asdict(predictor.config),
        "compute": [str(predictor.device), predictor.precision],
        "code": code_facts(),
        "settings": settings,
    }
