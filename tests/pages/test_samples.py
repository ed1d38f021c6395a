"""The samples are what their headers say: pieces of the shipped genome, sites where they are said to be."""

import dataclasses

import pytest

from genolm import workspace
from genolm.bundle_config import BundleConfig
from genolm.config import HeadConfig, Window
from genolm.registry import BundleInfo, list_bundles
from genolm.sequences import open_fasta
from pages.shared import samples

# The consensus of a site's surroundings as published, ending before +1 or starting at +1.
PUBLISHED = {
    "lacZ_promoter": ("TTTACACTTTATGCTTCCGGCTCGTATGTTGTGTGG", "AATTGTGAGCGG"),
    "recA_promoter": ("TTGATACTGTATGAGCATACAGTATAATTGCTT", "CAACAGAACATATTGACTATCCGG"),
    "trp_promoter": ("TTGACAATTAATCATCGAACTAGTTAACTAGTACGC", "AAGTTCACGTAAAAAGGG"),
}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENOLM_HOME", str(tmp_path_factory.mktemp("home")))
        with open_fasta(workspace.samples_dir() / samples.GENOME_FILE) as opened:
            yield opened


def test_the_genome_is_the_one_named(genome):
    assert genome.contigs == {"K-12-MG1655": 4_639_675}
    assert genome.summary.gc == pytest.approx(0.508, abs=5e-4)


def test_each_known_site_lies_where_its_header_says(genome):
    sites = samples.known_sites()
    assert len(sites) == 27 and {item.kind for item in sites} == set(samples.ANSWERS)
    for item in sites:
        assert len(item.record.sequence) == 401 and item.site == 200
        if item.position is None:
            continue
        start, end = (10, 20) if item.strand == "+" else (19, 11)
        piece = genome.fetch("K-12-MG1655", item.position - start, item.position + end, item.strand)
        assert item.record.sequence[190:220] == piece


def test_promoters_and_starts_are_the_published_ones():
    found = {item.record.name: item for item in samples.known_sites()}
    for name, (before, after) in PUBLISHED.items():
        sequence = found[name].record.sequence
        assert sequence[:200].endswith(before) and sequence[200:].startswith(after)
    starts = [item for item in found.values() if item.kind == "gene_start"]
    assert len(starts) == 10
    assert {item.record.sequence[200:203] for item in starts} == {"ATG"}


def test_the_region_is_a_piece_of_the_genome_and_its_sites_carry_over(genome):
    with open_fasta(workspace.samples_dir() / samples.REGION_FILE) as region:
        letters = region.fetch("lac_region", 0, 40_000)
        assert letters == genome.fetch("K-12-MG1655", 345_000, 385_000)
        path = str(workspace.samples_dir() / samples.REGION_FILE)
        places = {name: (place, strand) for name, _, place, strand in samples.sites_in(path, "promoter")}
        assert places == {"lacZ_promoter": (20_566, "-"), "lacI_promoter": (21_761, "-")}
        assert region.fetch("lac_region", 20_555, 20_567, "-") == "AATTGTGAGCGG"


@pytest.mark.parametrize(
    ("window", "length", "kind"),
    [
        (Window(81, 60, "TSS"), 81, "promoter"),
        (Window(150, 100, "start codon"), 150, "gene start"),
        (Window(100), 100, ""),
        (Window(1000, 500, "TSS"), 401, "promoter"),
        (None, 401, ""),
    ],
)
def test_a_sample_is_cut_to_the_window_with_the_site_at_the_anchor(window, length, kind):
    sample = samples.site_sample(window)
    assert sample.positive == kind
    originals = {item.record.name: item.record.sequence for item in samples.known_sites()}
    with open_fasta(sample.path) as opened:
        assert set(opened.contigs.values()) == {length} and set(opened.contigs) == set(sample.answers)
        for record in opened.records():
            assert record.sequence[sample.site :] == originals[record.name][200 : 200 + length - sample.site]


def info_of(file, head, window=None):
    """Return a model whose card names a sample."""
    config = BundleConfig(name="toy", kind="classifier", head=head, window=window)
    return BundleInfo("toy", workspace.samples_dir(), True, 1, config, {"sample": {"file": file}} if file else {})


def test_a_model_has_the_sample_of_its_card_cut_to_its_window():
    head = HeadConfig("binary", ("non-promoter", "promoter"))
    (sample,) = samples.model_samples(info_of("human_known_promoters.fa", head, Window(251, 200, "TSS")))
    assert sample.site == 200 and sample.positive == "promoter" and set(sample.answers.values()) == {
        *("promoter", "inside a gene", "between genes", "shuffled letters"),
    }
    with open_fasta(sample.path) as cut, open_fasta(workspace.samples_dir() / "human_known_promoters.fa") as whole:
        assert list(cut.contigs) == list(whole.contigs) == list(sample.answers)
        for record in cut.records():
            assert record.sequence == whole.fetch(record.name, 0, 251)


@pytest.mark.parametrize("file", ["", "gone.fa"])
def test_a_model_without_a_sample_of_its_own_has_none(file):
    window = Window(100, 50, "TSS")
    assert samples.model_samples(info_of(file, HeadConfig(), window)) == []
    own = samples.model_samples(info_of(samples.SITES_FILE, HeadConfig(), window))
    assert own == [samples.site_sample(window)]


def test_the_genome_of_e_coli_is_for_models_of_bacteria():
    built_in = {info.name: info for info in list_bundles() if info.config and info.config.kind == "classifier"}
    for name, info in built_in.items():
        offered = samples.scan_samples(info)
        assert bool(offered) == (name not in ("human-promoter", "mammal-enhancer", "rna-coding"))
    for base, of_bacteria in (("bacteria-lm-dense", True), ("mammal-lm", False), ("", False), ("gone", False)):
        own = dataclasses.replace(info_of("", HeadConfig()), card={"settings": {"base": base}})
        assert bool(samples.scan_samples(own)) == of_bacteria


def test_answers_are_judged_by_class_or_by_the_genus_of_a_lineage():
    binary = HeadConfig("binary", ("noncoding", "coding"))
    (rna,) = samples.model_samples(info_of("transcripts.fa", binary))
    assert rna.site is None
    assert rna.right(["coding", "noncoding"], ["coding", "coding"], binary) == [True, False]
    classes = tuple(f"Proteobacteria order {name}" for name in ("Neisseria", "Rhizobium"))
    genera = HeadConfig("multiclass", classes)
    (reads,) = samples.model_samples(info_of("16s_v3v4_reads.fa", genera))
    assert reads.right(["Neisseria", "Neisseria"], classes, genera) == [True, False]
    assert reads.right(["Moritella"], classes[:1], genera) is None
