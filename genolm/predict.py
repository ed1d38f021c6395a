"""The one place that talks to a model: sequences in, logits and calibrated probabilities out.

Sequences of like length share a batch, so that little is padded and a batch never outgrows memory. What
a sequence gets does not depend on its batch: within 1e-5 of a logit in fp32; in bf16 within 0.05, since
the matrix library may round differently for another batch shape. Rounding matters most in a long run of unknown
letters: they are read as nothing, the network goes on by itself, and in some models a difference in the last digit
so grows to the size of the answer. On a CPU it is one row that rounds differently from several, so a row alone is
read twice, unless it is so long that it is always alone; several rows then agree within 1e-5 in bf16 too. On a GPU
the bounds are for sequences without such runs. Streamed scans, which read in lanes, are not meant here.

The logits of a mirrored or framed model are the mean of several readings of a sequence, see :mod:`genolm.readings`;
those of a mirrored one are the same for a sequence and its reverse complement.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from genolm import compute  # before torch: it sets the OpenMP wait policy

import numpy as np
import torch

from genolm import calibration
from genolm.errors import BundleError, SequenceError, SettingsError
from genolm.prediction import NOT_JUDGED, Prediction, known_bases, least_known, letters_of
from genolm.progress import ProgressCallback, Ticker
from genolm.readings import count_readings, readings_of
from genolm.tokenizer import KmerTokenizer, encode_bases

if TYPE_CHECKING:
    from genolm.registry import BundleConfig

FP32_TOLERANCE = 1e-5
BF16_TOLERANCE = 0.05
MAX_TOKENS = 65_536
BATCH_TOKENS = {"cpu": 16_384, "cuda": 262_144}


class Bundle(Protocol):
    """What a predictor needs of a model bundle: its configuration and a way to build the model."""

    config: "BundleConfig"

    def build(self) -> torch.nn.Module:
        """Return a new model with the bundle's weights; the caller may change it."""
        ...


class Predictor:
    """A classifier ready to answer, on one device in one number type.

    It works on a copy of its own: the bundle, and a model given to :meth:`from_model`, stay as they are.

    Parameters
    ----------
    bundle : ModelBundle
        A classifier.
    device : str, optional
        ``cpu``, ``cuda`` or ``cuda:N``; CUDA if there is one, else the CPU.
    precision : {"auto", "bf16", "fp32", "int8"}
        ``auto`` is bf16 where the hardware is faster in it. The head always works in fp32. ``int8`` is for
        streamed scans on a CPU alone.
    threads : int, optional
        CPU threads, all cores by default (see :func:`genolm.compute.thread_budget`).
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str | None = None,
        precision: compute.Precision = "auto",
        threads: int | None = None,
    ) -> None:
        head = bundle.config.head
        if bundle.config.kind != "classifier" or head is None:
            raise BundleError(
                f"Model '{bundle.config.name}' is a language model and has no classes; "
                "fine-tune it to a classifier or pick a classifier."
            )
        self.bundle, self.config, self.head = bundle, bundle.config, head
        self.classes, self.task = tuple(head.classes), head.task
        self.tokenizer = KmerTokenizer(bundle.config.tokenizer)
        self.device = compute.pick_device(device)
        self.int8 = precision == "int8"
        if self.int8 and self.device.type != "cpu":
            raise SettingsError("Precision int8 is for a CPU; leave the precision to auto on this device.")
        self.dtype = torch.float32 if self.int8 else compute.pick_dtype(precision, self.device)
        self.threads = compute.thread_budget(threads)
        self._model = self._prepared(bundle.build())

    @classmethod
    def from_model(cls, config: "BundleConfig", model: torch.nn.Module, **options: Any) -> "Predictor":
        """Return a predictor of a model in memory, such as one in training; the model is copied."""
        return cls(_Live(config, model), **options)

    def _prepared(self, model: torch.nn.Module) -> torch.nn.Module:
        model = model.to(self.device).eval()
        for encoder in model.encoders():
            encoder.to(self.dtype)
        return model.requires_grad_(False)

    @property
    def precision(self) -> str:
        """Number type in use: ``bf16``, ``fp32`` or ``int8``."""
        if self.int8:
            return "int8"
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"

    def with_threads(self, threads: int) -> "Predictor":
        """Return a predictor that shares this one's weights and uses another number of CPU threads."""
        twin = copy.copy(self)
        twin.threads = threads
        twin.__dict__.pop("facts", None)
        return twin

    def members(self) -> list[torch.nn.Module]:
        """Return the classifiers that answer together, one where the model is no ensemble; not to be changed."""
        return list(getattr(self._model, "members", [self._model]))

    @property
    def positive_index(self) -> int:
        """Output that a binary model's score is read from: the last class of two, else the first."""
        return 1 if self.task == "binary" else 0

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Device, precision and threads in use, for the record of a run."""
        return {"device": str(self.device), "precision": self.precision, "threads": self.threads}

    def class_index(self, name: str | None = None) -> int:
        """Return the output of a class by name; None is the positive class of a binary model.

        Raises
        ------
        SettingsError
            For an unknown name, and for None where a model has several classes to choose from.
        """
        if name is None and (self.task == "binary" or len(self.classes) == 1):
            return self.positive_index
        if name not in self.classes:
            said = "No class was named" if name is None else f"There is no class '{name}'"
            raise SettingsError(f"{said}; model '{self.config.name}' knows {', '.join(self.classes)}.")
        return self.classes.index(name)

    def score_of(self, values: np.ndarray, class_index: int | None = None) -> np.ndarray:
        """Return the column of ``values`` (n, outputs) of one class, by default the positive one."""
        return values[:, self.positive_index if class_index is None else class_index]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities of logits (for regression the values), float32 (n, outputs)."""
        return np.asarray(calibration.apply(logits, self.config.calibration, self.task), dtype=np.float32)

    def logits(
        self,
        sequences: Sequence[str],
        *,
        names: Sequence[str] | None = None,
        batch_tokens: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> np.ndarray:
        """Return raw outputs, float32 (n, outputs), in the order of ``sequences``.

        Parameters
        ----------
        sequences : sequence of str
            Letters of any case, white space between them counts for nothing; a sequence without a whole k-mer is
            the separator token alone.
        names : sequence of str, optional
            For messages; "sequence 1" and so on by default.
        batch_tokens : int, optional
            Cap on tokens in a batch, padding counted; 16,384 on a CPU.
        progress : callable, optional
            Told of finished sequences.
        """
        sequences, _ = self._checked(sequences, names)
        return self._logits(sequences, batch_tokens, progress)

    def _logits(
        self, sequences: Sequence[str], batch_tokens: int | None, progress: ProgressCallback | None
    ) -> np.ndarray:
        codes = [encode_bases(sequence) for sequence in sequences]
        lengths = np.array([self.tokenizer.count(len(item)) + 1 for item in codes], dtype=np.int64)
        out = np.empty((len(codes), len(self.classes)), dtype=np.float32)
        ticker = Ticker(progress, len(codes), stage="predicting")
        with compute.torch_threads(self.threads):
            for rows in _batches(lengths, self._cap(batch_tokens)):
                readings = zip(*(readings_of(codes[row], self.config) for row in rows), strict=True)
                out[rows] = np.mean([self._forward(*self._padded(reading)) for reading in readings], axis=0)
                ticker.advance(len(rows))
        return self._finite(out)

    def logits_of_codes(
        self,
        codes: np.ndarray,
        *,
        batch_tokens: int | None = None,
        ticker: Ticker | None = None,
    ) -> np.ndarray:
        """Return raw outputs of sequences of one length, given as base codes uint8 (n, length)."""
        rows = max(1, self._cap(batch_tokens) * 4 // max(1, codes.shape[1]))
        encode, parts = self.tokenizer.encode, []
        for first in range(0, len(codes), rows):
            readings = [encode(part) for part in readings_of(codes[first : first + rows], self.config)]
            parts.append(self.logits_of_tokens(*readings, batch_tokens=batch_tokens, ticker=ticker))
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)), dtype=np.float32)

    def logits_of_tokens(
        self,
        *readings: np.ndarray,
        batch_tokens: int | None = None,
        ticker: Ticker | None = None,
    ) -> np.ndarray:
        """Return raw outputs of token rows of one length: no padding, one pass per batch.

        Parameters
        ----------
        *readings : integer array (n, tokens)
            Without the separator in front; may be a strided view, it is copied batch by batch. One for each way in
            which the model reads, see :func:`genolm.readings.readings_of`.
        batch_tokens : int, optional
            Cap on tokens in a batch.
        ticker : Ticker, optional
            Told of finished rows.
        """
        if len(readings) != (wanted := count_readings(self.config)):
            raise SettingsError(
                f"Model '{self.config.name}' answers by {wanted} reading{'s' * (wanted != 1)} of a sequence, not "
                f"{len(readings)}; give the tokens of each."
            )
        count, width = readings[0].shape[0], max(tokens.shape[1] for tokens in readings) + 1
        out = np.empty((count, len(self.classes)), dtype=np.float32)
        rows = max(1, self._cap(batch_tokens) // width)
        with compute.torch_threads(self.threads):
            for first in range(0, count, rows):
                blocks = [self._with_separator(tokens[first : first + rows]) for tokens in readings]
                found = [self._forward(block, np.full(len(block), block.shape[1])) for block in blocks]
                out[first : first + rows] = np.mean(found, axis=0)
                if ticker:
                    ticker.advance(len(blocks[0]))
        return self._finite(out)

    def predict(
        self,
        sequences: Sequence[str],
        names: Sequence[str] | None = None,
        *,
        batch_tokens: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Prediction:
        """Return classes and calibrated probabilities of sequences; see :meth:`logits`.

        A sequence with fewer known bases than :func:`genolm.prediction.least_known` is not judged: its
        probabilities are NaN.
        """
        sequences, names = self._checked(sequences, names)
        if names is None:
            names = [f"sequence {number}" for number in range(1, len(sequences) + 1)]
        logits = self._logits(sequences, batch_tokens, progress)
        lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        known = np.array([known_bases(sequence) for sequence in sequences], dtype=np.int64)
        return self.answers(names, lengths, known, logits)

    def answers(
        self, names: Sequence[str], lengths: np.ndarray, known: np.ndarray, logits: np.ndarray, *, strand: str = "+"
    ) -> Prediction:
        """Return what raw outputs (n, outputs) say of sequences with so many bases and so many known ones."""
        values = self.probabilities(logits)
        predicted = self.decide(values, strand)
        nothing = float("nan") if self.task == "regression" else NOT_JUDGED
        for row in np.flatnonzero(known < least_known(lengths, self.config.window)):
            predicted[row], values[row] = nothing, np.nan
        return Prediction(tuple(names), lengths, logits, values, tuple(predicted), self.classes, self.task)

    def decide(self, probabilities: np.ndarray, strand: str = "+") -> list[Any]:
        """Return the answer for each row of probabilities; see :class:`Prediction`, ``predicted``.

        ``strand`` is what was read, ``either`` has a threshold of its own.
        """
        threshold = self.config.calibration.threshold_on(strand)
        if self.task == "regression":
            return [float(value) for value in probabilities[:, 0]]
        if self.task == "multilabel":
            return [
                ";".join(name for name, p in zip(self.classes, row, strict=True) if p >= threshold)
                for row in probabilities
            ]
        if self.task == "binary":
            return [self.classes[int(p >= threshold)] for p in self.score_of(probabilities)]
        return [self.classes[index] for index in probabilities.argmax(axis=1)]

    def check_length(self, name: str, length: int) -> None:
        """Refuse a sequence that is empty or too long to be classified as a whole, see :func:`check_whole`."""
        check_whole(self.config, name, length)

    def _cap(self, batch_tokens: int | None) -> int:
        cap = BATCH_TOKENS.get(self.device.type, 16_384) if batch_tokens is None else batch_tokens
        if cap < 1:
            raise SettingsError(f"batch_tokens is {cap}; it must be 1 or more.")
        return cap

    def _checked(
        self, sequences: Iterable[str], names: Iterable[str] | None
    ) -> tuple[list[str], list[str] | None]:
        """Return the letters without white space, and the names, by place whatever index a table has."""
        sequences = letters_of(sequences)
        names = None if names is None else list(names)
        if not sequences:
            raise SequenceError("There is no sequence to classify.")
        if names is not None and len(names) != len(sequences):
            raise SettingsError(f"There are {len(names)} names for {len(sequences)} sequences.")
        for index, sequence in enumerate(sequences):
            name = f"sequence {index + 1}" if names is None else f"'{names[index]}'"
            self.check_length(name, len(sequence))
        return sequences, names

    def _padded(self, codes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens of base codes as one batch, a separator before each, padding after, and their lengths."""
        lengths = np.array([self.tokenizer.count(len(item)) + 1 for item in codes], dtype=np.int64)
        block = np.full((len(codes), lengths.max()), self.tokenizer.pad_id, dtype=np.int64)
        block[:, 0] = self.tokenizer.sep_id
        for line, item, length in zip(block, codes, lengths, strict=True):
            line[1:length] = self.tokenizer.encode(item)
        return block, lengths

    def _with_separator(self, tokens: np.ndarray) -> np.ndarray:
        block = np.empty((len(tokens), tokens.shape[1] + 1), dtype=np.int64)
        block[:, 0] = self.tokenizer.sep_id
        block[:, 1:] = tokens
        return block

    def _forward(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        if self.int8:
            raise SettingsError("Precision int8 is for streamed scans; use auto, bf16 or fp32 here.")
        count = len(tokens)
        if count == 1 and 2 * tokens.shape[1] <= self._cap(None):
            # One row would be multiplied by another kernel than several; a longer one has no company in any batch.
            tokens, lengths = tokens.repeat(2, axis=0), lengths.repeat(2)
        with torch.inference_mode():
            block = torch.from_numpy(tokens).to(self.device)
            logits = self._model(block, torch.from_numpy(lengths).to(self.device))
        return logits[:count].float().cpu().numpy()

    def _finite(self, logits: np.ndarray) -> np.ndarray:
        if not np.isfinite(logits).all():
            raise BundleError(
                f"Model '{self.config.name}' gave a result that is not a number; its weights are damaged "
                "or its training failed. Import it again or use another model."
            )
        return logits


def check_whole(config: "BundleConfig", name: str, length: int) -> None:
    """Refuse a sequence that is empty or too long to be classified as a whole (65,536 tokens).

    Raises
    ------
    SequenceError
        Names the record as ``name``, its bases and how many there may be.
    """
    if length == 0:
        raise SequenceError(f"Record {name} is empty; remove it or give its bases.")
    tokenizer = KmerTokenizer(config.tokenizer)
    if tokenizer.count(length) >= MAX_TOKENS:
        scans = config.window is not None and config.head is not None and config.head.task == "binary"
        advice = "Scan it, or cut it into pieces." if scans else "Cut it into pieces."
        raise SequenceError(
            f"Record {name} has {length:,} bases; a sequence to classify as a whole has up to "
            f"{(MAX_TOKENS - 1) * tokenizer.stride + tokenizer.k - 1:,} with this model. {advice}"
        )


@dataclass(frozen=True)
class _Live:
    """A model in memory in the shape of a bundle."""

    config: "BundleConfig"
    model: torch.nn.Module

    def build(self) -> torch.nn.Module:
        return copy.deepcopy(self.model)


def _batches(lengths: np.ndarray, cap: int) -> Iterator[np.ndarray]:
    """Yield row numbers of batches, longest rows first so that a lack of memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        rows = max(1, cap // int(lengths[order[first]]))
        yield order[first : first + rows]
        first += rows
