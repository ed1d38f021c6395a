"""Genes of bacteria and archaea found in the sequence itself, by pyrodigal (an optional library).

Prodigal (Hyatt et al. 2010, doi:10.1186/1471-2105-11-119) in Pyrodigal (Larralde 2022,
doi:10.21105/joss.04296). A contig is read in blocks that overlap by more than the longest gene is long, and a
gene belongs to the block that holds its middle; so memory stays flat, and on a circular contig genes over the
origin are found as any other.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, Protocol

import pandas as pd

from genolm.compute import thread_budget
from genolm.errors import SettingsError
from genolm.genbank import FEATURE_COLUMNS
from genolm.progress import ProgressCallback, Ticker
from genolm.regions import Contigs

BLOCK_BASES = 1_000_000
OVERLAP_BASES = 30_000
TRAINING_BASES = 2_000_000
LONGEST_BACTERIAL = 20_000_000
_LEAST_TRAINING = 100_000
_LEAST_CONTIG = 20_000
_USUAL_CODING = 0.5


class Genome(Contigs, Protocol):
    """What is needed of a genome: lengths, topology ("linear" or "circular") and any piece of a contig."""

    @property
    def topology(self) -> Mapping[str, str]:
        """Topology of each contig."""
        ...


class _Block(NamedTuple):
    """Genes are looked for in [left, right) of a contig and kept if their middle lies in [start, end)."""

    contig: str
    start: int
    end: int
    left: int
    right: int


def predict_genes(
    genome: Genome,
    *,
    translation_table: int = 11,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> pd.DataFrame:
    """Find the genes of a bacterial or archaeal genome.

    Parameters
    ----------
    genome : Genome
    translation_table : int
        Genetic code, 11 for most bacteria and 4 for Mycoplasma; not used where contigs are short.
    threads : int, optional
        See :func:`genolm.compute.thread_budget`.
    progress : callable, optional
        Told of finished bases.

    Returns
    -------
    pd.DataFrame
        ``contig, start, end, strand, name, kind`` in the order of the contigs; names are the contig's with
        a number. The kind is "CDS", or "partial CDS" for a gene whose 5' end lies beyond the contig's end.
        ``attrs["notes"]`` says how they were found and whether they look like those of a bacterium.

    Raises
    ------
    SettingsError
        Where pyrodigal is not installed, or a contig is too long to be a bacterium's.

    Notes
    -----
    Where contigs of 20,000 bp or more hold 100,000 bp in all, what a gene looks like is learned from up to
    2,000,000 bp of them; else from the ready-made profiles of Prodigal's metagenomic mode.
    """
    library = _library()
    _refuse_others(genome)
    sample = list(_training_pieces(genome))
    trained = sum(len(piece) for piece in sample) >= _LEAST_TRAINING
    finder = library.GeneFinder(meta=not trained, mask=True)
    if trained:
        finder.train(*sample, translation_table=translation_table)
    ticker = Ticker(progress, sum(genome.contigs.values()), stage="finding genes")
    rows = _all_genes(genome, finder, thread_budget(threads), ticker)
    table = pd.DataFrame(rows, columns=list(FEATURE_COLUMNS)).astype(FEATURE_COLUMNS)
    table.attrs["notes"] = _notes(table, genome, library.__version__, trained)
    return table


def _library() -> Any:
    try:
        import pyrodigal
    except ImportError as error:
        raise SettingsError(
            "Genes cannot be predicted, for pyrodigal is not installed; install it with "
            "'pip install pyrodigal', or give a GFF3 or GenBank file of genes."
        ) from error
    return pyrodigal


def _refuse_others(genome: Genome) -> None:
    name = max(genome.contigs, key=lambda contig: genome.contigs[contig], default=None)
    if name is not None and genome.contigs[name] > LONGEST_BACTERIAL:
        raise SettingsError(
            f"Contig {name} has {genome.contigs[name]:,} bp, more than any bacterium or archaeon, and only "
            "their genes (without introns) can be predicted; give a GFF3 or GenBank file of genes instead."
        )


def _training_pieces(genome: Genome) -> Iterator[str]:
    """Yield pieces to learn from, of the longest contigs first."""
    left = TRAINING_BASES
    for contig, size in sorted(genome.contigs.items(), key=lambda item: -item[1]):
        if size < _LEAST_CONTIG or left < _LEAST_CONTIG:
            return
        yield genome.fetch(contig, 0, min(size, left)).upper()
        left -= min(size, left)


def _blocks(genome: Genome) -> Iterator[_Block]:
    for contig, size in genome.contigs.items():
        circular = genome.topology.get(contig) == "circular"
        reach = min(OVERLAP_BASES, size)
        for start in range(0, size, BLOCK_BASES):
            end = min(start + BLOCK_BASES, size)
            left, right = start - reach, end + reach
            if not circular:
                left, right = max(0, left), min(size, right)
            yield _Block(contig, start, end, left, right)


def _all_genes(genome: Genome, finder: Any, threads: int, ticker: Ticker) -> list[tuple[Any, ...]]:
    """Return the genes as rows of the table; only as many blocks as threads are in memory."""
    rows: list[tuple[Any, ...]] = []
    numbers: dict[str, int] = {}
    stops: set[tuple[str, str, int]] = set()
    blocks = _blocks(genome)
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(blocks, threads)):
            letters = [genome.fetch(block.contig, block.left, block.right).upper() for block in some]
            for block, genes in zip(some, pool.map(finder.find_genes, letters), strict=True):
                for start, end, strand, kind in sorted(_kept(genes, block, genome)):
                    stop = (block.contig, strand, end if strand == "+" else start)
                    if stop in stops:
                        # Two blocks took different starts for it, one on either side of the border.
                        continue
                    stops.add(stop)
                    number = numbers[block.contig] = numbers.get(block.contig, 0) + 1
                    rows.append((block.contig, start, end, strand, f"{block.contig}_{number}", kind))
                ticker.advance(block.end - block.start)
    return rows


def _kept(genes: Any, block: _Block, genome: Genome) -> Iterator[tuple[int, int, str, str]]:
    """Yield start, end, strand and kind of the genes whose middle is the block's own."""
    size = genome.contigs[block.contig]
    for gene in genes:
        start, end = block.left + gene.begin - 1, block.left + gene.end
        if block.start <= (start + end) // 2 < block.end:
            open_end = gene.partial_begin if gene.strand > 0 else gene.partial_end
            first = start % size
            strand = "+" if gene.strand > 0 else "-"
            yield first, first + end - start, strand, "partial CDS" if open_end else "CDS"


def _notes(table: pd.DataFrame, genome: Genome, version: str, trained: bool) -> list[str]:
    how = "trained on this genome" if trained else "with ready-made profiles, for the contigs are short"
    notes = [f"{len(table):,} genes were predicted by pyrodigal {version}, {how}."]
    bases = sum(genome.contigs.values())
    coding = float((table["end"] - table["start"]).sum()) / bases if bases else 0.0
    if coding < _USUAL_CODING and bases >= _LEAST_TRAINING:
        notes.append(
            f"They cover {coding:.0%} of the genome, where bacteria have 80 to 90 %: this may not be a "
            "bacterium, and the genes may be wrong."
        )
    return notes
