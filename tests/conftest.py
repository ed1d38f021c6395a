"""What several tests share: a private workspace, a toy genome, toy bundles."""

import os
import sys
import time

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes side by side that wait for each other's threads would take many times as long.
    os.environ.setdefault("GENOLM_THREADS", "1")

import numpy as np
import pytest

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import torch

from genolm.classifier import SequenceClassifier
from genolm.config import PRESETS, HeadConfig, TokenizerConfig, Window
from genolm.model import LanguageModel
from genolm.registry import BundleConfig, save_bundle


@pytest.fixture(autouse=True)
def private_workspace(tmp_path_factory, monkeypatch):
    """Keep every test out of the user's workspace."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("GENOLM_HOME", str(home))
    return home


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(7)


def random_dna(rng, length):
    """Return random bases as text."""
    return "".join(rng.choice(list("ACGT"), length))


@pytest.fixture
def make_dna(rng):
    """A function length -> random bases."""
    return lambda length: random_dna(rng, length)


@pytest.fixture(scope="session")
def toy_bundle_path(tmp_path_factory):
    """A tiny random binary classifier of 60 bp windows with a TSS at 40."""
    torch.manual_seed(3)
    tokenizer, head = TokenizerConfig(3, 2), HeadConfig("binary", ("other", "promoter"))
    model = SequenceClassifier(PRESETS["tiny"], head, 67)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    config = BundleConfig(
        name="toy-promoter",
        kind="classifier",
        title="Toy promoters",
        purpose="A random model for tests.",
        tokenizer=tokenizer,
        encoder=PRESETS["tiny"],
        head=head,
        window=Window(60, 40, "TSS"),
    )
    folder = tmp_path_factory.mktemp("bundles") / "toy-promoter"
    sample = {"file": "ecoli_known_sites.fa", "records": {}}
    card = {"title": "Toy promoters", "limits": ["Random weights."], "sample": sample}
    save_bundle(folder, config, model.state_dict(), card)
    return folder


@pytest.fixture(scope="session")
def toy_language_model_path(tmp_path_factory):
    """A tiny random language model of 3-mers, stride 2."""
    torch.manual_seed(4)
    model = LanguageModel(PRESETS["tiny"], 67)
    config = BundleConfig(
        name="toy-lm",
        kind="language-model",
        title="Toy language model",
        tokenizer=TokenizerConfig(3, 2),
        encoder=PRESETS["tiny"],
    )
    folder = tmp_path_factory.mktemp("bundles") / "toy-lm"
    save_bundle(folder, config, model.state_dict(), {"title": "Toy language model"})
    return folder


@pytest.fixture
def make_answers():
    """A function (task, count) -> answers of a made-up model, most of them right."""
    from genolm.answers import Answers
    from genolm.config import Calibration

    def made(task, count, *, classes=("other", "promoter"), seed=5):
        rng, width = np.random.default_rng(seed), len(classes)
        shown = np.arange(width) % 2 == 0
        if task == "regression":
            labels = rng.normal(0, 1, (count, width)).astype(np.float32)
            logits = labels + rng.normal(0, 0.5, (count, width))
        elif task == "multilabel":
            labels = (rng.random((count, width)) < 0.3 + 0.2 * shown).astype(np.float32)
            logits = 4 * (labels - 0.5) + rng.normal(0, 2, (count, width))
        else:
            labels = rng.integers(0, width, count)
            logits = 2 * np.eye(width)[labels] + rng.normal(0, 1.5, (count, width))
        return Answers(
            head=HeadConfig(task, tuple(classes)),
            rows=tuple(range(2, count + 2)),
            names=tuple(f"seq{number}" for number in range(count)),
            sequences=tuple(random_dna(rng, 60) for _ in range(count)),
            labels=labels,
            logits=logits.astype(np.float32),
            calibration=Calibration(1.0 if task == "regression" else 1.5, 0.4 if task == "binary" else 0.5),
        )

    return made


WORKER_PROGRAM = """
import os, sys, time
from genolm import job_queue
from genolm.progress import Progress
from genolm.worker import worker
job_queue.WORKER_COMMAND = (sys.executable, "-P", "-c", os.environ["GENOLM_TEST_PROGRAM"])
def wait():
    print("ready", flush=True)
    time.sleep(120)
with worker(os.environ["GENOLM_JOB_FOLDER"]):
    exec(sys.argv[1])
"""


@pytest.fixture
def start(monkeypatch):
    """A function that starts a job whose worker runs some Python; what still runs at the end is stopped."""
    from genolm import job_queue, jobs

    monkeypatch.setenv("GENOLM_TEST_PROGRAM", WORKER_PROGRAM)
    monkeypatch.setattr(job_queue, "WORKER_COMMAND", (sys.executable, "-P", "-c", WORKER_PROGRAM))
    yield lambda program, **options: jobs.start_job("test", [program], **options)
    left = [job for job in jobs.list_jobs() if not job.is_over]
    # Those that wait go first, so that none is started by the end of another.
    for job in sorted(left, key=lambda job: job.state != "queued"):
        jobs.cancel_job(job.id)


@pytest.fixture
def until():
    """A function that waits for a condition and fails if it does not come true in time."""

    def waited(condition, seconds=60.0):
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, "nothing happened in time"
            time.sleep(0.02)

    return waited


@pytest.fixture
def wait_ready(until):
    """A function that waits until the worker of a job has called ``wait``."""
    return lambda job: until(lambda: "ready" in job.log())
