"""Every page: opens with and without a model, says what it read, and meets wrong input with one sentence."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord

PAGES = ["annotate/classify.py", "annotate/saliency.py", "annotate/scan.py", "models/models.py"]
WRONG_TEXTS = {
    ">p1\nMKTAYIAKQRQISFVKSHFSRQ\n": "protein",
    "@read\nACGT\n+\nIIII\n": "FASTQ",
    ">a\nACGT\n>a\nACGT\n": "same name",
    ">a\n>b\nACGT\n": "record 'a'",
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_and_says_what_the_model_is_for(open_page, toy_model, page):
    app = open_page(f"pages/{page}")
    assert not app.exception and not app.error
    assert len(app.title) == 1
    assert any("A random model for tests." in item.value for item in app.markdown)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_without_any_model_says_what_to_do(open_page, no_model, page):
    app = open_page(f"pages/{page}")
    assert not app.exception
    assert any("mport one" in item.value for item in app.info)
    assert not [button for button in app.button if button.label.startswith(("Classify", "Explain", "Start"))]


@pytest.mark.parametrize("page", PAGES[:3])
def test_wrong_text_gets_one_sentence(open_page, toy_model, sentences, page):
    app = open_page(f"pages/{page}")
    shown = {item.label: item.value for item in app.metric}
    assert set(shown) >= {"Records", "Total length", "GC content", "Ambiguous letters"}
    assert not any("unknown" in item.value for item in app.caption)
    app.segmented_control[0].set_value("Paste").run()
    for text, sentence in WRONG_TEXTS.items():
        app.text_area[0].set_value(text).run()
        assert not app.exception
        found = sentences(app)
        assert len(found) == 1 and found[0].startswith("pasted text") and sentence in found[0]


def flat_file(form):
    record = SeqRecord(Seq("ACGTTGCA" * 30 + "N" * 5), "plasmid.1", "plasmid", annotations={"molecule_type": "DNA"})
    return record.format(form)


@pytest.mark.parametrize("page", PAGES[:3])
@pytest.mark.parametrize("form", ["genbank", "embl"])
def test_genbank_and_embl_can_be_pasted(open_page, toy_model, sentences, page, form):
    app = open_page(f"pages/{page}")
    app.segmented_control[0].set_value("Paste").run()
    app.text_area[0].set_value(flat_file(form)).run()
    assert not app.exception and not sentences(app)
    shown = {item.label: item.value for item in app.metric}
    assert (shown["Records"], shown["Total length"], shown["Ambiguous letters"]) == ("1", "245 bp", "5")
    app.text_area[0].set_value(flat_file(form).rpartition("//")[0]).run()
    (sentence,) = sentences(app)
    assert not app.exception
    assert sentence.startswith("pasted text is cut off: the record that begins in line 1 has no closing line '//'")


@pytest.mark.parametrize("page", PAGES[:3])
def test_a_record_without_known_bases_has_no_gc_content_and_its_letters_are_named(open_page, toy_model, page):
    app = open_page(f"pages/{page}")
    app.segmented_control[0].set_value("Paste").run()
    app.text_area[0].set_value(f">a\n{'N' * 60}\n").run()
    shown = {item.label: item.value for item in app.metric}
    assert (shown["GC content"], shown["Ambiguous letters"]) == ("–", "60")
    assert any("touch one of these as unknown" in item.value for item in app.caption)


def test_the_first_page_answers_to_its_own_name_too(monkeypatch, toy_model):
    import streamlit as st

    import app as frame

    seen = []
    monkeypatch.setattr(st, "Page", lambda path, **options: {"url_path": Path(path).stem, **options})
    monkeypatch.setattr(st, "navigation", lambda pages, **_: seen.extend(pages) or SimpleNamespace(run=int))
    frame.main()
    named = {page["url_path"]: page["title"] for page in seen if not page.get("default")}
    assert set(named) == {Path(path).stem for path in frame.PAGES} and named["classify"] == "Classify"
    shown = [page["title"] for page in seen if page.get("visibility") != "hidden"]
    assert shown == [title for title, _ in frame.PAGES.values()]


@pytest.mark.parametrize("page", PAGES[:3])
def test_a_wrong_upload_is_named_as_the_user_knows_it(
    open_page, toy_model, sentences, monkeypatch, tmp_path, page
):
    from pages.shared import uploads

    path = tmp_path / "stored-elsewhere.bin"
    path.write_bytes(b"PK\x03\x04" + b"\0" * 200)
    monkeypatch.setattr(uploads, "upload_box", lambda *_, **__: uploads.Upload("letter.docx", path))
    app = open_page(f"pages/{page}")
    app.segmented_control[0].set_value("Upload").run()
    assert not app.exception
    (sentence,) = sentences(app)
    assert sentence.startswith("letter.docx is not FASTA") and str(tmp_path) not in sentence


def test_only_files_under_an_allowed_folder_are_opened(
    open_page, toy_model, sentences, monkeypatch, tmp_path
):
    allowed = tmp_path / "data"
    allowed.mkdir()
    (allowed / "genome.fa").write_text(">chromosome\n" + "ACGT" * 50 + "\n")
    (tmp_path / "secret.fa").write_text(">secret\nACGT\n")
    (allowed / "link.fa").symlink_to(tmp_path / "secret.fa")
    app = open_page("pages/annotate/scan.py")
    assert "File on the server" not in app.segmented_control[0].options
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(allowed))
    app.run()
    app.segmented_control[0].set_value("File on the server").run()
    for outside in ("../secret.fa", str(tmp_path / "secret.fa"), "link.fa"):
        app.text_input[0].set_value(outside).run()
        assert "lies outside" in sentences(app)[0]
    app.text_input[0].set_value("genome.fa").run()
    assert not app.error
    assert {item.label: item.value for item in app.metric}["Total length"] == "200 bp"
