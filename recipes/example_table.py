"""Make the worked example for training on a table of one's own, and the template to fill in.

    python recipes/example_table.py --out assets/samples

The answer is known. Every sequence labelled ``site`` holds one copy of a binding site, TGTGA, six free bases,
TCACA (the shape of a CRP site; at most one of its ten fixed bases is changed), at a random place of 120 bp.
Every sequence labelled ``no site`` has the letters of one of those in a random order, so that length and GC
content tell nothing. Four founders of ten have relatives, three of every hundred of whose bases outside the site
are changed, as related genomes have them: a random split puts relatives of test rows into training, a split by
similarity cluster does not. The name of each row says where its site begins, from base 1.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from common import write_table

LENGTH, PAIRS = 120, 400
SITE = "TGTGANNNNNNTCACA"
FAMILIES, FAMILY_SIZES, CHANGED = 0.4, (2, 3, 4), 0.03
TABLE, TEMPLATE = "example_table.csv.gz", "template_table.csv"
TEMPLATE_ROWS = """sequence,label,split,group,name
TTGACAATTAATCATCGGCTCGTATAATGTGTGG,promoter,train,genome A,first example
GCTAGGCTTACGATCCGTAAGGCTTAGCTTAACG,other,train,genome A,second example
TTGACGGCTAGCTCAGTCCTAGGTACAGTGCTAG,promoter,valid,genome B,third example
CCGATTAGCGGATACCTTAGGCAATCGGTTAGCA,other,test,genome C,fourth example
"""
_LETTERS = np.array(list("ACGT"))


def founder(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return the letters of a sequence with a site, and where that begins (0-based)."""
    gc = rng.uniform(0.35, 0.6)
    letters = rng.choice(_LETTERS, LENGTH, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2])
    start = int(rng.integers(0, LENGTH - len(SITE) + 1))
    fixed = np.array([place for place, letter in enumerate(SITE) if letter != "N"])
    letters[start + fixed] = [SITE[place] for place in fixed]
    if rng.random() < 0.5:
        letters[start + rng.choice(fixed)] = rng.choice(_LETTERS)
    return letters, start


def relative(letters: np.ndarray, kept: slice, rng: np.random.Generator) -> np.ndarray:
    """Return a copy with some bases changed, none of those ``kept``."""
    changed = rng.random(LENGTH) < CHANGED
    changed[kept] = False
    copy = letters.copy()
    copy[changed] = rng.choice(_LETTERS, int(changed.sum()))
    return copy


def families(rng: np.random.Generator) -> Iterator[tuple[int, str, np.ndarray, int]]:
    """Yield (family, label, letters, start of the site) until there are enough rows of both labels."""
    made, family = 0, 0
    while made < PAIRS:
        first, start = founder(rng)
        shuffled = rng.permutation(first)
        size = int(rng.choice(FAMILY_SIZES)) if rng.random() < FAMILIES else 1
        for member in range(min(size, PAIRS - made)):
            site = slice(start, start + len(SITE))
            yield family, "site", first if not member else relative(first, site, rng), start
            yield family, "no site", shuffled if not member else relative(shuffled, slice(0), rng), -1
            made += 1
        family += 1


def example(seed: int = 1) -> pd.DataFrame:
    """Return the table: sequence, label, name."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, (family, label, letters, start) in enumerate(families(rng), start=1):
        place = f"site at {start + 1}" if start >= 0 else "shuffled"
        rows.append(("".join(letters), label, f"{number:03} family {family} {place}"))
    table = pd.DataFrame(rows, columns=["sequence", "label", "name"])
    return table.iloc[rng.permutation(len(table))]


def main() -> None:
    """Write table and template."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write_table(example(options.seed), options.out / TABLE)
    (options.out / TEMPLATE).write_text(TEMPLATE_ROWS)


if __name__ == "__main__":
    main()
