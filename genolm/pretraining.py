"""From genomes to a language model bundle."""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm.batches import LanguageStream, StreamSettings, TextBatch
from genolm.config import (
    LANGUAGE_MODEL_DROPOUTS,
    Schedule,
    TokenizerConfig,
    TrainingConfig,
    encoder_preset,
)
from genolm.errors import SettingsError, TrainingError
from genolm.language import NextToken, token_losses
from genolm.model import LanguageModel
from genolm.progress import ProgressCallback
from genolm.registry import BundleConfig, ModelBundle, load_bundle, save_bundle
from genolm.sequences import open_fasta
from genolm.tokenizer import KmerTokenizer, encode_bases
from genolm.training import History, Trainer, remove_checkpoint

VALID_PIECE = 5_000
VALID_ROWS = 48


@dataclass(frozen=True)
class Corpus:
    """Base codes of the records of some files.

    Attributes
    ----------
    records : list of uint8 arrays
    names : list of str
        ``file:record`` of each.
    files : list of dict
        Name, sha256, records and bases of each file, for the card.
    repeats : list of float
        How often each record is read per pass.
    """

    records: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    repeats: list[float] = field(default_factory=list)

    @property
    def bases(self) -> int:
        """Bases in all records."""
        return sum(len(record) for record in self.records)

    def add_file(self, path: Path, *, repeats: float = 1.0, mask: tuple[int, int] | None = None) -> None:
        """Read every record of a FASTA file; ``mask`` blanks a stretch (start, end) of its first record."""
        with open_fasta(path) as genome:
            found = [(item.name, encode_bases(item.sequence)) for item in genome.records()]
        if mask:
            found[0] = (found[0][0], found[0][1].copy())
            found[0][1][slice(*mask)] = 4
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        bases = sum(len(codes) for _, codes in found)
        self.files.append({"name": path.name, "sha256": digest, "records": len(found), "bases": bases})
        for name, codes in found:
            self.records.append(codes)
            self.names.append(f"{path.name}:{name}")
            self.repeats.append(repeats)


@dataclass(frozen=True)
class PretrainSettings:
    """Settings of a language model's training; tokens count over all passes."""

    preset: str = "small"
    k: int = 3
    stride: int = 3
    tokens: int = 5_000_000
    lr: float = 4e-3
    rows: int = 64
    bptt: int = 70
    piece: int = 3000
    drop_mult: float = 0.25
    alpha: float = 2.0
    beta: float = 1.0
    weight_decay: float = 0.01
    clip: float = 0.4
    validations: int = 10
    seed: int = 1


def held_out_text(records: Sequence[np.ndarray], tokenizer: KmerTokenizer, *, bases: int) -> list[TextBatch]:
    """Return a fixed text of about ``bases`` bases from ``records``, half of it from the other strand."""
    share = max(2 * VALID_PIECE, bases // max(1, len(records)))
    cut = [record[max(0, (len(record) - share) // 2) :][:share] for record in records]
    longest = sum(tokenizer.count(len(record)) for record in cut)
    rows = max(1, min(VALID_ROWS, longest // 4000))
    bptt = 70 if longest // rows > 1000 else 10
    settings = StreamSettings(rows=rows, bptt=bptt, piece=VALID_PIECE, seed=0)
    stream = LanguageStream(cut, tokenizer, settings)
    return [stream[step] for step in range(len(stream))]


def bits_per_base(model: LanguageModel, text: Sequence[TextBatch], stride: int) -> dict[str, float]:
    """Return bits per base on a held-out text with a 95 % interval, as value, low and high.

    The interval is a bootstrap over blocks of 500 tokens, since neighbouring tokens are not independent.
    """
    losses = token_losses(model, text)
    blocks = np.array([part.mean() for part in np.array_split(losses, max(2, len(losses) // 500))])
    rng = np.random.default_rng(0)
    draws = blocks[rng.integers(0, len(blocks), (1000, len(blocks)))].mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    scale = stride * math.log(2)
    return {"value": float(losses.mean()) / scale, "low": float(low) / scale, "high": float(high) / scale}


def train_language_model(
    train: Corpus,
    valid: Corpus,
    settings: PretrainSettings,
    *,
    base: ModelBundle | None = None,
    stride: int | None = None,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[LanguageModel, KmerTokenizer, History]:
    """Train a language model on a corpus, from scratch or going on from ``base``; resumes from ``checkpoint``.

    With ``base`` its k-mers, sizes and stride are kept, unless ``stride`` gives another: a model of k-mers
    side by side learns to read overlapping ones far sooner than a new one would.
    """
    token_config = base.config.tokenizer if base else TokenizerConfig(settings.k, settings.stride)
    tokenizer = KmerTokenizer(TokenizerConfig(token_config.k, stride or token_config.stride))
    sizes = base.config.encoder if base else encoder_preset(settings.preset)
    torch.manual_seed(settings.seed)
    model = LanguageModel(sizes, tokenizer.vocab_size, LANGUAGE_MODEL_DROPOUTS.scaled(settings.drop_mult))
    if base:
        model.load_state_dict(base.build().state_dict())
    stream = StreamSettings(settings.rows, settings.bptt, settings.piece, seed=settings.seed)
    steps = max(settings.validations, settings.tokens // (settings.rows * settings.bptt))
    text = held_out_text(valid.records, tokenizer, bases=600_000)

    def make_stream(epoch: int) -> LanguageStream:
        return LanguageStream(train.records, tokenizer, stream, epoch, repeats=train.repeats)

    objective = NextToken(
        make_stream,
        text,
        slice_steps=steps // settings.validations,
        stride=tokenizer.stride,
        alpha=settings.alpha,
        beta=settings.beta,
    )
    slices = max(1, round(steps / len(objective.batches(0))))
    config = TrainingConfig(
        schedule=(Schedule(slices, settings.lr),),
        batch_size=settings.rows,
        bptt=settings.bptt,
        clip=settings.clip,
        weight_decay=settings.weight_decay,
        lr_factor=1.0,
        seed=settings.seed,
    )
    trainer = Trainer(model, objective, config, checkpoint=checkpoint, progress=progress)
    return model, tokenizer, trainer.fit()


def split_corpus(paths: Sequence[Path], *, share: float = 0.05) -> tuple[Corpus, Corpus]:
    """Hold out whole records for validation, or the end of the longest where there is but one.

    Records are held out from the smallest share that reaches ``share`` of the bases; at least one stays in
    training.
    """
    whole = Corpus()
    for path in paths:
        whole.add_file(path)
    if whole.bases < 20_000:
        raise TrainingError(f"The files hold {whole.bases:,} bases; a language model needs 20,000 or more.")
    sizes = [len(record) for record in whole.records]
    chosen = _held_out_records(sizes, share)
    if chosen:
        keep = [index for index in range(len(sizes)) if index not in chosen]
        return _subset(whole, keep), _subset(whole, sorted(chosen))
    longest = int(np.argmax(sizes))
    cut = int(sizes[longest] * (1 - share))
    train = Corpus([*whole.records], whole.names, whole.files, whole.repeats)
    train.records[longest] = whole.records[longest][:cut]
    valid = Corpus([whole.records[longest][cut:]], [f"{whole.names[longest]} from base {cut + 1}"], [], [1.0])
    return train, valid


def _held_out_records(sizes: Sequence[int], share: float) -> set[int]:
    """Return the largest single record that is at most three times ``share`` of all, if there is one."""
    total = sum(sizes)
    fitting = [i for i, size in enumerate(sizes) if share / 3 * total <= size <= 3 * share * total]
    return {max(fitting, key=lambda i: sizes[i])} if fitting and len(sizes) > 1 else set()


def _subset(corpus: Corpus, rows: Sequence[int]) -> Corpus:
    return Corpus(
        [corpus.records[i] for i in rows],
        [corpus.names[i] for i in rows],
        corpus.files,
        [corpus.repeats[i] for i in rows],
    )


def pretrain(
    fasta_paths: Sequence[str | Path],
    out_dir: str | Path,
    *,
    settings: PretrainSettings | None = None,
    base: str | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Train a language model on FASTA files and save it as a bundle.

    Parameters
    ----------
    fasta_paths : sequence of path
    out_dir : path
        The bundle's folder; its checkpoint lives beside it in ``<out_dir>.training`` until it is done.
    settings : PretrainSettings, optional
    base : str, optional
        Name or path of a language model to go on from; its k, stride and sizes are kept.
    progress : callback, optional

    Returns
    -------
    Path
        The bundle's folder.

    Raises
    ------
    TrainingError
        When there is too little sequence.
    """
    settings, out = settings or PretrainSettings(), Path(out_dir)
    start = load_bundle(base) if base else None
    if start and start.config.kind != "language-model":
        raise SettingsError(f"'{base}' is a {start.config.kind}; pre-training goes on from a language model.")
    train, valid = split_corpus([Path(path) for path in fasta_paths])
    scratch = out.with_name(out.name + ".training")
    model, tokenizer, history = train_language_model(
        train, valid, settings, base=start, checkpoint=scratch, progress=progress
    )
    text = held_out_text(valid.records, tokenizer, bases=600_000)
    card = language_card(
        out.name, train, {"held-out": bits_per_base(model, text, tokenizer.stride)}, settings, history
    )
    card["limits"].append(f"Held out for the figure: {', '.join(valid.names)}; it is of the same organisms.")
    config = BundleConfig(
        name=out.name,
        kind="language-model",
        title=out.name,
        purpose="Language model to fine-tune classifiers from.",
        tokenizer=tokenizer.config,
        encoder=model.encoder.config,
    )
    save_bundle(out, config, model.state_dict(), card)
    remove_checkpoint(scratch)
    return out


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
        "purpose": "Language model to fine-tune classifiers from.",
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
