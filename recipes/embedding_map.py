"""What the language models know without labels: maps of k-mers and of 16S genes, with figures.

The k-mer map is t-SNE of the embedding matrix, the tokens that are no k-mers left out, beside that of one-hot
vectors. The figure is how often the nearest other k-mer, by cosine in the embedding itself, begins with the
same two bases.

A 16S gene's vector is the mean state of a layer of the encoder over its tokens, and over all ways to cut it into
k-mers that stand side by side. The nearest neighbour is looked up by cosine: is it of the same genus, and is the
nearest one of another genus of the same family? Which layer of a network is looked at, and how, is chosen by one
half of the families; figures are of the other half, and beside the chosen layer stands the last one, which is what a
classifier starts from. Counts of k-mers are treated alike, and so are the states of the first model's
network before training, which is the naive one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import genolm.compute  # noqa: F401  before torch: it sets the OpenMP wait policy
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from common import source_file
from gene_neighbours import FAMILY, GENUS, Read, choosing_half, cosines, read_by
from genus_16s_data import REFERENCES, read_references
from layer_states import LOOKS, PLAIN, layer_means
from run_parts import available, difference, figure_part, method, rounded, scored
from scan_proof_ground import Store

from genolm.baselines import kmer_counts
from genolm.bootstrap import Array, Figures, Statistic, bootstrap, paired_bootstrap, wilson
from genolm.bundle_config import network_words
from genolm.figure_parts import PALETTE, laid_out, new_figure
from genolm.model import LanguageModel
from genolm.recipe_run import RecipeTask
from genolm.registry import ModelBundle
from genolm.result_row import NAIVE
from genolm.tokenizer import SPECIAL_COUNT, KmerTokenizer

LANGUAGE_MODELS = ("bacteria-lm", "bacteria-lm-dense")
MAPPED = ("bacteria-lm", "mammal-lm")
PERPLEXITY = 15
KMERS = "kmers"
ONE_HOT, COUNTS = "one-hot", "kmer-counts"
TITLES = {GENUS: "Nearest other 16S gene", FAMILY: "Nearest 16S gene of another genus"}
DRAWN = {GENUS: "genera", FAMILY: "families"}
COUNT_SIZES = (6,)
LAST = f", last layer, {PLAIN}"
DASHES = ("dot", "dash", "solid")
N_BOOT = 2000
SYMBOLS = ("circle", "diamond", "square", "cross")


def run(task: RecipeTask) -> dict[str, Any]:
    """Map k-mers and 16S genes and look up nearest neighbours.

    Options: ``seed`` of t-SNE and of the untrained network; ``references``, how many at most.
    """
    store = Store(task.out / "parts.json")
    bundles, missing = available(task, dict.fromkeys((*LANGUAGE_MODELS, *MAPPED)))
    result: dict[str, Any] = {"protocols": {}, "methods": {}, "scores": {}, "differences": [], "figures": []}
    _add_sequences(task, store, result, {name: bundles[name] for name in LANGUAGE_MODELS if name in bundles})
    _add_kmers(task, result, {name: bundles[name] for name in MAPPED if name in bundles})
    return {**result, "missing": missing}


def _seed(task: RecipeTask) -> int:
    return int(task.options.get("seed", 1))


def _add_kmers(task: RecipeTask, result: dict[str, Any], bundles: Mapping[str, ModelBundle]) -> None:
    """Add maps and figures of the embedding matrices, and of one-hot vectors of the first one's k-mers."""
    if not bundles:
        return
    scores = result["scores"].setdefault(KMERS, {})
    result["protocols"][KMERS] = {"title": "Nearest other k-mer begins with the same two bases", "rows": {}}
    # The genes' methods of the same models are other layers of them.
    embeddings = {f"{name}-embedding": bundle for name, bundle in bundles.items()}
    vectors = {name: embedding_matrix(bundle) for name, bundle in embeddings.items()}
    kmers, matrix = next(iter(vectors.values()))
    for name, (words, rows) in {**vectors, ONE_HOT: (kmers, np.eye(len(matrix)))}.items():
        same = same_beginning(words, rows)
        scores[name] = {"seeds": [scored({"accuracy": wilson(same.sum(), len(same))})]}
        if name == ONE_HOT:
            told = method("One-hot vectors, which know nothing", kind="control")
        else:
            told = _own_method(embeddings[name], f"{embeddings[name].config.title}, embedding")
        result["methods"][name], title = told, told["title"]
        result["figures"].append(_kmer_figure(name, title, words, flat(rows, seed=_seed(task))))


def embedding_matrix(bundle: ModelBundle) -> tuple[list[str], np.ndarray]:
    """Return the k-mers of a language model and their embeddings, float32 (k-mers, width)."""
    tokenizer = KmerTokenizer(bundle.config.tokenizer)
    weights = bundle.build().encoder.embedding.weight.detach().numpy()
    tokens = range(SPECIAL_COUNT, tokenizer.vocab_size)
    return [tokenizer.kmer(token) for token in tokens], weights[SPECIAL_COUNT : tokenizer.vocab_size]


def same_beginning(kmers: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """Return the share of the nearest other k-mers that begin with the same two bases, float64 (k-mers,).

    It is 0 or 1 but for vectors that have several neighbours at one distance, such as one-hot ones.
    """
    likeness = cosines(rows)
    np.fill_diagonal(likeness, -np.inf)
    nearest = likeness >= likeness.max(axis=1, keepdims=True) - 1e-9
    beginnings = np.array([kmer[:2] for kmer in kmers])
    same = beginnings[:, None] == beginnings
    return (nearest & same).sum(axis=1) / nearest.sum(axis=1)


def flat(rows: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the t-SNE map of the rows, float32 (rows, 2)."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    start = {"init": "pca", "learning_rate": "auto", "random_state": seed}
    return TSNE(perplexity=perplexity, metric="cosine", **start).fit_transform(rows.astype(np.float32))


def _add_sequences(
    task: RecipeTask, store: Store, result: dict[str, Any], bundles: Mapping[str, ModelBundle]
) -> None:
    """Add maps of the 16S references, and how often the nearest neighbour is of the same genus or family."""
    if not bundles:
        return
    references = distinct(read_references(source_file(task.data, REFERENCES)), task.options.get("references"))
    names = ["class", "order", "family", "genus"]
    lineages = pd.DataFrame(references["lineage"].str.split().tolist(), columns=names)
    choosing = choosing_half(lineages["family"], _seed(task))
    found = {}
    for name, maker in _makers(bundles, references["sequence"].tolist(), _seed(task)).items():
        task.say(f"16S genes: {name}")
        models = {key: item.sha256 for key, item in bundles.items()}
        facts = {"models": models, "genes": len(references), "seed": _seed(task)}
        facts |= {"readings": "every first base", "layers": "all"}
        arrays = store.arrays(name, facts, lambda maker=maker: _numbered(maker()))
        found[name] = read_by(list(arrays.values()), lineages, choosing)
    _add_methods(result, found, bundles)
    for protocol in (GENUS, FAMILY):
        _add_answers(result, protocol, found, lineages[protocol], choosing)
        networks = [name for name in found if name != COUNTS]
        titles = {name: _title_of(name, bundles) for name in networks}
        result["figures"].append(_layer_figure(protocol, found, titles, choosing))
    for name in (next(iter(bundles)), COUNTS):
        places = flat(found[name].looked(), seed=_seed(task))
        result["figures"].append(_gene_figure(name, result["methods"][name]["title"], lineages, places))


def _numbered(layers: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"layer {number}": rows for number, rows in enumerate(layers)}


def distinct(references: pd.DataFrame, most: int | None) -> pd.DataFrame:
    """Return each 16S sequence once; of equal ones the first. ``most`` takes some of them, evenly."""
    found = references.drop_duplicates("sequence").reset_index(drop=True)
    if most is None or most >= len(found):
        return found
    return found.iloc[np.linspace(0, len(found) - 1, most).astype(int)].reset_index(drop=True)


def _makers(
    bundles: Mapping[str, ModelBundle], sequences: list[str], seed: int
) -> dict[str, Callable[[], list[np.ndarray]]]:
    """Return a function for each way to turn sequences into vectors, one array for each layer."""
    first = next(iter(bundles.values()))
    found = {key: partial(_trained_states, item, sequences) for key, item in bundles.items()}
    return found | {
        NAIVE: partial(_untrained_states, first, sequences, seed),
        COUNTS: partial(_counts, sequences),
    }


def _trained_states(bundle: ModelBundle, sequences: list[str]) -> list[np.ndarray]:
    return layer_means(bundle.build(), KmerTokenizer(bundle.config.tokenizer), sequences)


def _untrained_states(bundle: ModelBundle, sequences: list[str], seed: int) -> list[np.ndarray]:
    torch.manual_seed(seed)
    tokenizer = KmerTokenizer(bundle.config.tokenizer)
    model = LanguageModel(bundle.config.encoder, tokenizer.vocab_size).eval()
    return layer_means(model, tokenizer, sequences)


def _counts(sequences: list[str]) -> list[np.ndarray]:
    """Return the share of each k-mer in each sequence."""
    counts = kmer_counts(sequences, COUNT_SIZES).toarray().astype(np.float32)
    return [counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)]


def _add_methods(
    result: dict[str, Any], found: Mapping[str, Read], bundles: Mapping[str, ModelBundle]
) -> None:
    """Add what is told of each network, of its last layer, and of counts."""
    first = next(iter(bundles.values()))
    for name, item in found.items():
        layer, look = item.chosen
        if name == COUNTS:
            words = "-mers and ".join(map(str, COUNT_SIZES))
            result["methods"][name] = method(f"Counts of {words}-mers, {look}", kind="baseline")
            continue
        bundle = bundles.get(name, first)
        title = _title_of(name, bundles)
        said = f"{title}, {_layer_name(layer, len(item.layers))}, {look}"
        result["methods"][name] = _own_method(bundle, said)
        result["methods"][f"{name}-last"] = _own_method(bundle, title + LAST)


def _title_of(name: str, bundles: Mapping[str, ModelBundle]) -> str:
    return bundles[name].config.title if name in bundles else "The same network before training"


def _layer_name(layer: int, count: int) -> str:
    return f"LSTM {layer} of {count - 1}" if layer else "embedding"


def _own_method(bundle: ModelBundle, title: str) -> dict[str, Any]:
    """Return what a result says of a network of ours; those of equal ``network`` are held side by side."""
    network = network_words(bundle.config.tokenizer, bundle.config.encoder)
    return {**method(title), "network": network}


def _add_answers(
    result: dict[str, Any], protocol: str, found: Mapping[str, Read], groups: pd.Series, choosing: np.ndarray
) -> None:
    """Add the share of right neighbours of each method and the first one's lead; whole groups are drawn."""
    answers = {}
    for name, item in found.items():
        answers[name] = item.answers[item.chosen][protocol].within(~choosing)
        if name != COUNTS:
            answers[f"{name}-last"] = item.answers[item.last()][protocol].within(~choosing)
    rows = next(iter(answers.values())).rows
    chose = next(iter(found.values())).answers[0, PLAIN][protocol].within(choosing).rows
    owners, names = pd.factorize(groups.iloc[rows])
    sizes = {"valid": len(chose), "test": len(rows)}
    drawn = {"drawn_over": DRAWN[protocol], "drawn_groups": len(names)}
    result["protocols"][protocol] = {"title": TITLES[protocol], "rows": sizes, **drawn}
    statistics = {name: _share(item.right, owners, len(names)) for name, item in answers.items()}
    result["scores"][protocol] = {
        name: {"seeds": [scored(bootstrap(item, len(names), N_BOOT, 1))]} for name, item in statistics.items()
    }
    first, *others = statistics
    for other in others:
        lead = paired_bootstrap(statistics[first], statistics[other], len(names), n_boot=N_BOOT)["accuracy"]
        change = lead.difference.as_dict()
        result["differences"].append(difference((protocol, first, other), "accuracy", change, lead.p))


def _share(right: np.ndarray, owners: np.ndarray, count: int) -> Statistic:
    sums = np.bincount(owners, weights=right, minlength=count)
    sizes = np.bincount(owners, minlength=count)

    def statistic(weights: Array) -> Figures:
        return {"accuracy": (weights @ sums) / (weights @ sizes)}

    return statistic


def _kmer_figure(name: str, title: str, kmers: Sequence[str], places: np.ndarray) -> dict[str, Any]:
    """Return the map of k-mers: the first base by colour, the second by mark, the k-mer as text."""
    plot = new_figure()
    for place, row in zip(places, kmers, strict=True):
        colour, symbol = PALETTE["ACGT".index(row[0])], SYMBOLS["ACGT".index(row[1])]
        plot.add_trace(
            go.Scatter(
                x=rounded([place[0]], 2),
                y=rounded([place[1]], 2),
                mode="markers+text",
                text=[row],
                textposition="top center",
                marker={"color": colour, "symbol": symbol, "size": 8},
                showlegend=False,
                hovertemplate=f"{row}<extra></extra>",
            )
        )
    caption = (
        "t-SNE of the k-mers' vectors. Colour: the first base, mark: the second. Places near each other mean"
        " alike; distances between groups mean nothing."
    )
    return figure_part(f"kmers-{name}", f"Map of {len(kmers[0])}-mers: {title}", caption, _bare(plot))


def _layer_figure(
    protocol: str, found: Mapping[str, Read], titles: Mapping[str, str], choosing: np.ndarray
) -> dict[str, Any]:
    """Return how often the nearest neighbour is right by layer and look, of the networks that have a title."""
    plot = new_figure()
    for number, (name, title) in enumerate(titles.items()):
        item = found[name]
        places = [_layer_name(layer, len(item.layers)) for layer in range(len(item.layers))]
        for look, dash in zip(LOOKS, DASHES, strict=True):
            answers = [item.answers[layer, look][protocol].within(~choosing) for layer in range(len(places))]
            plot.add_trace(
                go.Scatter(
                    x=places,
                    y=rounded([answer.right.mean() for answer in answers]),
                    mode="lines+markers",
                    name=title,
                    showlegend=dash == "solid",
                    line={"color": PALETTE[number], "dash": dash},
                    hovertemplate=f"{title}, %{{x}}, {look}: %{{y}}<extra></extra>",
                )
            )
    plot.update_yaxes(title_text="Share of genes", range=[0, 1.02])
    caption = (
        "How often the nearest neighbour is right, by the layer whose mean states are compared. Dotted: the states"
        " less the mean of all genes; dashed: each unit brought to one spread; solid: the main directions brought to"
        " one spread."
    )
    return figure_part(f"layers-{protocol}", f"{TITLES[protocol]}, by layer", caption, laid_out(plot, 460))


def _gene_figure(name: str, title: str, lineages: pd.DataFrame, places: np.ndarray) -> dict[str, Any]:
    """Return the map of 16S genes, coloured by order; the smaller orders are one group."""
    plot = new_figure()
    for number, (order, rows) in enumerate(_groups(lineages["order"])):
        genera = lineages["genus"].iloc[rows]
        plot.add_trace(
            go.Scatter(
                x=rounded(places[rows, 0], 2),
                y=rounded(places[rows, 1], 2),
                mode="markers",
                name=order,
                text=genera.tolist(),
                marker={"color": PALETTE[number], "size": 6},
                hovertemplate="%{text}<extra></extra>",
            )
        )
    caption = (
        "t-SNE of the 16S references, each sequence once. No label was used to place them; colour is the"
        " order of the bacterium."
    )
    return figure_part(f"16s-{name}", f"Map of 16S genes: {title}", caption, _bare(plot))


def _groups(orders: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the largest orders with their rows, and last all others together."""
    names = orders.value_counts().index.tolist()
    kept = names if len(names) <= len(PALETTE) else names[: len(PALETTE) - 1]
    for name in kept:
        yield name, np.flatnonzero((orders == name).to_numpy())
    if len(kept) < len(names):
        yield "other orders", np.flatnonzero(~orders.isin(kept).to_numpy())


def _bare(plot: go.Figure) -> go.Figure:
    """Give a map its layout; its axes have no unit."""
    plot.update_xaxes(visible=False)
    plot.update_yaxes(visible=False)
    return laid_out(plot, 520)
