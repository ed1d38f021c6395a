"""What file pipelines share: the model by name, what they give back, what tells one piece of work from another."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from genolm.predict import Predictor
from genolm.record import code_facts
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
