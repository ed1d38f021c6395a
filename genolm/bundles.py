"""One model on disk: a bundle, read with every check and written whole or not at all.

A bundle is a folder, or a zip of it, with ``config.json`` (what the model is), ``model.safetensors``
(weights), ``card.json`` and ``card.md`` (what it is for and how good it is). Nothing in it is ever run or
unpickled. ``config.json`` holds the settings (:mod:`genolm.bundle_config`) and, under ``weights``, the sha256
of the weights file, so that weights cannot be swapped unseen. Matrices are stored as fp16 (or as asked) and
everything of one dimension as fp32; a model is always built in fp32.
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from genolm import compute  # noqa: F401  before torch: it sets the OpenMP wait policy
from genolm.bundle_config import BundleConfig, config_facts, read_settings, stored_settings
from genolm.cards import render_card
from genolm.errors import BundleError, SettingsError
from genolm.record import write_json

if TYPE_CHECKING:
    import torch

StorageType = Literal["fp16", "bf16", "fp32"]
CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, CARD_PAGE = "config.json", "model.safetensors", "card.json", "card.md"
BUNDLE_FILES = (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, CARD_PAGE)
MAX_BUNDLE_BYTES = 4 << 30
MAX_TEXT_BYTES = 16 << 20
_CHUNK = 1 << 20
_MAKERS = "'genolm models export' or the page Models"


@dataclass(frozen=True)
class ModelBundle:
    """A bundle that was read and checked; the model itself is made by :meth:`build`."""

    config: BundleConfig
    card: dict[str, Any]
    path: Path
    sha256: str
    _scratch: Any = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.config.name

    def state_dict(self) -> dict[str, "torch.Tensor"]:
        """Return the weights, on the CPU, floating ones in fp32."""
        from safetensors.torch import load_file

        state = load_file(self.path / WEIGHTS_FILE)
        return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}

    def encoder_state(self) -> dict[str, "torch.Tensor"]:
        """Return the encoder's weights, keys ``encoder.*``; of several members those of the first."""
        front = "members.0." if self.config.members > 1 else ""
        state = self.state_dict()
        return {key.removeprefix(front): state[key] for key in state if key.startswith(f"{front}encoder.")}

    def build(self) -> "torch.nn.Module":
        """Return the model with its weights, in fp32, on the CPU and in eval mode."""
        model = _empty_model(self.config)
        try:
            model.load_state_dict(self.state_dict())
        except RuntimeError as error:
            reason = next((line.strip() for line in str(error).splitlines()[1:]), str(error))
            raise BundleError(f"The weights in {self.path} do not fit its {CONFIG_FILE}: {reason}") from error
        return model.eval()


class _Scratch:
    """A temporary folder that goes when the last bundle that reads from it is gone."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="genolm-bundle-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Description(NamedTuple):
    """What a bundle's folder says of itself; ``weights`` is that entry of ``config.json``."""

    config: BundleConfig
    card: dict[str, Any]
    weights: dict[str, Any]


def save_bundle(
    folder: str | os.PathLike[str],
    config: BundleConfig,
    state_dict: Mapping[str, "torch.Tensor"],
    card: Mapping[str, Any],
    *,
    dtype: StorageType = "fp16",
) -> ModelBundle:
    """Write a bundle; it appears in ``folder`` whole or not at all, and takes the place of a bundle there.

    Parameters
    ----------
    folder : path
        New, empty, or a bundle to be replaced.
    config : BundleConfig
    state_dict : mapping of str to Tensor
        All of the model's weights and buffers.
    card : mapping
        See :func:`genolm.cards.render_card`; title and purpose default to those of ``config``.
    dtype : {"fp16", "bf16", "fp32"}
        How matrices are stored.
    """
    from safetensors.torch import save

    stored = stored_state(state_dict, dtype)
    with replaced_folder(Path(folder)) as work:
        (work / WEIGHTS_FILE).write_bytes(save(stored, metadata={"format": "pt"}))
        os.chmod(work / WEIGHTS_FILE, 0o644)
        weights = {"sha256": file_sha256(work / WEIGHTS_FILE), "dtype": dtype}
        card = {"title": config.title or config.name, "purpose": config.purpose, **card}
        write_description(work, config, card, weights)
    return read_bundle(folder)


def read_bundle(path: str | os.PathLike[str]) -> ModelBundle:
    """Return the bundle in a folder or zip after checking that it is whole.

    Raises
    ------
    BundleError
        Not there, corrupt, of a newer format, or weights and configuration that do not belong together.
    """
    path = Path(path)
    if not path.exists():
        raise BundleError(f"There is no bundle at {path}.")
    if path.is_dir():
        return _read_folder(path)
    scratch = _Scratch()
    try:
        _unpack(path, scratch.path)
        return _read_folder(scratch.path, scratch)
    except BundleError as error:
        raise BundleError(str(error).replace(str(scratch.path), str(path))) from error


def read_description(folder: Path) -> Description:
    """Return what a bundle's folder says of itself; of its weights only the header is read."""
    config, weights = _read_config(folder / CONFIG_FILE)
    card = _read_json(folder / CARD_FILE)
    _check_weights(folder / WEIGHTS_FILE)
    return Description(config, card, weights)


def write_description(
    folder: Path, config: BundleConfig, card: Mapping[str, Any], weights: Mapping[str, Any]
) -> None:
    """Write the configuration and both forms of the card."""
    write_json(folder / CONFIG_FILE, {**stored_settings(config), "weights": dict(weights)})
    write_json(folder / CARD_FILE, card)
    (folder / CARD_PAGE).write_text(render_card(card, facts=config_facts(config)), encoding="utf-8")


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file as hex digits, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Give a folder to fill; put it in the place of ``target`` at the end, or leave everything as it was."""
    if target.exists() and not target.is_dir():
        raise BundleError(f"{target} is a file; a bundle needs a folder.")
    if target.exists() and not (target / CONFIG_FILE).exists() and any(target.iterdir()):
        raise BundleError(f"{target} is not empty and is no bundle; nothing was written.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        work = Path(scratch) / "new"
        work.mkdir()
        yield work
        if target.exists():
            os.rename(target, Path(scratch) / "old")
        os.rename(work, target)


def _empty_model(config: BundleConfig) -> "torch.nn.Module":
    if config.head is None:
        from genolm.model import LanguageModel

        return LanguageModel(config.encoder, config.vocab_size)
    from genolm.classifier import Ensemble, SequenceClassifier

    sizes = (config.encoder, config.head, config.vocab_size)
    if config.members == 1:
        return SequenceClassifier(*sizes)
    return Ensemble([SequenceClassifier(*sizes) for _ in range(config.members)])


def stored_state(state: Mapping[str, "torch.Tensor"], dtype: StorageType = "fp16") -> dict[str, "torch.Tensor"]:
    """Return weights as a bundle stores them, which is what answers are worked out with from then on.

    Matrices are of ``dtype``, and all else of fp32, as is a matrix that ``dtype`` cannot hold: the last one of a
    regression whose values are very small or large.

    Raises
    ------
    BundleError
        A weight is no finite number.
    """
    import torch

    types = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
    if dtype not in types:
        raise SettingsError(f"dtype is '{dtype}'; weights are stored as {', '.join(types)}.")
    stored = {}
    for key, value in state.items():
        value = value.detach().cpu()
        if value.is_floating_point():
            if not torch.isfinite(value).all():
                raise BundleError(f"Weight {key} has numbers that are not finite; the model cannot be saved.")
            value = value.to(types[dtype] if value.dim() > 1 and _is_held(value, types[dtype]) else torch.float32)
        # A tied weight occurs under two names and safetensors takes no shared memory.
        stored[key] = value.contiguous().clone()
    return stored


def _is_held(matrix: "torch.Tensor", kind: "torch.dtype") -> bool:
    """Return whether the largest weight lies well within what a type can hold: fp16 is coarse below 6e-5."""
    import torch

    most, limits = float(matrix.abs().max()), torch.finfo(kind)
    return most == 0 or 4 * limits.tiny <= most <= limits.max


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise BundleError(f"{path} is larger than {MAX_TEXT_BYTES >> 20} MiB; it is no file of a bundle.")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(f"{path.parent} has no {path.name}; it is not a whole bundle.") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(data, dict):
        raise BundleError(f"{path} does not hold a JSON object; the bundle is corrupt.")
    return data


def _read_config(path: Path) -> tuple[BundleConfig, dict[str, Any]]:
    data = _read_json(path)
    weights = data.pop("weights", None)
    try:
        config = read_settings(data)
    except BundleError as error:
        raise BundleError(f"{path} does not describe a model: {error}") from error
    if not isinstance(weights, dict) or "sha256" not in weights:
        raise BundleError(f"{path} does not give the sha256 of its weights; the bundle is not whole.")
    return config, weights


def _check_weights(path: Path) -> None:
    """Refuse a safetensors file whose header cannot be read or whose length is not what the header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            length = struct.unpack("<Q", handle.read(8))[0]
            header = json.loads(handle.read(length)) if length <= MAX_TEXT_BYTES else {}
        ends = [item["data_offsets"][1] for key, item in header.items() if key != "__metadata__"]
        whole = bool(ends) and size == 8 + length + max(ends)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        raise BundleError(f"{path} is missing or is no safetensors file; the bundle is corrupt.") from error
    if not whole:
        raise BundleError(f"{path} is cut short or too long ({size:,} bytes); copy or download it again.")


def _read_folder(folder: Path, scratch: Any = None) -> ModelBundle:
    config, card, weights = read_description(folder)
    digest = file_sha256(folder / WEIGHTS_FILE)
    if digest != weights["sha256"]:
        raise BundleError(
            f"{folder / WEIGHTS_FILE} is not the file that {CONFIG_FILE} was written for (its sha256 "
            "differs); the bundle is corrupt or was mixed from two."
        )
    return ModelBundle(config, card, folder, digest, scratch)


def _unpack(path: Path, target: Path) -> None:
    """Copy the files of a zipped bundle to ``target``; a zip with anything else is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            for item, info in _members(path, archive).items():
                with archive.open(info) as source, (target / item).open("wb") as sink:
                    shutil.copyfileobj(source, sink, _CHUNK)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BundleError(
            f"{path} is not a whole zip: {str(error).rstrip('.')}. Give the .zip that {_MAKERS} made; if it is that "
            "one, copy it here again, since a part of it was lost."
        ) from error


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = [
        info for info in archive.infolist() if not info.is_dir() and not _is_finder_litter(info.filename)
    ]
    if sum(info.file_size for info in infos) > MAX_BUNDLE_BYTES:
        raise BundleError(f"{path} would unpack to more than {MAX_BUNDLE_BYTES >> 30} GiB; it is refused.")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        folder, _, item = info.filename.rpartition("/")
        if item not in BUNDLE_FILES or item in found or "/" in folder or folder.startswith("."):
            raise BundleError(f"{path} is no zip of one model and is refused: {_stranger(info.filename, found)}.")
        found[item] = info
    return found


def _stranger(name: str, found: Container[str]) -> str:
    """Return what is wrong with a file of a zip that is none of a model's, and what to do."""
    folder, _, item = name.rpartition("/")
    if item in found:
        return f"it has {item} twice; zip each model by itself"
    if item in BUNDLE_FILES and "/" in folder:
        return f"'{name}' lies in a folder of a folder; zip '{folder.rpartition('/')[2]}' by itself"
    return f"'{name}' is no part of a model; give the .zip that {_MAKERS} made"


def _is_finder_litter(name: str) -> bool:
    # macOS adds these to every zip it makes.
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"
