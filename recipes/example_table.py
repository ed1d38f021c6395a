"""Make the worked example for training on a table of one's own, and the template to fill in.

    python recipes/example_table.py --genome assets/samples/ecoli_k12_mg1655.fa.gz --out assets/samples

The answer is known. Every sequence labelled ``natural`` is a piece of 150 bp of the genome of E. coli, from
either strand. Every sequence labelled ``made up`` has the letters of such a piece in another order that keeps
each count of two neighbouring letters, so that length and GC content tell nothing and short words little. Four
founders of ten have relatives, three of every hundred of whose bases are changed, as related genomes have them:
a random split puts relatives of test rows into training, a split by similarity cluster does not. The name of each
row says where its piece stands in the genome, from base 1.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from common import dinucleotide_shuffle, write_table

from genolm.sequences import open_fasta, reverse_complement

LENGTH, PAIRS = 150, 400
FAMILIES, FAMILY_SIZES, CHANGED = 0.4, (2, 3, 4), 0.03
TABLE, TEMPLATE = "example_table.csv.gz", "template_table.csv"
TEMPLATE_ROWS = """sequence,label,split,group,name
TTGACAATTAATCATCGGCTCGTATAATGTGTGG,promoter,train,genome A,first example
GCTAGGCTTACGATCCGTAAGGCTTAGCTTAACG,other,train,genome A,second example
TTGACGGCTAGCTCAGTCCTAGGTACAGTGCTAG,promoter,valid,genome B,third example
CCGATTAGCGGATACCTTAGGCAATCGGTTAGCA,other,test,genome C,fourth example
"""
_LETTERS = np.array(list("ACGT"))


def founders(genome: str, rng: np.random.Generator) -> Iterator[tuple[str, int]]:
    """Yield pieces of a genome that do not overlap, each from a random strand, and where they begin (0-based)."""
    for place in rng.permutation(len(genome) // LENGTH).tolist():
        piece = genome[place * LENGTH : (place + 1) * LENGTH]
        yield piece if rng.random() < 0.5 else reverse_complement(piece), place * LENGTH


def relative(letters: str, rng: np.random.Generator) -> str:
    """Return a copy with some bases changed."""
    copy = np.array(list(letters))
    changed = rng.random(LENGTH) < CHANGED
    copy[changed] = rng.choice(_LETTERS, int(changed.sum()))
    return "".join(copy)


def families(genome: str, rng: np.random.Generator) -> Iterator[tuple[int, str, str, int]]:
    """Yield (family, label, letters, start of the piece) until there are enough rows of both labels."""
    made = 0
    for family, (piece, start) in enumerate(founders(genome, rng)):
        other = dinucleotide_shuffle(piece, rng)
        size = int(rng.choice(FAMILY_SIZES)) if rng.random() < FAMILIES else 1
        for member in range(min(size, PAIRS - made)):
            yield family, "natural", relative(piece, rng) if member else piece, start
            yield family, "made up", relative(other, rng) if member else other, start
            made += 1
        if made == PAIRS:
            return


def example(genome: str, seed: int = 1) -> pd.DataFrame:
    """Return the table: sequence, label, name."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, (family, label, letters, start) in enumerate(families(genome, rng), start=1):
        rows.append((letters, label, f"{number:03} family {family} from base {start + 1}"))
    table = pd.DataFrame(rows, columns=["sequence", "label", "name"])
    return table.iloc[rng.permutation(len(table))]


def read_genome(path: Path) -> str:
    """Return the first record of a FASTA file in upper case."""
    with open_fasta(path) as genome:
        return next(iter(genome.records())).sequence.upper()


def main() -> None:
    """Write table and template."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--genome", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write_table(example(read_genome(options.genome), options.seed), options.out / TABLE)
    (options.out / TEMPLATE).write_text(TEMPLATE_ROWS)


if __name__ == "__main__":
    main()
