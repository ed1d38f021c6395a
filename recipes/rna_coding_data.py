"""Coding or not: the tables of ``rna-coding.toml``, from human and mouse transcripts.

Human transcripts are those of CPAT (Wang et al. 2013, doi:10.1093/nar/gkt006), cleaned of copies that stood
in both its training and test files. Training takes transcripts of 200 to 1,500 bp and the test those up to
3,000; the longer ones are left out and counted. Non-coding transcripts are shorter on the whole, so the
training sample has equally many of both classes in each fifth of all lengths.

``published`` keeps CPAT's own training and test files. ``strict`` takes the transcripts of both, holds out
whole chromosomes, leaves out what resembles a held-out transcript from elsewhere, and matches the test in
length too. ``mouse`` trains on the same rows as ``strict`` and is tested on mouse transcripts of DeepLnc-CNN
(GENCODE). ``large`` and ``large_mouse`` have the tests of these two, and learn from transcripts of up to 3,000 bp as
well, twice as many.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import source_file
from table_parts import hashes_of, keep_apart, resembling, save_protocol, with_valid

from genolm.bootstrap import Estimate, Groups, taken
from genolm.errors import GenolmError
from genolm.metrics import binary_metrics
from genolm.reading_frames import longest_frame
from genolm.sequences import open_fasta

HUMAN = "rna_coding/cpat_human.csv.gz"
MOUSE = {
    "rna_coding/deeplnc_mouse/test_Mouse_positive.fa.gz": "noncoding",
    "rna_coding/deeplnc_mouse/test_Mouse_negative.fa.gz": "coding",
}
TEST_CHROMOSOMES = ("1", "3", "5", "7", "9", "11")
VALID_CHROMOSOMES = ("2", "10")
FIFTHS = 5
VALID_SHARE = 0.1
MORE = 2
SHORT_FRAME = 300
"""Bases of 100 codons, below which a reading frame says little."""
_PLACE = re.compile(r"(\S+) range=chr([^:_\s]+)(\S*)")


class Limits(NamedTuple):
    """Lengths in bp, and rows."""

    rows: int = 4_800
    test_rows: int = 2_000
    shortest: int = 200
    longest: int = 1_500
    longest_test: int = 3_000

    def larger(self) -> "Limits":
        """Return limits with transcripts as long as those of the test to learn from, and so many times the rows."""
        return self._replace(longest=self.longest_test, rows=MORE * self.rows)

    def pool(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows whose length allows their part, each sequence once."""
        longest = np.where(table["split"] == "test", self.longest_test, self.longest)
        lengths = table["sequence"].str.len()
        return table[(lengths >= self.shortest) & (lengths <= longest)].drop_duplicates("sequence")


def read_human(path: Path) -> pd.DataFrame:
    """Return the transcripts with their short names; ``group`` is the chromosome."""
    table = pd.read_csv(path, dtype=str)
    places = [_PLACE.search(name) for name in table["name"]]
    if not all(places):
        row = places.index(None) + 2
        raise GenolmError(f"{path}: row {row} has a name without range=chr…; it needs its place.")
    table["group"] = [place[2] for place in places]
    table["name"] = [f"{place[1].split('_', 4)[-1]} chr{place[2]}{place[3]}" for place in places]
    table["sequence"] = table["sequence"].str.upper()
    return table


def read_mouse(data: Path) -> pd.DataFrame:
    """Return the mouse transcripts, all of them test rows; ``group`` is mouse."""
    rows = []
    for name, label in MOUSE.items():
        with open_fasta(source_file(data, name)) as found:
            rows += [(item.name.split("|")[0], item.sequence.upper(), label) for item in found.records()]
    return pd.DataFrame(rows, columns=["name", "sequence", "label"]).assign(split="test", group="mouse")


def matched(pool: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return about ``rows`` rows with equally many of each class in each fifth of all lengths."""
    names = sorted(pool["label"].unique())
    fifth = pd.qcut(pool["sequence"].str.len(), FIFTHS, labels=False, duplicates="drop")
    wanted, parts = rows // (FIFTHS * len(names)), []
    for _, own in pool.groupby(fifth):
        counts = own["label"].value_counts().reindex(names, fill_value=0)
        parts.append(own.groupby("label").sample(min(wanted, int(counts.min())), random_state=seed))
    return pd.concat(parts).sort_index()


def balanced(pool: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return up to ``rows`` rows, as many of one class as of the other."""
    size = min(rows // 2, int(pool["label"].value_counts().min()))
    return pool.groupby("label").sample(size, random_state=seed).sort_index()


def published(pool: pd.DataFrame, limits: Limits, seed: int) -> pd.DataFrame:
    """Return a sample of the training and the test file; a random tenth of the former is for validation."""
    train = matched(pool[pool["split"] == "train"], limits.rows, seed)
    test = balanced(pool[pool["split"] == "test"], limits.test_rows, seed)
    return with_valid(pd.concat([train, test]), share=VALID_SHARE, seed=seed)


def placed(human: pd.DataFrame) -> pd.DataFrame:
    """Return all transcripts of both files with the part of their chromosome as ``split``."""
    parts = {name: "test" for name in TEST_CHROMOSOMES} | {name: "valid" for name in VALID_CHROMOSOMES}
    return human.assign(split=human["group"].map(parts).fillna("train"))


def by_chromosome(pool: pd.DataFrame, limits: Limits, seed: int) -> pd.DataFrame:
    """Return a sample of :func:`placed` transcripts, each part matched in length."""
    valid_rows = int(limits.rows * VALID_SHARE)
    sizes = {"train": limits.rows - valid_rows, "valid": valid_rows, "test": limits.test_rows}
    parts = [matched(pool[pool["split"] == part], size, seed) for part, size in sizes.items()]
    return pd.concat(parts, ignore_index=True)


def tables(data: Path, out: Path, *, seed: int = 1, **limits: int) -> dict[str, Path]:
    """Write the table of each protocol; ``limits`` are those of :class:`Limits`."""
    bounds = Limits(**limits)
    human, mouse = read_human(source_file(data, HUMAN)), read_mouse(data)
    carried, apart, other = (bounds.pool(table) for table in (human, placed(human), mouse))
    strict, dropped = keep_apart(by_chromosome(apart, bounds, seed))
    abroad, both = balanced(other, bounds.test_rows, seed), pd.concat([human, mouse])
    longer = bounds.larger().pool(placed(human))
    large, without = keep_apart(with_test_of(strict, by_chromosome(longer, bounds.larger(), seed)))
    made = {
        "published": (published(carried, bounds, seed), {}, (human, carried)),
        "strict": (strict, dropped, (human, apart)),
        "mouse": (with_test_of(abroad, strict), dropped, (both, pd.concat([apart, other]))),
        "large": (large, without, (human, longer)),
        "large_mouse": (with_test_of(abroad, large), without, (both, pd.concat([longer, other]))),
    }
    facts = {"limits": bounds._asdict(), "sources": hashes_of(data, [HUMAN, *MOUSE]), "seed": seed}
    return {
        protocol: save_protocol(out, protocol, table, {**counts_of(table, left_out, *pools), **facts})
        for protocol, (table, left_out, pools) in made.items()
    }


def with_test_of(tested: pd.DataFrame, taught: pd.DataFrame) -> pd.DataFrame:
    """Return the training and validation rows of one table with the test rows of another."""
    parts = [taught[taught["split"] != "test"], tested[tested["split"] == "test"]]
    return pd.concat(parts, ignore_index=True)


def counts_of(
    table: pd.DataFrame, dropped: Mapping[str, int], whole: pd.DataFrame, pool: pd.DataFrame
) -> dict[str, Any]:
    """Return what was left out of all rows and why, what resembles training, and the hard test rows."""
    test = table[table["split"] == "test"]
    hard = test.loc[is_hard(test), "label"].value_counts()
    return {
        "left_out": {
            **dropped,
            "other_lengths_or_copies": len(whole) - len(pool),
            "not_drawn": len(pool) - len(table) - sum(dropped.values()),
        },
        "similar": resembling(table),
        "hard": {label: int(hard.get(label, 0)) for label in ("coding", "noncoding")},
    }


def is_hard(rows: pd.DataFrame) -> np.ndarray:
    """Return which rows look like the other class: coding with a short frame, non-coding with a long one."""
    long = np.array([longest_frame(sequence).length >= SHORT_FRAME for sequence in rows["sequence"]], dtype=bool)
    return long != (rows["label"] == "coding").to_numpy()


def judge(
    rows: pd.DataFrame, probabilities: np.ndarray, classes: tuple[str, ...], *, groups: Groups | None = None
) -> dict[str, Estimate]:
    """Return ``accuracy_hard`` and ``mcc_hard``, of the rows of :func:`is_hard`, called at 0.5."""
    hard = is_hard(rows)
    if not hard.any():
        return {}
    truth = (rows["label"] == classes[1]).to_numpy()[hard]
    found = binary_metrics(probabilities[hard, 1], truth, groups=taken(groups, hard))
    return {f"{name}_hard": found[name] for name in ("accuracy", "mcc")}
