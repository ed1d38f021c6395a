"""The training of a language model on a corpus."""

from collections.abc import Sequence
from pathlib import Path

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm import distributed
from genolm.batches import LanguageStream, StreamSettings
from genolm.config import Schedule, TokenizerConfig, TrainingConfig
from genolm.corpus import Corpus, split_corpus
from genolm.language import NextToken
from genolm.language_scores import held_out_text
from genolm.model import LanguageModel
from genolm.pretrain_plan import HELD_OUT_BASES, PretrainSettings, new_model, plan_pretraining, token_config
from genolm.progress import ProgressCallback
from genolm.registry import ModelBundle, load_bundle
from genolm.tokenizer import KmerTokenizer
from genolm.training import History, Trainer


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
    """Train a language model on a corpus, from scratch or from ``base``; goes on from ``checkpoint``.

    With ``base`` its k-mers, sizes and stride are kept, unless ``stride`` gives another: a model of k-mers
    side by side learns to read overlapping ones far sooner than a new one would.
    """
    settings = plan_pretraining(train.bases, settings, base=base).settings
    config = token_config(settings, base)
    tokenizer = KmerTokenizer(TokenizerConfig(config.k, stride or config.stride))
    torch.manual_seed(settings.seed)
    model = new_model(settings, base)
    if base:
        model.load_state_dict(base.build().state_dict())
    objective = _objective(train, valid, settings, tokenizer)
    steps = max(settings.validations, settings.tokens // (settings.rows * settings.bptt))
    slices = max(1, round(steps / len(objective.batches(0))))
    training = TrainingConfig(
        schedule=(Schedule(slices, settings.lr),),
        batch_size=settings.rows,
        bptt=settings.bptt,
        clip=settings.clip,
        weight_decay=settings.weight_decay,
        lr_factor=1.0,
        seed=settings.seed,
    )
    trainer = Trainer(model, objective, training, checkpoint=checkpoint, progress=progress)
    return model, tokenizer, trainer.fit()


def assist_training(fasta_paths: Sequence[str | Path], *, base: str | None, held_out: Sequence[str]) -> None:
    """Train as one of the other processes, see :mod:`genolm.distributed`: by the plan of the first one."""
    train, valid = split_corpus([Path(path) for path in fasta_paths], held_out=held_out)
    settings = PretrainSettings(**distributed.group().told(dict))
    train_language_model(train, valid, settings, base=load_bundle(base) if base else None)


def _objective(
    train: Corpus, valid: Corpus, settings: PretrainSettings, tokenizer: KmerTokenizer
) -> NextToken:
    stream = StreamSettings(settings.rows, settings.bptt, settings.piece, seed=settings.seed)
    steps = max(settings.validations, settings.tokens // (settings.rows * settings.bptt))

    def make_stream(epoch: int) -> LanguageStream:
        return LanguageStream(train.records, tokenizer, stream, epoch, repeats=train.repeats)

    return NextToken(
        make_stream,
        held_out_text(valid.records, tokenizer, bases=HELD_OUT_BASES),
        slice_steps=steps // settings.validations,
        stride=tokenizer.stride,
        alpha=settings.alpha,
        beta=settings.beta,
    )
