"""What the rule of few windows goes by: how strong a common site is, and what telling places apart is worth.

    python benchmarks/sites.py TABLE
    python benchmarks/sites.py TABLE --rows 50 200 900 --base bacteria-lm --epochs 6

TABLE is a labelled table with a column ``split``, as the recipes write it; all sequences have one length. For each
number of rows, drawn from the training rows, this tells ``genolm.common_site.site_strength`` of the rows and of the
same rows each turned by a number of bases of its own, which leaves no place in common. With ``--base`` it also trains
with and without places (``genolm.pooling``) on each draw, steered by a fifth as many of the table's validation rows,
and tells the loss on other validation rows and on training rows that were not drawn, ``--judged`` at most. The test
rows are not read.
"""

import argparse
import tempfile
from pathlib import Path
from unittest import mock

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import pandas as pd

from genolm import plans
from genolm.common_site import site_strength
from genolm.config import FinetuneSettings
from genolm.finetuning import finetune
from genolm.metrics import log_loss
from genolm.predict import Predictor
from genolm.registry import load_bundle

NO_PLACES, PLACES = np.inf, -np.inf
"""Least strength of a site with which no table has places, and with which each has."""
LEAST_VALID = 10


def turned(sequences: list[str], rng: np.random.Generator) -> list[str]:
    """Return sequences each turned by a number of bases of its own, the end joined to the beginning."""
    return [text[first:] + text[:first] for text in sequences for first in [int(rng.integers(len(text)))]]


def loss(rows: pd.DataFrame, judged: pd.DataFrame, least: float, options: argparse.Namespace) -> float:
    """Return the mean cross entropy of ``judged`` after training on ``rows``, with places from ``least`` on."""
    settings = FinetuneSettings(epochs=options.epochs, seed=1)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(plans, "COMMON_SITE", least):
        table = Path(folder) / "rows.csv"
        rows.to_csv(table, index=False)
        made = finetune(table, options.base, "sites", settings=settings, out_dir=Path(folder) / "sites")
        predictor = Predictor(load_bundle(made))
    chances = predictor.probabilities(predictor.logits(judged["sequence"].tolist()))
    codes = judged["label"].map(predictor.head.classes.index).to_numpy()
    return log_loss(chances, codes)


def main() -> None:
    """Measure and print a line for each draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[50, 100, 200, 500, 900])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--base", help="language model to train from; without it nothing is trained")
    parser.add_argument("--epochs", type=int, help="passes; by default as many as the plan finds")
    parser.add_argument("--judged", type=int, default=1000)
    options = parser.parse_args()
    if options.base and max(options.rows) >= plans.ALIGNED_ROWS:
        parser.error(f"--base: from {plans.ALIGNED_ROWS} rows on places are told apart in any case.")
    table = pd.read_csv(options.table, dtype=str, keep_default_na=False)[["sequence", "label", "split"]]
    if table["sequence"].str.len().nunique() != 1:
        raise SystemExit(f"{options.table}: the sequences are not of one length.")
    train, valid = (table[table["split"] == part].sample(frac=1, random_state=1) for part in ("train", "valid"))
    print(f"{'rows':>6} {'draw':>4} {'site':>6} {'turned':>6}" + ("  no places    places" if options.base else ""))
    for count in options.rows:
        for draw in range(1, options.draws + 1):
            rng = np.random.default_rng([draw, count])
            order = rng.permutation(len(train))
            own, rest = train.iloc[order[:count]], train.iloc[order[count:]]
            texts, classes = own["sequence"].tolist(), pd.factorize(own["label"])[0]
            strengths = [site_strength(item, classes) for item in (texts, turned(texts, rng))]
            line = f"{len(own):>6} {draw:>4} {strengths[0]:>6.1f} {strengths[1]:>6.1f}"
            if options.base:
                steering = max(LEAST_VALID, count // 5)
                judged = pd.concat([valid.iloc[steering:], rest]).iloc[: options.judged]
                rows = pd.concat([own, valid.iloc[:steering]])
                line += "".join(f" {loss(rows, judged, least, options):>10.4f}" for least in (NO_PLACES, PLACES))
            print(line, flush=True)


if __name__ == "__main__":
    main()
