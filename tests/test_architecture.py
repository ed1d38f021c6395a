"""The layers: who may import whom, by reading the source."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "genolm"

# A module imports only from rows above its own. A new module is put into the row where it belongs.
LAYERS = (
    {"errors", "verbs", "job_files", "processes"},
    {"config", "placing", "progress", "stopping", "ray_access", "regions", "cards", "bootstrap", "figure_parts", "ascode", "markov"}
    | {"site_matching", "table_faults", "workspace", "scan_readme"},
    {"compute", "remote_jobs", "record", "fasta_check", "labels", "weighted_figures", "methods_text", "watchdog"}
    | {"topology", "score_files", "published"},
    {"metrics", "fasta_index", "tokenizer", "tracks", "cell", "pooling", "prediction", "result_row", "job_database", "recording", "table_text"}
    | {"class_names", "feature_readers"},
    {"sequences", "short_similarity", "genbank", "twobit", "features", "peaks", "lstm", "calibration", "bundle_config", "readings"}
    | {"recipe_config", "results", "results_contest", "stream_cell", "stream_pooling", "truth_intervals", "job_store", "shortcuts", "common_site"}
    | {"held_out", "own_files", "shared_words"},
    {"outputs", "genome_files", "genbank_calls", "answers", "tables", "model", "job_queue"}
    | {"results_reading", "samples", "truth", "significance", "background", "gene_finding", "plans"},
    {"batches", "corpus", "checkpoints", "results_verdict", "distributed", "report_data", "classifier", "partial", "jobs", "worker"}
    | {"stream_encoder", "scan_outputs", "annotation", "table_warnings"},
    {"training", "report_figures", "results_overview", "splits", "onnx_graph"},
    {"language", "table_split", "bundles", "results_text"},
    {"registry", "model_report", "language_scores", "table_facts", "seen"},
    {"predict", "baselines", "onnx_export", "classifier_training", "adaptation", "pretrain_plan", "known_rows"}
    | {"table_report"},
    {"scan_plan", "streaming", "saliency", "orientation", "evaluation", "language_training", "preparation", "unfinished"}
    | {"reading_frames", "stretch_training", "file_result", "novelty"},
    {"scan_work", "rerun", "estimates", "comparison", "tuning", "trained", "pretraining", "file_work"},
    {"engines", "scan_source", "reduction", "training_report"},
    {"scan", "hand_out", "finetuning"},
    {"scan_pipeline", "ray_engine", "recipe_steps", "recipe_limits"},
    {"scan_folder", "recipe_result", "recipe_answers", "recipe_earlier", "recipe_networks"},
    {"pipelines", "recipe_own", "recipe_work"},
    {"recipe_run", "recipe_refresh", "recipe_into"},
    {"recipe_publish"},
    {"cli"},
)
LAYER_OF = {name: index for index, names in enumerate(LAYERS) for name in names}


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def modules():
    """Return (layer name, path) of every module but the package's own two entries, which load by name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent != PACKAGE or path.name not in ("__init__.py", "__main__.py"):
            yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


def is_for_types_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(tree, *, at_load=False):
    """Return full names of what a module imports; with ``at_load`` only what runs when it loads."""
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if is_for_types_only(node) or (at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        waiting.extend(ast.iter_child_nodes(node))
    return found


def own_modules(names):
    """Return the layer names among imported names: ``genolm.cli.app.command`` is ``cli``."""
    return {
        parts[1] for parts in (name.split(".") for name in names) if parts[0] == "genolm" and len(parts) > 1
    }


@pytest.mark.parametrize(("name", "path"), [pytest.param(*item, id=item[1].name) for item in modules()])
def test_a_module_imports_only_from_layers_below(name, path):
    assert name in LAYER_OF, f"put {name} into LAYERS, in the lowest row that its imports allow"
    needs = own_modules(imported(parsed(path))) - {name, "__version__"}
    assert needs <= set(LAYER_OF)
    above = {other for other in needs if LAYER_OF[other] >= LAYER_OF[name]}
    assert not above, f"{name} imports {above}, which are not below it"


def test_every_layer_still_exists():
    assert set(LAYER_OF) - {name for name, _ in modules()} == set()


def test_there_is_no_import_cycle():
    graph = {}
    for path in PACKAGE.rglob("*.py"):
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[own] = {
            candidate
            for name in imported(parsed(path), at_load=True)
            for candidate in (name, name.rpartition(".")[0])
            if candidate != own and candidate.startswith("genolm.")
        }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_the_package_knows_no_streamlit():
    for path in PACKAGE.rglob("*.py"):
        names = {name.partition(".")[0] for name in imported(parsed(path))}
        assert not names & {"streamlit", "pages", "app"}, path


def test_charts_know_no_streamlit():
    for path in (ROOT / "pages").rglob("charts.py"):
        assert not any(name.startswith("streamlit") for name in imported(parsed(path))), path


def test_nothing_is_unpickled():
    for path in PACKAGE.rglob("*.py"):
        names = {name.partition(".")[0] for name in imported(parsed(path))}
        assert not names & {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}, path


def test_whoever_loads_torch_has_set_how_threads_wait():
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text().splitlines()
        torch = [i for i, line in enumerate(lines) if line.startswith(("import torch", "from torch"))]
        compute = [
            i
            for i, line in enumerate(lines)
            if line.startswith(("import genolm.compute", "from genolm import compute", "from genolm.compute"))
        ]
        assert not torch or (compute and compute[0] < torch[0]), f"{path} loads torch before genolm.compute"


def test_no_script_lies_directly_in_pages():
    assert [path.name for path in (ROOT / "pages").glob("*.py")] == []


def test_the_router_is_small():
    assert len((ROOT / "app.py").read_text().splitlines()) <= 60
