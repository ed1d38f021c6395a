"""What the language models know without labels: maps of k-mers and of 16S genes, with figures.

The k-mer map is t-SNE of the embedding matrix, the tokens that are no k-mers left out, beside that of one-hot
vectors. The figure is how often the nearest other k-mer, by cosine in the embedding itself, begins with the
same two bases.

A sequence's embedding is the mean hidden state of the encoder over its tokens, and over all ways to cut it
into k-mers that stand side by side. Over the 16S references, each once, the mean of all is taken off and the
nearest neighbour is looked up by cosine: is it of the same genus, and is the nearest one of another genus of
the same family? Counts of k-mers are treated alike, and so are the states of the first model's network before
training, which is the naive one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import genolm.compute  # before torch: it sets the OpenMP wait policy
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from common import source_file
from genus_16s_data import REFERENCES, read_references
from run_parts import available, difference, figure_part, method, rounded, scored
from scan_proof_ground import Store

from genolm.baselines import kmer_counts
from genolm.batches import pack
from genolm.bootstrap import Array, Figures, Statistic, bootstrap, paired_bootstrap, wilson
from genolm.bundle_config import network_words
from genolm.figure_parts import PALETTE, laid_out, new_figure
from genolm.model import LanguageModel
from genolm.recipe_run import RecipeTask
from genolm.registry import ModelBundle
from genolm.result_row import NAIVE
from genolm.tokenizer import SPECIAL_COUNT, KmerTokenizer, encode_bases

LANGUAGE_MODELS = ("bacteria-lm", "bacteria-lm-dense")
MAPPED = ("bacteria-lm", "mammal-lm")
PERPLEXITY = 15
KMERS, GENUS, FAMILY = "kmers", "genus", "family"
ONE_HOT, COUNTS = "one-hot", "kmer-counts"
TITLES = {GENUS: "Nearest other 16S gene", FAMILY: "Nearest 16S gene of another genus"}
COUNT_SIZES = (6,)
BATCH_TOKENS = 24_000
N_BOOT = 2000
SYMBOLS = ("circle", "diamond", "square", "cross")


@dataclass(frozen=True)
class Answers:
    """Whether each reference's nearest neighbour was right; ``rows`` are those that could be."""

    right: np.ndarray
    rows: np.ndarray


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
    vectors = {name: embedding_matrix(bundle) for name, bundle in bundles.items()}
    kmers, matrix = next(iter(vectors.values()))
    for name, (words, rows) in {**vectors, ONE_HOT: (kmers, np.eye(len(matrix)))}.items():
        same = same_beginning(words, rows)
        scores[name] = {"seeds": [scored({"accuracy": wilson(same.sum(), len(same))})]}
        nothing = method("One-hot vectors, which know nothing", ours=False)
        told = _own_method(bundles[name]) if name in bundles else nothing
        title = result["methods"].setdefault(name, told)["title"]
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


def cosines(rows: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows, float64."""
    wide = rows.astype(np.float64)
    wide = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return wide @ wide.T


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
    vectors = {}
    for name, maker in _makers(bundles, references["sequence"].tolist(), _seed(task)).items():
        task.say(f"16S genes: {name}")
        models = {key: item.sha256 for key, item in bundles.items()}
        facts = {"models": models, "genes": len(references), "seed": _seed(task)}
        facts["readings"] = "every first base"
        vectors[name] = store.arrays(name, facts, maker)["rows"]
    result["methods"] |= _sequence_methods(bundles)
    for protocol in (GENUS, FAMILY):
        answers = {name: neighbours(rows, lineages, protocol) for name, rows in vectors.items()}
        _add_answers(result, protocol, answers, lineages["genus"])
    first = next(iter(bundles))
    for name in (first, COUNTS):
        title = result["methods"][name]["title"]
        places = flat(centred(vectors[name]), seed=_seed(task))
        result["figures"].append(_gene_figure(name, title, lineages, places))


def distinct(references: pd.DataFrame, most: int | None) -> pd.DataFrame:
    """Return each 16S sequence once; of equal ones the first. ``most`` takes some of them, evenly."""
    found = references.drop_duplicates("sequence").reset_index(drop=True)
    if most is None or most >= len(found):
        return found
    return found.iloc[np.linspace(0, len(found) - 1, most).astype(int)].reset_index(drop=True)


def _makers(bundles: Mapping[str, ModelBundle], sequences: list[str], seed: int) -> dict[str, Any]:
    """Return a function for each way to turn sequences into vectors."""
    found: dict[str, Any] = {key: partial(_trained_states, item, sequences) for key, item in bundles.items()}
    found[NAIVE] = partial(_untrained_states, next(iter(bundles.values())), sequences, seed)
    found[COUNTS] = partial(_counts, sequences)
    return found


def _trained_states(bundle: ModelBundle, sequences: list[str]) -> dict[str, np.ndarray]:
    return {"rows": mean_states(bundle.build(), KmerTokenizer(bundle.config.tokenizer), sequences)}


def _untrained_states(bundle: ModelBundle, sequences: list[str], seed: int) -> dict[str, np.ndarray]:
    torch.manual_seed(seed)
    tokenizer = KmerTokenizer(bundle.config.tokenizer)
    model = LanguageModel(bundle.config.encoder, tokenizer.vocab_size).eval()
    return {"rows": mean_states(model, tokenizer, sequences)}


def _counts(sequences: list[str]) -> dict[str, np.ndarray]:
    """Return the share of each k-mer in each sequence."""
    counts = kmer_counts(sequences, COUNT_SIZES).toarray().astype(np.float32)
    return {"rows": counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)}


def mean_states(model: LanguageModel, tokenizer: KmerTokenizer, sequences: Sequence[str]) -> np.ndarray:
    """Return the mean hidden state of each sequence, float32 (sequences, width).

    Where k-mers stand side by side, it is the mean over readings from each of the first bases on: genes begin
    at different places, and other k-mers are read with each.
    """
    codes = [encode_bases(item) for item in sequences]
    readings = [[item[first:] for item in codes] for first in range(tokenizer.stride)]
    return np.mean([_read_from(model, tokenizer, reading) for reading in readings], axis=0)


def _read_from(model: LanguageModel, tokenizer: KmerTokenizer, codes: Sequence[np.ndarray]) -> np.ndarray:
    encoded = [tokenizer.encode(item) for item in codes]
    order = np.argsort([len(item) for item in encoded], kind="stable")
    size = max(1, BATCH_TOKENS // (1 + max(len(item) for item in encoded)))
    found = np.empty((len(encoded), model.encoder.config.emb), dtype=np.float32)
    dtype = genolm.compute.pick_dtype("auto", torch.device("cpu"))
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            tokens, lengths = pack([encoded[row] for row in rows])
            hidden = model.encoder(tokens).hidden.float()
            real = torch.arange(hidden.shape[1])[None, :] < lengths[:, None]
            found[rows] = ((hidden * real[:, :, None]).sum(1) / lengths[:, None]).numpy()
    return found


def centred(rows: np.ndarray) -> np.ndarray:
    """Return the rows without their mean, which is what all of them have in common."""
    return rows - rows.mean(axis=0)


def neighbours(rows: np.ndarray, lineages: pd.DataFrame, level: str) -> Answers:
    """Look up nearest neighbours.

    Parameters
    ----------
    rows : np.ndarray
        A vector for each reference.
    lineages : DataFrame
        Columns ``family`` and ``genus``.
    level : {"genus", "family"}
        "family" passes over references of the same genus. References that have no other of the level to be
        found are not asked.
    """
    likeness = cosines(centred(rows))
    genus, group = (pd.factorize(lineages[key])[0] for key in ("genus", level))
    barred = np.eye(len(rows), dtype=bool) if level == GENUS else genus[:, None] == genus
    likeness[barred] = -np.inf
    asked = np.flatnonzero(((group[:, None] == group) & ~barred).any(axis=1))
    nearest = likeness[asked].argmax(axis=1)
    return Answers((group[nearest] == group[asked]).astype(float), asked)


def _sequence_methods(bundles: Mapping[str, ModelBundle]) -> dict[str, Any]:
    words = "-mers and ".join(map(str, COUNT_SIZES))
    return {name: _own_method(item) for name, item in bundles.items()} | {
        NAIVE: _own_method(next(iter(bundles.values())), "The same network before training"),
        COUNTS: method(f"Counts of {words}-mers", ours=False),
    }


def _own_method(bundle: ModelBundle, title: str = "") -> dict[str, Any]:
    """Return what a result says of a network of ours; those of equal ``network`` are held side by side."""
    network = network_words(bundle.config.tokenizer, bundle.config.encoder)
    return {**method(title or bundle.config.title), "network": network}


def _add_answers(
    result: dict[str, Any], protocol: str, answers: Mapping[str, Answers], genera: pd.Series
) -> None:
    """Add the share of right neighbours of each method and the first one's lead; genera are drawn."""
    rows = next(iter(answers.values())).rows
    owners, names = pd.factorize(genera.iloc[rows])
    result["protocols"][protocol] = {"title": TITLES[protocol], "rows": {"test": len(rows)}}
    statistics = {name: _share(item.right, owners, len(names)) for name, item in answers.items()}
    result["scores"][protocol] = {
        name: {"seeds": [scored(bootstrap(item, len(names), N_BOOT, 1))]} for name, item in statistics.items()
    }
    first, *others = statistics
    for other in others:
        found = paired_bootstrap(statistics[first], statistics[other], len(names), n_boot=N_BOOT)["accuracy"]
        change = found.difference.as_dict()
        result["differences"].append(difference((protocol, first, other), "accuracy", change, found.p))


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
