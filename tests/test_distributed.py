"""Training by several processes: the same weights as by one with the whole batch, whoever stops in between."""

import os
import socket
import subprocess
import sys

import pytest

from genolm import compute
import torch
from safetensors.torch import load_file

from genolm import distributed
from genolm.batches import LanguageStream, StreamSettings
from genolm.config import PRESETS, Dropouts, Schedule, TokenizerConfig, TrainingConfig
from genolm.errors import Cancelled, SettingsError, TrainingError
from genolm.finetuning import finetune
from genolm.language import NextToken
from genolm.model import LanguageModel
from genolm.registry import load_bundle
from genolm.tokenizer import KmerTokenizer, encode_bases
from genolm.training import Trainer

NO_DROPOUT = Dropouts(0, 0, 0, 0, 0)


def language_trainer(bases, folder=None, progress=None, *, dropouts=NO_DROPOUT):
    """Return a tiny language model and its trainer: 7 rows, which two cannot share evenly."""
    tokenizer = KmerTokenizer(TokenizerConfig(3, 3))
    torch.manual_seed(1 + distributed.group().rank)
    model = LanguageModel(PRESETS["tiny"], tokenizer.vocab_size, dropouts)
    records = [encode_bases(bases[start : start + 2500]) for start in (0, 2500)]

    def make(epoch):
        return LanguageStream(records, tokenizer, StreamSettings(rows=7, bptt=10, piece=200), epoch)

    objective = NextToken(make, [make(99)[0]], slice_steps=4, stride=3, alpha=2, beta=1)
    settings = TrainingConfig(
        schedule=(Schedule(2, 5e-3), Schedule(1, 1e-3)), lr_factor=1.0, clip=0.3, precision="fp32"
    )
    return model, Trainer(model, objective, settings, checkpoint=folder, progress=progress)


WORKER = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
import torch
from safetensors.torch import save_file
from genolm import distributed
from genolm.config import Dropouts
from genolm.errors import Cancelled
from genolm.pretraining import PretrainSettings, pretrain

folder, bases = Path(sys.argv[2]), Path(sys.argv[3]).read_text()
group = distributed.group()

def stop(report):
    assert group.is_first
    if report.done == 6:
        raise Cancelled("stop")

checkpoint = folder / "run" if group.is_first else None
try:
    shared.language_trainer(bases, checkpoint, stop, dropouts=Dropouts())[1].fit()
    sys.exit("nothing was stopped")
except Cancelled:
    pass
resumed, trainer = shared.language_trainer(bases, checkpoint, dropouts=Dropouts())
trainer.fit()
whole, trainer = shared.language_trainer(bases, dropouts=Dropouts())
trainer.fit()
for key, value in whole.state_dict().items():
    assert torch.equal(value, resumed.state_dict()[key]), key

model, trainer = shared.language_trainer(bases)
trainer.fit()
save_file(model.state_dict(), folder / f"weights-{group.rank}.safetensors")

norm = torch.nn.BatchNorm1d(2)
norm.running_mean[:] = float(group.rank)
group.average_buffers(norm)
assert norm.running_mean.tolist() == [0.5, 0.5]

settings = PretrainSettings(preset="tiny", k=2, stride=2, tokens=4000, rows=8, bptt=20, piece=300, validations=2)
pretrain([folder / "genome.fa"], out_dir=folder / "both-lm", settings=settings)
# Both leave together, without the library's own end, in which the later one may find the other gone.
import os, torch.distributed
torch.distributed.barrier()
os._exit(0)
"""


@pytest.fixture
def bases(make_dna):
    return make_dna(5000)


def test_two_processes_learn_what_one_does_also_after_a_stop(tmp_path, bases, make_dna, private_workspace):
    (tmp_path / "bases.txt").write_text(bases)
    (tmp_path / "genome.fa").write_text(f">a\n{make_dna(20000)}\n>b\n{make_dna(4000)}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    arguments = [sys.executable, "-c", WORKER, __file__, str(tmp_path), str(tmp_path / "bases.txt")]
    workers = [
        subprocess.Popen(
            arguments,
            env={**os.environ, **told, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [worker.communicate(timeout=240)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    with compute.torch_threads(1):
        alone, trainer = language_trainer(bases)
        history = trainer.fit()
    found = [load_file(tmp_path / f"weights-{rank}.safetensors") for rank in range(2)]
    for key, value in alone.state_dict().items():
        assert torch.equal(found[0][key], found[1][key]), key
        torch.testing.assert_close(found[0][key], value, atol=2e-5, rtol=1e-4)
    before = language_trainer(bases)[0].state_dict()["encoder.rnns.0.weight_hh"]
    assert (before - found[0]["encoder.rnns.0.weight_hh"]).abs().max() > 1e-2
    assert history.steps == 12
    assert load_bundle(tmp_path / "both-lm").card["metrics"]["held-out"]
    assert not (tmp_path / ".both-lm.training").exists()


def test_rows_are_shared_without_gap_and_too_few_are_refused():
    shares = [distributed.Group(rank, 3).rows(8) for rank in range(3)]
    assert [list(range(8)[own]) for own in shares] == [[0, 1], [2, 3, 4], [5, 6, 7]]
    batch = LanguageStream(
        [encode_bases("ACGT" * 300)], KmerTokenizer(TokenizerConfig(3, 3)), StreamSettings(rows=2, bptt=5, piece=50)
    )[0]
    part, weight = distributed.Group(1, 2).share(batch)
    assert torch.equal(part.inputs, batch.inputs[1:]) and part.fresh is True and weight == 1.0
    with pytest.raises(TrainingError, match="2 rows cannot be shared by 3 processes"):
        distributed.Group(0, 3).share(batch)


def test_one_process_is_left_alone_and_finetuning_by_several_is_refused(monkeypatch):
    assert distributed.is_first() and not distributed.is_several()
    alone = distributed.Group()
    with pytest.raises(Cancelled):
        alone.told(lambda: (_ for _ in ()).throw(Cancelled("stop")))
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert not distributed.is_first()
    with pytest.raises(SettingsError, match="`genolm finetune` is for one process"):
        finetune("table.csv", "base", "new")
