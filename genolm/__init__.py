"""DNA language models: train them, use them on sequences and genomes, see what they look at.

The names below are loaded when they are first used, so that ``import genolm`` is instant.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "genolm.errors": ("GenolmError",),
    "genolm.regions": ("Region", "parse_region"),
    "genolm.sequences": ("open_fasta", "parse_sequences", "reverse_complement", "write_fasta"),
    "genolm.tokenizer": ("KmerTokenizer",),
    "genolm.tables": ("read_table",),
    "genolm.tracks": ("Track",),
    "genolm.registry": (
        "BundleConfig",
        "export_bundle",
        "find_bundle",
        "import_bundle",
        "list_bundles",
        "load_bundle",
        "remove_bundle",
        "save_bundle",
    ),
    "genolm.onnx_export": ("export_onnx",),
    "genolm.predict": ("Predictor",),
    "genolm.prediction": ("Prediction",),
    "genolm.scan": ("ScanResult", "scan_genome"),
    "genolm.peaks": ("call_peaks",),
    "genolm.saliency": ("Saliency", "perturbation_saliency"),
    "genolm.pipelines": ("classify_file", "evaluate_table", "saliency_file", "scan_file"),
    "genolm.pretraining": ("pretrain",),
    "genolm.config": ("FinetuneSettings",),
    "genolm.preparation": ("prepare_training",),
    "genolm.estimates": ("estimate_training",),
    "genolm.finetuning": ("finetune",),
    "genolm.comparison": ("compare_models",),
    "genolm.model_report": ("read_report",),
    "genolm.jobs": ("cancel_job", "get_job", "list_jobs", "resume_job", "start_job"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'genolm' has no attribute '{name}'")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
