"""Every page: opens with and without a model, says what it read, and meets wrong input with one sentence."""

import pytest

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
    assert any("'unknown' token" in item.value for item in app.caption)
    app.segmented_control[0].set_value("Paste").run()
    for text, sentence in WRONG_TEXTS.items():
        app.text_area[0].set_value(text).run()
        assert not app.exception
        found = sentences(app)
        assert len(found) == 1 and found[0].startswith("pasted text") and sentence in found[0]


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
