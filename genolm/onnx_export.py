"""A classifier as one ONNX file, to use without genolm and without torch; compared with torch as it is made.

Needs the extra ``onnx``. With onnxruntime, in any of its languages, the file is used so::

    import onnxruntime
    session = onnxruntime.InferenceSession("model.onnx")
    (logits,) = session.run(["logits"], {"tokens": tokens, "lengths": lengths})

:data:`USAGE` says what tokens, lengths and logits are. It stands in the file itself as its description,
beside metadata whose values are JSON: ``tokenizer``, ``classes``, ``task``, ``temperature``, ``threshold``,
``window``, ``mirrored``, ``framed``, ``members`` and more. With genolm at hand,
``pack([KmerTokenizer(config).encode(sequence)])`` makes tokens and lengths (:func:`genolm.batches.pack`).
"""

import importlib.util
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genolm import __version__, compute  # before torch: it sets the OpenMP wait policy

import numpy as np

from genolm.bundle_config import BundleConfig
from genolm.errors import BundleError, SettingsError
from genolm.registry import ModelBundle, load_bundle
from genolm.tokenizer import PAD, SEPARATOR, SPECIAL_COUNT, UNKNOWN, KmerTokenizer

if TYPE_CHECKING:
    import torch

PACKAGES = ("onnx", "onnxruntime")
MAX_DIFFERENCE = 1e-3
MAX_BYTES = (2 << 30) - (1 << 20)
USAGE = """\
tokens, int64 (batch, time): for each sequence the separator (2), then one token for each k-mer, then padding
(0) up to the longest. With k and stride from the metadata 'tokenizer', k-mers start at base 0, stride,
2 stride and so on; only whole ones count. A k-mer's token is 3 plus its value as a number to base 4, first
base highest, with A 0, C 1, G 2, T or U 3 in either case; with any other letter in it, it is 1.
lengths, int64 (batch,): tokens of each sequence, the separator counted, padding not.
logits, float32 (batch, classes), in the order of 'classes'. Probabilities are softmax(logits / temperature),
for the task multilabel 1 / (1 + exp(-logits / temperature)); for regression the logits are the values. If
'mirrored' is true, average the logits of each sequence with those of its reverse complement first. If 'framed'
is true, average over what is read from base 0, 1, ... stride - 1 on: of the sequence, and where 'mirrored' is
also true of its reverse complement too, all with the same weight; what is too short for a k-mer from there on is
read whole. 'window' is the length of the sequences that the model was trained on, where they had one length.
'threshold' is the probability of the second of two classes from which the answer is yes.
'either', where it is not null, is for a sequence of unknown strand: with the log odds of the second class,
(logit 1 - logit 0) / temperature, of the sequence and of its reverse complement, those of both together are
'surer' times the higher plus 'other' times the lower plus 'offset', and yes is from its 'threshold' on.
"""
_TRIAL_LENGTH = 60


@dataclass(frozen=True)
class OnnxExport:
    """What :func:`export_onnx` wrote.

    Attributes
    ----------
    path : Path
    size : int
        Bytes.
    opset : int
        Version of ONNX's operators that a reader must know.
    largest_difference : float or None
        Largest difference between a logit of the file and of torch, both fp32; None if not compared.
    compared : int
        Random sequences that were compared.
    """

    path: Path
    size: int
    opset: int
    largest_difference: float | None
    compared: int


def is_available() -> bool:
    """Return whether the packages of the extra ``onnx`` are installed."""
    return not _missing(PACKAGES)


def export_onnx(
    name_or_path: str | os.PathLike[str], out: str | os.PathLike[str], *, verify: bool = True
) -> OnnxExport:
    """Write a classifier as one ONNX file, whole or not at all.

    Parameters
    ----------
    name_or_path : str or path
        A model, see :func:`genolm.registry.load_bundle`.
    out : path
        The file; one that is there is replaced.
    verify : bool
        Run the file on random sequences of many lengths first and refuse it if a logit differs from torch's
        by more than 0.001.

    Raises
    ------
    SettingsError
        Without the extra ``onnx``.
    BundleError
        For a language model, a model too large for one file, and a file that does not answer as the model.
    """
    if missing := _missing(PACKAGES if verify else PACKAGES[:1]):
        raise SettingsError(
            f"An ONNX file needs the extra packages {' and '.join(missing)}; install them with "
            f"`pip install {' '.join(missing)}`."
        )
    bundle, target = load_bundle(name_or_path), Path(out)
    _check(bundle, target)
    from genolm.onnx_graph import OPSET, classifier_graph

    model = bundle.build()
    _check_size(bundle.name, model)
    content = classifier_graph(model, doc=USAGE, metadata=file_metadata(bundle)).SerializeToString()
    trials = list(_trials(bundle.config)) if verify else []
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        found = _largest_difference(Path(temporary), model, trials) if verify else None
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return OnnxExport(target, len(content), OPSET, found, sum(len(trial) for trial in trials))


def file_metadata(bundle: ModelBundle) -> dict[str, str]:
    """Return what a reader of the file must know of a classifier; every value is JSON."""
    config, head = bundle.config, bundle.config.head
    special = {"pad": PAD, "unknown": UNKNOWN, "separator": SEPARATOR, "first_kmer": SPECIAL_COUNT}
    facts: dict[str, Any] = {
        "genolm": __version__,
        "name": config.name,
        "title": config.title,
        "purpose": config.purpose,
        "task": head.task if head else None,
        "classes": head.classes if head else (),
        "tokenizer": {**asdict(config.tokenizer), **special, "bases": "ACGT"},
        "temperature": config.calibration.temperature,
        "threshold": config.calibration.threshold,
        "either": config.calibration.either and asdict(config.calibration.either),
        "window": asdict(config.window) if config.window else None,
        "mirrored": config.mirrored,
        "framed": config.framed,
        "members": config.members,
        "weights_sha256": bundle.sha256,
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()}


def _missing(packages: tuple[str, ...]) -> list[str]:
    return [name for name in packages if importlib.util.find_spec(name) is None]


def _check(bundle: ModelBundle, target: Path) -> None:
    if bundle.config.kind != "classifier":
        raise BundleError(f"Model '{bundle.name}' is a language model; only a classifier is written as ONNX.")
    if not target.parent.is_dir():
        raise BundleError(f"There is no folder {target.parent} to write {target.name} into.")
    if target.is_dir():
        raise BundleError(f"{target} is a folder; name a file to write.")


def _check_size(name: str, model: "torch.nn.Module") -> None:
    size = sum(value.numel() * 4 for value in model.state_dict().values())
    if size > MAX_BYTES:
        raise BundleError(
            f"Model '{name}' has {size / 1e9:.1f} GB of weights; one ONNX file holds "
            f"{MAX_BYTES / 1e9:.1f} GB. Train one of fewer members or a smaller preset."
        )


def _trials(config: BundleConfig) -> Iterator[list[np.ndarray]]:
    """Yield batches of token arrays: every kind of length together, and the commonest one alone."""
    rng, tokenizer = np.random.default_rng(1), KmerTokenizer(config.tokenizer)
    usual = config.window.length if config.window else _TRIAL_LENGTH
    slots = config.head.slots if config.head else 0
    k, stride = tokenizer.k, tokenizer.stride
    lengths = [1, k, k + stride, (slots + 1) * stride, usual, usual + 1]
    lengths += [int(usual * factor) for factor in rng.uniform(0.2, 3, 10)]
    codes = [rng.choice(5, length, p=[0.245] * 4 + [0.02]).astype(np.uint8) for length in lengths]
    yield [tokenizer.encode(item) for item in codes]
    yield [tokenizer.encode(rng.integers(4, size=usual, dtype=np.uint8))]


def _largest_difference(path: Path, model: "torch.nn.Module", trials: list[list[np.ndarray]]) -> float:
    """Return how far the file's logits are from torch's; too far, for their size, is an error."""
    import torch

    from genolm.batches import pack

    session, found, largest = _session(path), 0.0, 1.0
    with torch.inference_mode(), compute.torch_threads(compute.thread_budget()):
        for trial in trials:
            tokens, lengths = pack(trial)
            expected = model(tokens, lengths).numpy()
            if not np.isfinite(expected).all():
                raise BundleError("The model gave a result that is not a number; its weights are damaged.")
            largest = max(largest, float(np.abs(expected).max()))
            given = {"tokens": tokens.numpy(), "lengths": lengths.numpy()}
            (answered,) = session.run(["logits"], given)
            found = float(np.maximum(found, np.abs(answered - expected).max()))  # NaN stays NaN
    allowed = MAX_DIFFERENCE * largest
    if not found <= allowed:
        raise BundleError(
            f"The ONNX file's answers differ from the model's by {found:.2g}, more than {allowed:.2g}; "
            "it was not written. Try other versions of onnx and onnxruntime, or train the model again."
        )
    return found


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = compute.thread_budget()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
