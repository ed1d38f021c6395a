r"""Make the samples of human DNA, of transcripts and of 16S reads whose answers are known.

    python recipes/samples.py --embl hum1.dat --chr22 22_20-21M.fa --chrx hs37chrXtrunc.fa.gz \
        --rrna rRNA16S.gold.fasta --out assets/samples

The four files come with Debian packages:

- ``--embl``: ``EMBOSS/test/embl/hum1.dat`` of ``emboss-test`` 6.6.0+dfsg-12, EMBL records of human DNA
- ``--chr22``: ``examples/reference/22_20-21M.fa`` of ``hisat2`` 2.2.1-4, a piece of GRCh37
- ``--chrx``: ``doc/smalt/test/data/hs37chrXtrunc.fa.gz`` of ``smalt-examples`` 0.7.6-12, the first 70 Mbp of
  chromosome X of GRCh37
- ``--rrna``: ``RESOURCES/rRNA16S.gold.fasta`` of ``microbiomeutil-data`` 20101212+dfsg1-5, 16S references

The answers are those of the sources: the features of the EMBL records say where transcription starts and what
the exons are, GENCODE 19 says it for chromosome 22, and a reference has its genus in its header. What is known
of the enhancer is in ``assets/samples/SOURCES.md``. The first records of each file have all kinds of answers in
turn, since a model's card shows what it says of those.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from Bio import SeqIO
from common import cut, open_text, window_around

from genolm.errors import GenolmError
from genolm.sequences import SequenceRecord, open_fasta, write_fasta

BEFORE, AFTER, SITE = 200, 201, 201
CHR22, CHR22_FROM = "GRCh37-chr22", 20_000_000
CHRX = "GRCh37-chrX"
PRIMER, READ = "CCTACGGGAGGCAGCAG", 233
SHUFFLED, SHUFFLED_STORY, SEED = "FOS_promoter", "the letters of FOS_promoter in random order", 1

Sources = Mapping[str, tuple[str, int]]
"""Name of a source -> its sequence and how many bases of its chromosome come before."""
Row = tuple[str, str, str, list[tuple[int, int]], str, str]

# name, kind, source, 1-based position of the site or of the middle, what it is; all on the + strand
SITES = [
    ("INSR_promoter", "promoter", "M23100", 1542, "insulin receptor, in a CpG island, no TATA box"),
    ("HBB_promoter", "promoter", "U01317", 62_137, "beta globin"),
    ("HBE1_promoter", "promoter", "U01317", 19_488, "epsilon globin, read in the embryo"),
    ("HBB_intron", "inside_gene", "U01317", 63_100, "second intron of beta globin"),
    ("FOS_exon", "inside_gene", "K00650", 3_000, "coding sequence in the last exon of c-fos"),
    ("globins_between", "between_genes", "U01317", 30_500, "4 kb before the gene of G-gamma globin"),
    ("FOS_promoter", "promoter", "K00650", 734, "proto-oncogene c-fos"),
    ("LTB_promoter", "promoter", "AF129756", 167_620, "lymphotoxin beta"),
    ("TYMS_promoter", "promoter", "D00596", 822, "thymidylate synthase, first of four starts, no TATA box"),
    ("TYMS_intron", "inside_gene", "D00596", 14_900, "sixth intron of thymidylate synthase"),
    ("HLA_between", "between_genes", "BA000025", 630_000, "between HLA-B and HLA-C, 30 kb from any feature"),
]

# name, kind, source, 1-based exons with both ends in order of position, strand, what it is
TRANSCRIPTS = [
    ("HBB", "coding", "U01317", [(62_137, 62_278), (62_409, 62_631), (63_482, 63_742)], "+", "beta globin"),
    (
        "AC006547.8",
        "noncoding",
        CHR22,
        [(20_098_344, 20_098_782), (20_099_312, 20_099_398)],
        "-",
        "lncRNA antisense to DGCR8",
    ),
    ("FAU", "coding", "X65923", [(1, 518)], "+", "ubiquitin-like protein fused to ribosomal protein S30"),
    ("LINC00896", "noncoding", CHR22, [(20_193_920, 20_196_047)], "+", "long intergenic RNA"),
    (
        "TNF",
        "coding",
        "AF129756",
        [(171_719, 172_929), (173_231, 173_278), (173_466, 173_511), (174_118, 174_455)],
        "-",
        "tumor necrosis factor",
    ),
    (
        "AC006547.15",
        "noncoding",
        CHR22,
        [(20_052_075, 20_052_447), (20_053_019, 20_053_228)],
        "-",
        "lncRNA antisense to TANGO2",
    ),
    ("CFH_short", "coding", "X07523", [(1, 1658)], "+", "complement factor H, short form"),
    (
        "HCP5",
        "noncoding",
        "BA000025",
        [(478_173, 480_609), (480_701, 480_789)],
        "-",
        "lncRNA, HLA complex P5",
    ),
    ("HBE1", "coding", "U01317", [(19_488, 19_632), (19_755, 19_977), (20_833, 21_080)], "+", "epsilon globin"),
    (
        "AC007050.17",
        "noncoding",
        CHR22,
        [(20_876_357, 20_876_494), (20_877_018, 20_877_313), (20_877_940, 20_878_157)],
        "-",
        "lncRNA antisense to MED15",
    ),
]

# the same, of one piece each
ENHANCERS = [
    (
        "OTC_enhancer",
        "enhancer",
        CHRX,
        [(38_202_316, 38_202_815)],
        "+",
        "9.4 kb upstream of ornithine transcarbamylase, active in liver",
    ),
    ("HBB_intron", "inside_gene", "U01317", [(62_851, 63_350)], "+", "second intron of beta globin, not read in liver"),
    (
        "BMP15_exon",
        "inside_gene",
        CHRX,
        [(50_658_911, 50_659_410)],
        "+",
        "coding sequence of BMP15, read in the oocyte",
    ),
    ("globins_between", "between_genes", "U01317", [(30_251, 30_750)], "+", "4 kb before the gene of G-gamma globin"),
]

REFERENCES = [
    "S000005110",
    "S000003950",
    "S000437446",
    "S000084123",
    "S000413576",
    "S000006585",
    "S000413465",
    "S000400179",
    "S000539534",
    "S000251741",
    "S000008120",
    "S000471713",
]


def read_sources(embl: Path, chr22: Path, chrx: Path) -> dict[str, tuple[str, int]]:
    """Return the sequences of all EMBL records and of the pieces of chromosomes 22 and X."""
    with open_text(embl) as handle:
        found = {item.name: (str(item.seq).upper(), 0) for item in SeqIO.parse(handle, "embl")}
    for name, path, offset in ((CHR22, chr22, CHR22_FROM), (CHRX, chrx, 0)):
        with open_fasta(path) as opened:
            found[name] = (next(iter(opened.records())).sequence.upper(), offset)
    return found


def _source(sources: Sources, name: str) -> tuple[str, int]:
    if name not in sources:
        raise GenolmError(f"The sources have no {name}; take the files of the packages that are named above.")
    return sources[name]


def promoters(sources: Sources) -> Iterator[SequenceRecord]:
    """Yield 401 bp around each site, and at the end a promoter with its letters shuffled."""
    made = {}
    for name, kind, source, position, story in SITES:
        letters, offset = _source(sources, source)
        made[name] = cut(letters, *window_around(position - 1 - offset, "+", before=BEFORE, after=AFTER), "+")
        note = f"kind={kind} site={SITE} origin={source}:{position}(+) {story}"
        yield SequenceRecord(name, note, made[name])
    shuffled = "".join(np.random.default_rng(SEED).permutation(list(made[SHUFFLED])))
    yield SequenceRecord("FOS_shuffled", f"kind=shuffled site={SITE} origin=none {SHUFFLED_STORY}", shuffled)


def transcripts(sources: Sources) -> Iterator[SequenceRecord]:
    """Yield each transcript, its exons joined and read on its strand."""
    return _joined(sources, TRANSCRIPTS)


def enhancers(sources: Sources) -> Iterator[SequenceRecord]:
    """Yield an enhancer that is active in liver, and places that are none."""
    return _joined(sources, ENHANCERS)


def _joined(sources: Sources, rows: Iterable[Row]) -> Iterator[SequenceRecord]:
    for name, kind, source, exons, strand, story in rows:
        letters, offset = _source(sources, source)
        ordered = exons if strand == "+" else exons[::-1]
        spliced = "".join(cut(letters, first - 1 - offset, last - offset, strand) for first, last in ordered)
        place = ",".join(f"{first}-{last}" for first, last in exons)
        yield SequenceRecord(name, f"kind={kind} origin={source}:{place}({strand}) {story}", spliced)


def reads(rrna: Path) -> Iterator[SequenceRecord]:
    """Yield the read that follows the primer in each chosen reference, with the genus of its header."""
    with open_fasta(rrna) as opened:
        found = {item.name: item for item in opened.records() if item.name in REFERENCES}
    for name in REFERENCES:
        if name not in found:
            raise GenolmError(f"{rrna} has no reference {name}; take the file of the package named above.")
        title, lineage = found[name].description.split("\t")
        species, genus = title.partition(" (T)")[0], lineage.split("; ")[-1]
        letters = found[name].sequence.upper()
        start = letters.index(PRIMER) + len(PRIMER)
        note = f"genus={genus} origin={name}:{start + 1}-{start + READ}(+) type strain of {species}"
        yield SequenceRecord(species.replace(" ", "_"), note, letters[start : start + READ])


def main() -> None:
    """Write the four samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("embl", "chr22", "chrx", "rrna", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    sources = read_sources(options.embl, options.chr22, options.chrx)
    write_fasta(options.out / "human_known_promoters.fa", promoters(sources))
    write_fasta(options.out / "human_known_enhancers.fa", enhancers(sources))
    write_fasta(options.out / "transcripts.fa", transcripts(sources))
    write_fasta(options.out / "16s_v3v4_reads.fa", reads(options.rrna))


if __name__ == "__main__":
    main()
