"""``genolm doctor``: what is installed, what the machine can do and how fast it is."""

import os
import platform
import shutil
import time
from typing import Any

import click

from genolm import compute, workspace
from genolm.cli.reporting import clock, json_option, print_json
from genolm.record import code_version, package_version

NEEDED = (
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "numba",
    "safetensors",
    "pyfaidx",
    "pyBigWig",
    "biopython",
    "click",
    "tqdm",
    "streamlit",
    "plotly",
    "tsdownsample",
)
OPTIONAL = ("ray", "onnxruntime")
TEST_WINDOW, TEST_WINDOWS = 201, 256


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Say what is installed and how fast it runs.

    The exit code is 1 when something is missing or broken.
    """
    found = {**_software(), **_machine(), **_workspace(), "self_test": _self_test()}
    found["problems"] = _problems(found)
    if as_json:
        print_json(found)
    else:
        _print(found)
    raise SystemExit(1 if found["problems"] else 0)


def _software() -> dict[str, Any]:
    return {
        "genolm": code_version(),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in NEEDED},
        "extras": {name: package_version(name) for name in OPTIONAL},
    }


def _machine() -> dict[str, Any]:
    import torch

    device = compute.pick_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    return {
        "device": str(device),
        "device_name": name,
        "cores": compute.core_count(),
        "threads": compute.thread_budget(),
        "precision": str(compute.pick_dtype("auto", device)).removeprefix("torch."),
    }


def _workspace() -> dict[str, Any]:
    from genolm.registry import list_bundles

    home = workspace.home()
    bundles = list_bundles()
    return {
        "workspace": str(home),
        "workspace_writable": os.access(home, os.W_OK),
        "free_bytes": shutil.disk_usage(home).free,
        "models": [info.name for info in bundles if not info.error],
        "broken_models": {info.name: info.error for info in bundles if info.error},
    }


def _self_test() -> dict[str, Any]:
    """Time an untrained classifier of preset ``small`` on random windows."""
    import numpy as np

    from genolm.classifier import SequenceClassifier
    from genolm.config import HeadConfig, encoder_preset
    from genolm.predict import Predictor
    from genolm.registry import BundleConfig

    config = BundleConfig(
        name="self-test", kind="classifier", encoder=encoder_preset("small"), head=HeadConfig()
    )
    predictor = Predictor.from_model(
        config, SequenceClassifier(config.encoder, config.head, config.vocab_size)
    )
    codes = np.random.default_rng(1).integers(0, 4, (TEST_WINDOWS, TEST_WINDOW), dtype=np.uint8)
    predictor.logits_of_codes(codes[:8])
    began = time.perf_counter()
    predictor.logits_of_codes(codes)
    seconds = time.perf_counter() - began
    return {"windows_per_second": TEST_WINDOWS / seconds, "window": TEST_WINDOW, "seconds": seconds}


def _problems(found: dict[str, Any]) -> list[str]:
    missing = [name for name, version in found["packages"].items() if version is None]
    problems = [f"Package {name} is not installed." for name in missing]
    problems += [f"Model {name}: {error}" for name, error in found["broken_models"].items()]
    if not found["workspace_writable"]:
        problems.append(f"The workspace {found['workspace']} cannot be written to.")
    return problems


def _print(found: dict[str, Any]) -> None:
    test = found["self_test"]
    lines = {
        "genolm": f"{found['genolm']} on Python {found['python']}",
        "packages": ", ".join(
            f"{name} {version or 'MISSING'}" for name, version in found["packages"].items()
        ),
        "extras": ", ".join(
            f"{name} {version or 'not installed'}" for name, version in found["extras"].items()
        ),
        "device": f"{found['device']} ({found['device_name']}), numbers in {found['precision']}",
        "cores": f"{found['cores']}, of which {found['threads']} are used",
        "workspace": f"{found['workspace']}, {found['free_bytes'] / 1e9:.1f} GB free",
        "models": ", ".join(found["models"]) or "none",
        "speed": f"{test['windows_per_second']:,.0f} windows of {test['window']} bp per second with an "
        f"untrained model of preset small ({clock(test['seconds'])})",
    }
    for name, text in lines.items():
        click.echo(f"{name + ':':11}{text}")
    for problem in found["problems"] or ["None found."]:
        click.echo(f"{'problem:':11}{problem}" if found["problems"] else f"{'problems:':11}{problem}")
