"""Data recipes on generated genomes: coordinates, what is left out, splits, repeatability."""

import gzip
import importlib
import json
import sys
from collections import Counter
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqIO import write
from Bio.SeqRecord import SeqRecord

from genolm.config import Window
from genolm.errors import GenolmError
from genolm.tables import read_table
from genolm.tokenizer import encode_bases
from genolm.tracks import Track

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def recipe(monkeypatch):
    """A function name -> module of the recipes folder."""
    monkeypatch.syspath_prepend(RECIPES)
    return importlib.import_module


@pytest.fixture
def common(recipe):
    return recipe("common")


def feature(start, end, strand, kind="CDS", **qualifiers):
    return SeqFeature(SimpleLocation(start, end, strand), type=kind, qualifiers=qualifiers)


def toy_genome(common, sequence, genes):
    """An annotated genome of CDS with a gene feature each; genes are (start, end, strand)."""
    features = [
        feature(*gene, kind=kind, locus_tag=[f"g{number}"])
        for number, gene in enumerate(genes)
        for kind in ("gene", "CDS")
    ]
    return common.AnnotatedGenome("toy.1", sequence, features)


@pytest.fixture
def genome(common, rng):
    """120 kb with a gene of 900 bp every 1,200 bp, strands in turn by fours."""
    sequence = "".join(rng.choice(list("ACGT"), 120_000))
    genes = [(start, start + 900, 1 if start // 4800 % 2 else -1) for start in range(300, 118_000, 1200)]
    return toy_genome(common, sequence, genes)


def tss_table(rows):
    return pd.DataFrame(rows, columns=["name", "position", "strand", "confidence", "sigma", "agrees"])


@pytest.fixture
def tss(genome, rng):
    """A Strong TSS 30 bp before every gene but each fifth, and a Weak one before each tenth."""
    rows = []
    for number, gene in enumerate(genome.of_type("gene")):
        plus = gene.location.strand == 1
        position = int(gene.location.start) - 30 if plus else int(gene.location.end) + 29
        if number % 5 or number % 10 == 0:
            rows.append(
                (f"p{number}", position, "+" if plus else "-", "S" if number % 5 else "W", "sigma70", True)
            )
    return tss_table(rows).sort_values("position").reset_index(drop=True)


@pytest.fixture
def promoter(recipe):
    return recipe("ecoli_promoter_data")


@pytest.fixture
def sites(recipe):
    return recipe("ecoli_promoter_sites")


@pytest.fixture
def small(sites):
    """Settings that fit the toy genome."""
    return sites.Settings(
        block=10_000, test_region=(0, 30_000), test_share=0.1, valid_share=0.2
    )


@pytest.fixture
def built(promoter, genome, tss, small):
    return promoter.build(genome, tss, small)


def test_windows_by_hand(common):
    #           0123456789
    sequence = "AACCGGTTAC"
    assert common.window_around(4, "+", before=2, after=3) == (2, 7)
    assert common.cut(sequence, 2, 7, "+") == "CCGGT"
    assert common.window_around(4, "-", before=2, after=3) == (2, 7)
    assert common.cut(sequence, 2, 7, "-") == "ACCGG"
    assert common.window_around(4, "-", before=3, after=1) == (4, 8)
    assert common.five_prime(3, 9, "+") == 3
    assert common.five_prime(3, 9, "-") == 8


def test_a_window_outside_is_refused(common):
    with pytest.raises(GenolmError, match="outside the sequence of 4 bp"):
        common.cut("ACGT", -1, 3, "+")


def test_neighbours_agree_with_a_search_of_strings(common, make_dna):
    core = make_dna(12)
    queries = [make_dna(30) + core, make_dna(40), "N" * 40, core[:6] + "N" + core[6:], "ACG"]
    others = [common.reverse_complement(core) + make_dna(20), make_dna(30)]
    text = " ".join([*others, *map(common.reverse_complement, others)])
    for k in (6, 8, 12):
        expected = [
            any(q[i : i + k] in text for i in range(len(q) - k + 1) if "N" not in q[i : i + k])
            for q in queries
        ]
        assert common.has_neighbour(queries, others, k=k).tolist() == expected


def test_leakage_counts_test_rows_near_training(common, make_dna):
    shared = make_dna(25)
    table = pd.DataFrame(
        {
            "sequence": [shared + make_dna(10), make_dna(35), shared, make_dna(35)],
            "split": ["train", "train", "test", "test"],
        }
    )
    figures = common.leakage(table, sizes=(20, 30))
    assert figures["split_test_sharing_20bp_with_train"] == 0.5
    assert figures["split_test_sharing_30bp_with_train"] == 0.0


def test_shuffle_keeps_dinucleotides_and_changes_the_order(common, make_dna, rng):
    for length in (1, 2, 5, 120):
        sequence = make_dna(length)
        shuffled = common.dinucleotide_shuffle(sequence, rng)
        assert Counter(pairwise(sequence)) == Counter(pairwise(shuffled))
        assert (shuffled[0], shuffled[-1]) == (sequence[0], sequence[-1])
    assert shuffled != sequence


def test_shuffle_reaches_every_order_evenly(common, rng):
    """The words with the dinucleotides of AACAGA, found by brute force, come up equally often."""
    wanted = {
        "".join(word)
        for word in permutations("AACAGA")
        if Counter(pairwise(word)) == Counter(pairwise("AACAGA"))
    }
    seen = Counter(common.dinucleotide_shuffle("AACAGA", rng) for _ in range(3000))
    assert set(seen) == wanted
    assert max(seen.values()) < 1.25 * min(seen.values())


def test_tables_are_the_same_to_the_byte(common, tmp_path):
    table = pd.DataFrame({"sequence": ["ACGT"], "label": [1]})
    first = common.write_table(table, tmp_path / "a.csv.gz")
    assert (
        first
        == common.write_table(table, tmp_path / "sub" / "a.csv.gz")
        == common.sha256(tmp_path / "a.csv.gz")
    )


def test_a_missing_source_is_named(common, tmp_path):
    with pytest.raises(GenolmError, match="genes.gbff is missing"):
        common.source_file(tmp_path, "genes.gbff")


def test_gene_start_windows(recipe, common, make_dna):
    """A plus gene, a minus gene, a short one, a join over 1,000 bp and one too near the start."""
    sequence = make_dna(5000)
    genome = toy_genome(common, sequence, [(50, 400, 1), (500, 900, 1), (1000, 1400, -1), (1500, 1750, 1)])
    parts = CompoundLocation([SimpleLocation(2000, 2200, 1), SimpleLocation(2900, 3000, 1)])
    genome.features.append(SeqFeature(parts, type="CDS", qualifiers={"locus_tag": ["joined"]}))
    table, outside = recipe("ecoli_gene_start_data").gene_windows(genome, seed=1)
    starts = table[table["label"] == 1].set_index("gene")
    assert outside == 1
    assert starts.loc[["g1", "g2", "g3", "joined"], ["start", "end", "strand"]].values.tolist() == [
        [400, 550, "+"],
        [1350, 1500, "-"],
        [1400, 1550, "+"],
        [1900, 2050, "+"],
    ]
    plus, minus = starts.loc["g1"], starts.loc["g2"]
    assert common.cut(sequence, plus["start"], plus["end"], "+")[100:103] == sequence[500:503]
    assert common.cut(sequence, minus["start"], minus["end"], "-")[100:103] == str(
        Seq(sequence[1397:1400]).reverse_complement()
    )
    inside = table[table["label"] == 0].set_index("gene")
    assert inside.index.tolist() == ["g0", "g1", "g2", "joined"], "a CDS of 250 bp gives no negative"
    spans = {"g0": (50, 400), "g1": (500, 900), "g2": (1000, 1400), "joined": (2000, 3000)}
    for gene, (start, end) in spans.items():
        assert start + 50 <= inside.loc[gene, "start"] and inside.loc[gene, "end"] <= end - 50
        assert inside.loc[gene, "end"] - inside.loc[gene, "start"] == 150


def test_gene_start_splits_take_the_first_of_the_independent_set(recipe):
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    independent = np.array([True, False, True, True, True, True, False, True])
    split = recipe("ecoli_gene_start_data").assign_splits(labels, independent, test=1, valid=1)
    assert split.tolist() == ["test", "train", "valid", "train", "test", "valid", "train", "train"]


def test_gene_start_build(recipe, common, genome, monkeypatch):
    """Independent items have no neighbour in another split, excluded ones train, reserved ones are out."""
    monkeypatch.setitem(common.RESERVED, "toy.1", (60_000, 80_000))
    module = recipe("ecoli_gene_start_data")
    table, record = module.build(genome, test=10, valid=8)
    kept, held = table[table["excluded"] == 0], table[table["split"] != "train"]
    near = common.has_neighbour(
        kept.loc[kept["split"] == "train", "sequence"].tolist(), held["sequence"].tolist(), k=module.SHARED
    )
    assert not near.any()
    assert (table.loc[table["excluded"] == 1, "split"] == "train").all()
    assert table.groupby(["split", "label"]).size()[["test", "valid"]].tolist() == [10, 10, 8, 8]
    assert not any(common.overlaps(*span, (60_000, 80_000)) for span in zip(table["start"], table["end"]))
    assert record["whole"]["positives"] == 99 and record["whole"]["reserved"] > 20
    assert record["written"]["positives"] == 99 - record["whole"]["reserved"] + int(
        record["whole"]["negatives"] - record["written"]["negatives"]
    )


def test_gene_start_neighbours_are_excluded(recipe, common, make_dna):
    """A gene that occurs twice, once on either strand, is kept once."""
    gene, sequence = make_dna(600), make_dna(6000)
    sequence = (
        sequence[:1000] + gene + sequence[1600:4000] + common.reverse_complement(gene) + sequence[4600:]
    )
    genome = toy_genome(common, sequence, [(1100, 1600, 1), (4000, 4500, -1), (2000, 2400, 1)])
    table, _ = recipe("ecoli_gene_start_data").build(genome, test=1, valid=0)
    starts = table[table["kind"] == "gene_start"].set_index("name")["excluded"]
    assert starts["g0:gene_start"] + starts["g1:gene_start"] == 1
    assert starts["g2:gene_start"] == 0


def test_promoter_rows_are_the_genome(built, genome, common):
    for row in built.table[built.table["kind"] != "shuffled"].itertuples():
        assert row.sequence == common.cut(genome.sequence, row.start, row.end, row.strand)
    assert set(built.table["sequence"].str.len()) == {120}


def test_promoter_positives_hold_the_tss_at_index_80(built, tss):
    positions = set(
        zip(tss.loc[tss["confidence"] == "S", "position"], tss.loc[tss["confidence"] == "S", "strand"])
    )
    found = built.table[built.table["label"] == 1]
    anchors = {
        (row.start + 80 if row.strand == "+" else row.end - 81, row.strand) for row in found.itertuples()
    }
    assert anchors <= positions and len(anchors) > 0.8 * len(positions)
    assert set(found["kind"]) == {"tss"}


def anchor(row):
    return row.start + 80 if row.strand == "+" else row.end - 81


def test_promoter_negatives_keep_their_distance(built, tss):
    """Natural ones 150 bp from a site of any confidence on their strand, hard ones 20 bp."""
    least = {"gene_sense": 150, "gene_antisense": 150, "intergenic": 150, "shifted": 20, "opposite": 20}
    table = built.table
    for row in table[(table["label"] == 0) & (table["kind"] != "shuffled")].itertuples():
        known = tss.loc[tss["strand"] == row.strand, "position"].to_numpy()
        distance = np.abs(known - anchor(row)).min()
        assert distance >= least[row.kind]
        assert row.kind != "shifted" or distance <= 150


def test_promoter_kinds_say_where_a_window_lies(built, genome):
    genes = {"+": [], "-": []}
    for gene in genome.of_type("gene"):
        genes["+" if gene.location.strand == 1 else "-"].append(
            (int(gene.location.start), int(gene.location.end))
        )

    def inside(position, strand):
        return any(start <= position < end for start, end in genes[strand])

    for row in built.table[
        built.table["kind"].isin(("gene_sense", "gene_antisense", "intergenic"))
    ].itertuples():
        other = "-" if row.strand == "+" else "+"
        expected = (
            "gene_sense"
            if inside(anchor(row), row.strand)
            else "gene_antisense"
            if inside(anchor(row), other)
            else "intergenic"
        )
        assert row.kind == expected


def test_no_negative_before_a_gene_whose_promoter_is_unknown(built, genome, tss):
    zones = []
    for gene in genome.of_type("gene"):
        plus, start, end = gene.location.strand == 1, int(gene.location.start), int(gene.location.end)
        zone = (start - 300, start + 1) if plus else (end - 1, end + 300)
        strand = "+" if plus else "-"
        known = tss.loc[tss["strand"] == strand, "position"]
        if not ((known >= zone[0]) & (known < zone[1])).any():
            zones.append((*zone, strand))
    assert zones
    negatives = built.table[(built.table["label"] == 0) & (built.table["kind"] != "shuffled")]
    for row in negatives.itertuples():
        assert not any(start <= anchor(row) < end and strand == row.strand for start, end, strand in zones)


def test_operon_genes_have_no_unmapped_promoter(sites, common, make_dna):
    """The second gene follows by 20 bp: only the stretch before the first one is unknown."""
    genome = toy_genome(common, make_dna(4000), [(1000, 1500, 1), (1520, 2000, 1), (2500, 3000, -1)])
    masks = sites.Masks(genome, tss_table([]), sites.Settings())
    assert np.flatnonzero(masks.unmapped["+"]).tolist() == list(range(700, 1001))
    assert np.flatnonzero(masks.unmapped["-"]).tolist() == list(range(2999, 3300))


def test_promoter_splits_are_blocks_without_neighbours(built, small, common):
    table = built.table
    anchors = np.array([anchor(row) for row in table.itertuples()])
    assert table.assign(block=anchors // small.block).groupby("block")["split"].nunique().max() == 1
    assert (table.loc[anchors < 30_000, "split"] == "test").all()
    assert set(table["split"]) == {"train", "valid", "test"}
    held = table.loc[table["split"] != "train", "sequence"].tolist()
    train = table.loc[table["split"] == "train", "sequence"].tolist()
    assert not common.has_neighbour(train, held, k=small.shared).any()


def test_a_repeat_in_test_and_training_is_dropped_from_training(promoter, common, make_dna, small):
    """The same promoter stands in the test region and at 95 kb."""
    promoter_dna, sequence = make_dna(200), make_dna(100_000)
    sequence = sequence[:5000] + promoter_dna + sequence[5200:95_000] + promoter_dna + sequence[95_200:]
    rows = [(f"p{place}", place, "+", "S", "", True) for place in (5100, 40_000, 60_000, 70_000, 95_100)]
    result = promoter.build(toy_genome(common, sequence, []), tss_table(rows), small)
    names = result.table.loc[result.table["label"] == 1, "name"].tolist()
    assert "p5100+:tss" in names and "p95100+:tss" not in names


def test_the_reserved_region_is_in_no_row(promoter, common, genome, tss, small, monkeypatch):
    monkeypatch.setitem(common.RESERVED, "toy.1", (60_000, 80_000))
    result = promoter.build(genome, tss, small)
    table = result.table
    assert ((table["end"] <= 60_000 - 200) | (table["start"] >= 80_000 + 200)).all()
    promoter.check_reserved(result, genome)
    spoilt = result._replace(table=result.table.assign(start=60_001, end=60_121))
    with pytest.raises(GenolmError, match="overlap the reserved region"):
        promoter.check_reserved(spoilt, genome)


def test_close_sites_are_merged(sites):
    rows = [
        ("a", 100, "+", "S", "s70", True),
        ("b", 104, "+", "C", "s38", True),
        ("c", 108, "+", "S", "", True),
        ("d", 114, "+", "S", "", True),
        ("e", 104, "-", "W", "s24", True),
    ]
    merged = sites.merge_sites(tss_table(rows), 5)
    assert [(site.name, site.position, site.strand) for site in merged] == [
        ("b", 104, "+"),
        ("e", 104, "-"),
        ("d", 114, "+"),
    ]
    assert merged[0].sigma == "s38;s70"


def regulondb(path, rows):
    with gzip.open(path, "wt") as handle:
        handle.write("# a comment\n1)pmId\t2)pmName\t3)strand\t4)posTSS\t5)sigmaFactor\t6)pmSequence\t\n")
        for name, strand, position, sequence, confidence in rows:
            cells = [
                "id",
                name,
                strand,
                position,
                "sigma70",
                sequence,
                "gene",
                "-1",
                "[E]",
                "",
                confidence,
                "1",
            ]
            handle.write("\t".join(map(str, cells)) + "\n")


@pytest.fixture
def split_up(recipe, genome, tss, small):
    stretches = recipe("ecoli_promoter_stretches")
    return stretches.split_strands(genome, tss, Window(120, 80, "TSS"), small)


def test_bases_are_labelled_by_what_is_known_of_them(split_up, genome, tss, common):
    size = len(genome.sequence)
    for strands in (split_up.train, split_up.valid, split_up.test):
        for sign, strand in zip("+-", strands, strict=True):
            letters = genome.sequence if sign == "+" else common.reverse_complement(genome.sequence)
            np.testing.assert_array_equal(strand.codes, encode_bases(letters))
            here = tss[tss["strand"] == sign]
            place = here["position"] if sign == "+" else size - 1 - here["position"]
            far = np.abs(np.arange(size)[:, None] - place.to_numpy()[None, :])
            strong = (here["confidence"] == "S").to_numpy()
            np.testing.assert_array_equal(strand.labels == 1, far[:, strong].min(1) <= 2)
            near = far[:, strong].min(1)
            assert (strand.labels[(near > 2) & (near <= 9)] == -1).all()
            assert (strand.labels[far[:, ~strong].min(1) <= 20] == -1).all()
    bases = sum(int(strands[0].allowed.sum()) for strands in split_up[:3])
    assert bases == size and sum(split_up.sites.values()) == int((tss["confidence"] == "S").sum())


def test_a_window_with_a_repeat_of_another_split_is_not_learned(recipe, common, make_dna, small):
    core = make_dna(25)
    sequence = make_dna(5_000) + core + make_dna(90_000) + common.reverse_complement(core) + make_dna(4_000)
    stretches = recipe("ecoli_promoter_stretches")
    found = stretches.split_strands(
        toy_genome(common, sequence, []), tss_table([]), Window(120, 80, "TSS"), small
    )
    assert not found.train[0].allowed[5_000] and found.train[0].allowed[95_025]
    for sign, strand in zip("+-", found.train, strict=True):
        first = 95_025 if sign == "+" else len(sequence) - 95_050
        unknown = np.flatnonzero((strand.labels == -1) & strand.allowed)
        # Six 20-mers of the core begin at its first base to its sixth; a window holds one of them whole. A base
        # beside the core may be the same in both places by chance.
        assert first - 20 - 4 <= unknown.min() <= first - 20 and first + 85 <= unknown.max() <= first + 85 + 4
        assert len(unknown) == unknown.max() - unknown.min() + 1


def test_windows_of_a_scan_get_the_labels_of_their_sites(recipe, split_up, genome):
    module = recipe("ecoli_promoter")
    blocks = module.Blocks(genome, split_up.valid[0].allowed)
    tracks = []
    for name, length in blocks.contigs.items():
        assert blocks.fetch(name, 3, 9) == genome.sequence[blocks.starts[name] + 3 : blocks.starts[name] + 9]
        for sign in "+-":
            places = np.arange(length) + blocks.starts[name]
            own = split_up.valid["+-".index(sign)].labels
            known = own if sign == "+" else own[::-1]
            tracks.append(Track(name, sign, 0, 1, 1, np.where(known[places] == 1, 0.9, 0.1)))
    logits, labels = module.scored_labels(split_up.valid, blocks, tracks)
    np.testing.assert_array_equal(logits > 0, labels == 1)
    assert labels.sum() > 0 and set(labels.tolist()) == {0, 1}


def test_tss_are_read_one_based_and_compared_with_the_genome(sites, common, make_dna, tmp_path):
    genome = common.AnnotatedGenome("toy.1", make_dna(1000), [])
    forward = genome.sequence[439:520].lower()
    reverse = str(Seq(genome.sequence[479:560]).reverse_complement())
    regulondb(
        tmp_path / "p.tsv.gz",
        [
            ("f", "forward", 500, forward, "S"),
            ("r", "reverse", 500, reverse, "C"),
            ("odd", "forward", 600, forward, "W"),
            ("lost", "reverse", "", "", "W"),
        ],
    )
    table, left_out = sites.read_tss(tmp_path / "p.tsv.gz", genome)
    assert left_out == {"without_position": 1}
    assert table[["name", "position", "strand", "confidence", "agrees"]].values.tolist() == [
        ["f", 499, "+", "S", True],
        ["r", 499, "-", "C", True],
        ["odd", 599, "+", "W", False],
    ]


def test_a_strand_that_is_not_one_is_refused(sites, common, tmp_path):
    regulondb(tmp_path / "p.tsv.gz", [("f", "both", 500, "A", "S")])
    with pytest.raises(GenolmError, match="strand 'both'"):
        sites.read_tss(tmp_path / "p.tsv.gz", common.AnnotatedGenome("toy.1", "A" * 900, []))


@pytest.fixture
def data_folder(tmp_path, sites, common, genome, tss):
    """The toy genome and its TSS laid out as the recipes read them."""
    folder = tmp_path / "data"
    for name in (common.ECOLI_GENBANK, sites.REGULONDB):
        (folder / name).parent.mkdir(parents=True)
    record = SeqRecord(
        Seq(genome.sequence),
        id="toy.1",
        name="toy",
        annotations={"molecule_type": "DNA"},
        features=genome.features,
    )
    with gzip.open(folder / common.ECOLI_GENBANK, "wt") as handle:
        write(record, handle, "genbank")
    rows = []
    for site in tss.itertuples():
        span = common.window_around(site.position, site.strand, before=60, after=21)
        rows.append(
            (
                site.name,
                "forward" if site.strand == "+" else "reverse",
                site.position + 1,
                common.cut(genome.sequence, *span, site.strand),
                site.confidence,
            )
        )
    regulondb(folder / sites.REGULONDB, rows)
    return folder


def test_promoter_recipe_runs_from_files_and_repeats(promoter, common, data_folder, tmp_path, small, monkeypatch):
    monkeypatch.setattr(
        promoter,
        "Settings",
        type("Toy", (), {"before": 80, "after": 40, "seed": 1, "__new__": lambda cls, **_: small}),
    )
    for out in ("one", "two"):
        promoter.main(["--data", str(data_folder), "--out", str(tmp_path / out)])
    first, second = ((tmp_path / out / "promoter.json").read_text() for out in ("one", "two"))
    assert first == second
    record = json.loads(first)
    assert record["sources"][common.ECOLI_GENBANK] == common.sha256(data_folder / common.ECOLI_GENBANK)
    assert len(read_table(tmp_path / "one" / "promoter.csv.gz")) > 50
    sites = pd.read_csv(tmp_path / "one" / "tss.csv")
    assert {"position", "strand", "confidence", "sigma", "split", "in_table"} <= set(sites.columns)


@pytest.fixture
def labelled(tmp_path, make_dna):
    """A table that can be learned: positives start with TATAAT; two kinds of negatives."""
    rows = [
        (
            ("TATAAT" if place % 2 else "GCGCGC") + make_dna(20),
            place % 2,
            ("train", "valid", "test")[place % 3],
            "tss" if place % 2 else ("easy", "hard")[place % 4 // 2],
            int(place % 12 == 3),
        )
        for place in range(240)
    ]
    path = tmp_path / "table.csv"
    pd.DataFrame(rows, columns=["sequence", "label", "split", "kind", "excluded"]).to_csv(path, index=False)
    return path


def test_baseline_recipe_scores_the_test_split(recipe, labelled, tmp_path, capsys):
    out = tmp_path / "out.json"
    recipe("baselines").main(
        [
            "--table",
            str(labelled),
            "--out",
            str(out),
            "--drop-excluded",
            "--threads",
            "1",
            "--only",
            "majority",
            "positional-logistic",
        ]
    )
    record = json.loads(out.read_text())
    assert record["rows"] == {"train": 60, "valid": 80, "test": 80}
    assert list(record["baselines"]) == ["majority", "positional-logistic"]
    found = record["baselines"]["positional-logistic"]
    assert found["test"]["auroc"]["value"] == 1.0
    assert set(found["test_auroc_against"]) == {"easy", "hard"}
    assert record["baselines"]["majority"]["test"]["auroc"]["value"] == 0.5
    assert "positional-logistic: accuracy 1.000" in capsys.readouterr().out


def test_baseline_recipe_names_a_missing_column(recipe, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("sequence,label\nACGT,1\n")
    with pytest.raises(GenolmError, match="has no column split"):
        recipe("baselines").read_splits(path, drop_excluded=False)


def test_recipes_name_no_machine():
    """No recipe of this folder has a path of its author's machine in it."""
    for path in RECIPES.glob("*.py"):
        assert not any(word in path.read_text() for word in ("/work/", "/root/", "/home/")), path


def test_every_recipe_shows_help(recipe, capsys):
    for name in ("ecoli_promoter_data", "baselines"):
        with pytest.raises(SystemExit) as stopped:
            recipe(name).main(["--help"])
        assert stopped.value.code == 0
    assert "common" in sys.modules and "--table" in capsys.readouterr().out
