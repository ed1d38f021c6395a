"""Coding or not: human transcripts as a table for ``genolm finetune``.

    python recipes/rna_coding_data.py --data DATA --out FOLDER

Writes ``rna_coding.csv.gz`` with ``sequence,label,name`` from the training transcripts of CPAT (Wang et al.
2013, doi:10.1093/nar/gkt006) between ``--shortest`` and ``--longest`` bp, a random sample of ``--rows`` with as
many coding as non-coding ones. It has no split: ``genolm finetune`` then keeps transcripts that resemble each
other, such as those of one gene, on one side. Non-coding transcripts are shorter on the whole, so the sample
has equally many of both classes in each fifth of all lengths.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from common import sha256, source_file, write_record, write_table

SOURCE = "rna_coding/cpat_human.csv.gz"
WORDS = {"0": "noncoding", "1": "coding"}
FIFTHS = 5


def build(path: Path, *, rows: int, shortest: int, longest: int, seed: int) -> pd.DataFrame:
    """Return the sample, matched in length."""
    table = pd.read_csv(path, dtype=str)
    table = table[table["split"] == "train"]
    table["label"] = table["label"].map(lambda text: WORDS.get(text, text))
    lengths = table["sequence"].str.len()
    table = table[lengths.between(shortest, longest)].drop_duplicates("sequence")
    table["bin"] = pd.qcut(table["sequence"].str.len(), FIFTHS, labels=False, duplicates="drop")
    wanted = rows // (FIFTHS * len(WORDS))
    parts = []
    for _, fifth in table.groupby("bin"):
        counts = fifth["label"].value_counts().reindex(WORDS.values(), fill_value=0)
        size = min(wanted, int(counts.min()))
        parts.append(fifth.groupby("label").sample(size, random_state=seed))
    sample = pd.concat(parts).sort_index()
    return sample[["sequence", "label", "name"]].reset_index(drop=True)


def main(arguments: list[str]) -> None:
    """Read the command line and write the table and its record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {SOURCE}")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--shortest", type=int, default=200)
    parser.add_argument("--longest", type=int, default=1_500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    path = source_file(options.data, SOURCE)
    table = build(
        path, rows=options.rows, shortest=options.shortest, longest=options.longest, seed=options.seed
    )
    digest = write_table(table, options.out / "rna_coding.csv.gz")
    counts = table["label"].value_counts().to_dict()
    write_record(
        options.out / "rna_coding.json",
        {"sources": {SOURCE: sha256(path)}, "table_sha256": digest, "rows": counts},
    )
    print(f"{len(table)} transcripts: {counts}")


if __name__ == "__main__":
    main(sys.argv[1:])
