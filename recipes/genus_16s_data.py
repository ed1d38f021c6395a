"""16S genus from reads, held out by reference: the table for ``genolm finetune``.

    python recipes/genus_16s_data.py --data DATA --out FOLDER

Writes ``genus_16s.csv.gz`` with ``sequence,label,split,group,name``: V3-V4 amplicon reads of 1,000 references
(100 genera of Proteobacteria, ten references each), simulated with Grinder. Reads of one reference are nearly
equal, so whole references are held out, one of each genus for validation and two for the test, and references
of equal sequence stay together. ``--by-read`` splits reads at random, as was published, for comparison.
"""

import argparse
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from common import sha256, source_file, write_record, write_table

from genolm.sequences import open_fasta

REFERENCES, READS = "16S/1000seq.fasta.gz", "16S/amplicon_reads_regenerated.fa.gz"
SHARES = {"test": 2, "valid": 1}
_REFERENCE = re.compile(r"reference=(\S+)")


def read_references(path: Path) -> pd.DataFrame:
    """Return ``reference, genus, sequence`` of every 16S reference."""
    with open_fasta(path) as genome:
        rows = [(item.name, item.description.split()[-1], item.sequence.upper()) for item in genome.records()]
    return pd.DataFrame(rows, columns=["reference", "genus", "sequence"])


def split_references(references: pd.DataFrame, seed: int) -> pd.Series:
    """Return each reference's split: per genus two for the test and one for validation.

    Equal sequences stay together, and a group of them counts as one.
    """
    rng = np.random.default_rng(seed)
    split = pd.Series("train", index=references["reference"])
    for _, genus in references.groupby("genus"):
        groups = [part["reference"].tolist() for _, part in genus.groupby("sequence")]
        order = rng.permutation(len(groups))
        first = 0
        for name, count in SHARES.items():
            for index in order[first : first + count] if len(groups) > sum(SHARES.values()) else []:
                split[groups[index]] = name
            first += count
    return split


def build(data: Path, *, per_reference: int, by_read: bool, seed: int) -> pd.DataFrame:
    """Return the table, with at most ``per_reference`` reads of each reference."""
    references = read_references(source_file(data, REFERENCES)).set_index("reference", drop=False)
    split = split_references(references, seed)
    with open_fasta(source_file(data, READS)) as genome:
        rows = [
            (item.sequence, _REFERENCE.search(item.description).group(1), item.name) for item in genome.records()
        ]
    table = pd.DataFrame(rows, columns=["sequence", "group", "name"])
    table = table[table.groupby("group").cumcount() < per_reference].reset_index(drop=True)
    table["label"] = references["genus"].loc[table["group"]].to_numpy()
    table["split"] = split.loc[table["group"]].to_numpy()
    if by_read:
        table["split"] = np.random.default_rng(seed).permutation(table["split"].to_numpy())
    return table[["sequence", "label", "split", "group", "name"]]


def main(arguments: list[str]) -> None:
    """Read the command line and write the table and its record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {READS}")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--per-reference", type=int, default=10, help="reads of each reference, at most")
    parser.add_argument("--by-read", action="store_true", help="split reads at random, for comparison")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    table = build(
        options.data, per_reference=options.per_reference, by_read=options.by_read, seed=options.seed
    )
    digest = write_table(table, options.out / "genus_16s.csv.gz")
    counts = table["split"].value_counts().to_dict()
    sources = {name: sha256(source_file(options.data, name)) for name in (REFERENCES, READS)}
    write_record(
        options.out / "genus_16s.json",
        {"sources": sources, "table_sha256": digest, "rows": counts, "genera": int(table["label"].nunique())},
    )
    print(f"{len(table)} reads of {table['label'].nunique()} genera: {counts}")


if __name__ == "__main__":
    main(sys.argv[1:])
