"""What the rule of slots goes by: how strong a common site is, and what telling places apart is worth.

    python benchmarks/sites.py TABLE
    python benchmarks/sites.py TABLE --rows 50 200 900 --base bacteria-lm --epochs 6
    python benchmarks/sites.py TABLE --rows 7420 --draws 1 --base bacteria-lm --epochs 2 --lr 0.02 --drop-mult 0.1

TABLE is a labelled table with a column ``split``, as the recipes write it; all sequences have one length. For each
number of rows, drawn from the training rows, this tells ``genolm.common_site.site_strength`` of the rows and of the
same rows each turned by a number of bases of its own, which leaves no place in common. With ``--base`` it also trains
with and without places (``genolm.pooling``) on each draw, steered by a fifth as many of the table's validation rows,
and tells the loss, and the share told right, on other validation rows and on training rows that were not drawn (with
``--held-out`` on validation rows alone), ``--judged`` at most. The test rows are not read.
"""

import argparse
import tempfile
from pathlib import Path

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
import numpy as np
import pandas as pd

from genolm.common_site import site_strength
from genolm.config import FinetuneSettings
from genolm.finetuning import finetune
from genolm.metrics import log_loss
from genolm.plans import SLOTS
from genolm.predict import Predictor
from genolm.registry import load_bundle
from genolm.table_split import table_clusters

LEAST_VALID = 10


def turned(sequences: list[str], rng: np.random.Generator) -> list[str]:
    """Return sequences each turned by a number of bases of its own, the end joined to the beginning."""
    return [text[first:] + text[:first] for text in sequences for first in [int(rng.integers(len(text)))]]


def judge(rows: pd.DataFrame, judged: pd.DataFrame, slots: int, options: argparse.Namespace) -> tuple[float, float]:
    """Return the mean cross entropy of ``judged``, and the share told right, after training on ``rows``."""
    names = ("epochs", "lr", "drop_mult", "trimmed")
    settings = FinetuneSettings(slots=slots, seed=1, **{name: getattr(options, name) for name in names})
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.csv"
        rows.to_csv(table, index=False)
        made = finetune(table, options.base, "sites", settings=settings, out_dir=Path(folder) / "sites")
        predictor = Predictor(load_bundle(made))
    chances = predictor.probabilities(predictor.logits(judged["sequence"].tolist()))
    codes = judged["label"].map(predictor.head.classes.index).to_numpy()
    return log_loss(chances, codes), float((chances.argmax(axis=1) == codes).mean())


def main() -> None:
    """Measure and print a line for each draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[50, 100, 200, 500, 900])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--base", help="language model to train from; without it nothing is trained")
    parser.add_argument("--epochs", type=int, help="passes; by default as many as the plan finds")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--drop-mult", type=float)
    parser.add_argument("--trimmed", action="store_true")
    parser.add_argument("--judged", type=int, default=1000)
    parser.add_argument("--held-out", action="store_true", help="judge by validation rows alone")
    options = parser.parse_args()
    table = pd.read_csv(options.table, dtype=str, keep_default_na=False)[["sequence", "label", "split"]]
    if table["sequence"].str.len().nunique() != 1:
        raise SystemExit(f"{options.table}: the sequences are not of one length.")
    train, valid = (table[table["split"] == part].sample(frac=1, random_state=1) for part in ("train", "valid"))
    learned = "    no places (right)       places (right)" if options.base else ""
    print(f"{'rows':>6} {'draw':>4} {'site':>6} {'turned':>6}{learned}")
    for count in options.rows:
        for draw in range(1, options.draws + 1):
            rng = np.random.default_rng([draw, count])
            order = rng.permutation(len(train))
            own, rest = train.iloc[order[:count]], train.iloc[order[count:]]
            texts, classes = own["sequence"].tolist(), pd.factorize(own["label"])[0]
            strengths = [site_strength(item, classes, table_clusters(item)) for item in (texts, turned(texts, rng))]
            line = f"{len(own):>6} {draw:>4} {strengths[0]:>6.1f} {strengths[1]:>6.1f}"
            if options.base:
                steering = max(LEAST_VALID, count // 5)
                others = valid.iloc[steering:]
                judged = (others if options.held_out else pd.concat([others, rest])).iloc[: options.judged]
                rows = pd.concat([own, valid.iloc[:steering]])
                for slots in (0, SLOTS):
                    found, right = judge(rows, judged, slots, options)
                    line += f" {found:>12.4f} ({right:.3f})"
            print(line, flush=True)


if __name__ == "__main__":
    main()
