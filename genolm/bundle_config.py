"""What a model in a bundle is: its settings, in the form in which ``config.json`` holds them.

Format 2 adds ``members``, ``mirrored``, ``streamed`` and a threshold for scans, and weights under ``members.N.`` where
there are several; format 3 ``framed`` and a calibration for sequences of unknown strand. Each is written only for
models that need it, so that older readers take every other one as before.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

from genolm.config import (
    Calibration,
    EncoderConfig,
    HeadConfig,
    TokenizerConfig,
    Window,
    from_json,
    read_calibration,
    to_json,
)
from genolm.errors import BundleError, SettingsError
from genolm.tokenizer import SPECIAL_COUNT

FORMAT_VERSION = 3
MAX_MEMBERS = 32
Kind = Literal["language-model", "classifier"]
_PARTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "tokenizer": partial(from_json, TokenizerConfig),
    "encoder": partial(from_json, EncoderConfig),
    "head": partial(from_json, HeadConfig),
    "window": partial(from_json, Window),
    "calibration": read_calibration,
}
_SINCE = {2: ("members", "mirrored", "streamed"), 3: ("framed",)}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """What a bundle's model is.

    Attributes
    ----------
    name : str
        Letters, digits and dashes; what the user types.
    kind : {"language-model", "classifier"}
    head, window
        Only of a classifier; ``window`` only when all its sequences had one length.
    members : int
        Networks of a classifier whose logits are averaged, 1 to 32.
    mirrored : bool
        Whether the logits of a sequence are averaged with those of its reverse complement.
    framed : bool
        Whether the logits of a sequence are averaged over readings from each of its first bases, as many as the
        k-mers' stride.
    streamed : bool
        Whether it was trained on windows with sequence before them, so that a scan reads a strand as one stream.
    format_version : int
        The oldest format that can say all this; not to be given.
    """

    format_version: int = field(init=False, default=1)
    name: str
    kind: Kind
    title: str = ""
    purpose: str = ""
    tokenizer: TokenizerConfig = TokenizerConfig()
    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig | None = None
    window: Window | None = None
    calibration: Calibration = Calibration()
    members: int = 1
    mirrored: bool = False
    framed: bool = False
    streamed: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.kind not in get_args(Kind):
            raise BundleError(f"kind is '{self.kind}'; a bundle is a language-model or a classifier.")
        if (self.kind == "classifier") != (self.head is not None):
            raise BundleError(f"Model '{self.name}' is a {self.kind}; a classifier has a head, and only it.")
        self._check_averaging()
        if not isinstance(self.streamed, bool) or (self.streamed and self.window is None):
            raise BundleError(f"streamed is {self.streamed!r}; it is true or false, and true needs a window.")
        self._check_either()
        if self.calibration.either is not None or self.framed:
            object.__setattr__(self, "format_version", 3)
        elif self._averages or self.streamed or self.calibration.scan_threshold is not None:
            object.__setattr__(self, "format_version", 2)

    @property
    def _averages(self) -> bool:
        return self.members > 1 or self.mirrored or self.framed

    def _check_averaging(self) -> None:
        if type(self.members) is not int or not 1 <= self.members <= MAX_MEMBERS:
            raise BundleError(f"members is {self.members!r}; a model has 1 to {MAX_MEMBERS} of them.")
        if not isinstance(self.mirrored, bool):
            raise BundleError(f"mirrored is {self.mirrored!r}; it must be true or false.")
        if not isinstance(self.framed, bool) or (self.framed and (self.streamed or self.tokenizer.stride == 1)):
            raise BundleError(
                f"framed is {self.framed!r}; it is true or false, and false with streamed and where k-mers overlap."
            )
        if self.kind != "classifier" and self._averages:
            raise BundleError(f"Model '{self.name}' is a {self.kind}; it has no answers to be averaged.")

    def _check_either(self) -> None:
        binary = self.head is not None and self.head.task == "binary"
        if self.calibration.either is not None and (self.mirrored or not binary):
            raise BundleError(f"Model '{self.name}' does not choose between strands, but is calibrated for either one.")

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding: every k-mer and the special tokens."""
        return SPECIAL_COUNT + 4**self.tokenizer.k


def check_name(name: str) -> str:
    """Return ``name`` if a model may be called so: letters, digits and dashes, 64 at most, no dash first."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BundleError(f"'{name}' cannot be a model's name; use letters, digits and dashes (at most 64).")
    return name


def network_words(tokenizer: TokenizerConfig, encoder: EncoderConfig) -> str:
    """Return what a network reads and how large it is; of equal words only the training differs."""
    return f"{_token_words(tokenizer)}, {_size_words(encoder)}"


def _token_words(tokenizer: TokenizerConfig) -> str:
    return f"{tokenizer.k}-mers every {tokenizer.stride} bp"


def _size_words(encoder: EncoderConfig) -> str:
    return f"embedding {encoder.emb}, hidden {encoder.hid}, {encoder.layers} layers"


def config_facts(config: BundleConfig) -> dict[str, str]:
    """Return what a model is, in words for a card or a page: label to text."""
    facts = {
        "Name": config.name,
        "Kind": config.kind.replace("-", " "),
        "Tokens": _token_words(config.tokenizer),
        "Encoder": f"AWD-LSTM, {_size_words(config.encoder)}",
    }
    if config.head:
        facts["Answers"] = f"{', '.join(config.head.classes)} ({config.head.task})"
    if config.members > 1:
        facts["Members"] = f"{config.members} networks, the mean of their answers"
    if config.mirrored:
        facts["Strands"] = "each answer is the mean of both strands' readings"
    if config.framed:
        facts["Frames"] = f"each answer is the mean of readings from each of the first {config.tokenizer.stride} bases"
    if config.streamed:
        facts["Scans"] = "read each strand as one stream"
    if config.window:
        facts["Window"] = f"{config.window.length} bp"
        if config.window.anchor is not None:
            facts["Window"] += f", {config.window.anchor_name or 'anchor'} at base {config.window.anchor + 1}"
    return facts


def stored_settings(config: BundleConfig) -> dict[str, Any]:
    """Return the settings as ``config.json`` holds them; an older format has not those of a newer one."""
    left_out = _newer_than(config.format_version)
    settings = {key: value for key, value in to_json(config).items() if key not in left_out}
    for key in ("scan_threshold", "either"):
        if settings["calibration"][key] is None:
            del settings["calibration"][key]
    return settings


def _newer_than(version: int) -> list[str]:
    return [key for since, keys in _SINCE.items() if since > version for key in keys]


def _newer_settings(data: Mapping[str, Any], version: int) -> list[str]:
    """Return which settings are given that a format does not have yet."""
    found = [key for key in _newer_than(version) if key in data]
    either = (data.get("calibration") or {}).get("either")
    return [*found, "calibration.either"] if version < 3 and either else found


def read_settings(data: Mapping[str, Any]) -> BundleConfig:
    """Return the configuration that :func:`stored_settings` gave.

    Raises
    ------
    BundleError
        For a newer format, unknown settings and values that cannot be.
    """
    version = data.get("format_version")
    if type(version) is not int or version < 1:
        raise BundleError(f"format_version is {version!r}; it is no bundle of genolm.")
    if version > FORMAT_VERSION:
        raise BundleError(f"it has format {version}; this genolm reads up to {FORMAT_VERSION}; update it.")
    try:
        if newer := _newer_settings(data, version):
            raise BundleError(f"it has format {version}, which knows no {', '.join(newer)}; export the model again.")
        nested = {key: read(data[key]) for key, read in _PARTS.items() if data.get(key) is not None}
        flat = {key: value for key, value in data.items() if key != "format_version"}
        return from_json(BundleConfig, {**flat, **nested})
    except (SettingsError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(str(error)) from error
