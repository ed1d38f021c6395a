"""Classify: the page shows and hands out what the package gives."""

from dataclasses import replace

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from genolm.classifier import SequenceClassifier
from genolm.config import Calibration, EitherStrand, HeadConfig, Window
from genolm.jobs import Job
from genolm.model import LanguageModel
from genolm.pipelines import classify_file
from genolm.registry import save_bundle
from pages.shared import running, samples
from pages.shared.answers_view import threshold_words

PAGE = "pages/annotate/classify.py"


def weights(info):
    return SequenceClassifier(info.config.encoder, info.config.head, info.config.vocab_size).state_dict()


def run(app):
    next(button for button in app.button if button.label.startswith("Classify")).click().run()
    assert not app.exception
    return app


def test_the_sample_is_classified_as_the_package_does(open_page, toy_model, tmp_path):
    app = run(open_page(PAGE))
    sample = samples.site_sample(Window(60, 40, "TSS"))
    expected = tmp_path / "expected.csv"
    classify_file(sample.path, expected, model="toy-promoter")
    table = app.dataframe[-1].value
    assert list(table["known"].head(2)) == ["promoter", "promoter"]
    pd.testing.assert_frame_equal(table.drop(columns="known"), pd.read_csv(expected))
    assert len(app.get("plotly_chart")) == 1
    assert any("agree with what is known" in item.value for item in app.markdown)


def test_the_known_limits_of_the_model_are_shown(open_page, toy_model):
    said = [item.value for box in open_page(PAGE).expander if box.label == "Known limits" for item in box.markdown]
    (limits,) = said
    assert limits == "\n".join(f"- {item}" for item in toy_model.card["limits"])


def test_of_many_classes_the_likeliest_are_shown(open_page, toy_model, tmp_path):
    config = replace(toy_model.config, name="many", head=HeadConfig("multiclass", tuple("abcdefghij")))
    card = {"sample": {"file": samples.SITES_FILE}}
    model = SequenceClassifier(config.encoder, config.head, 67)
    save_bundle(toy_model.path.with_name("many"), config, model.state_dict(), card)
    app = run(open_page(PAGE, model="many"))
    table = app.dataframe[-1].value
    assert list(table.columns) == [
        *("record", "length", "predicted", "known", "probability"),
        *("second class", "second probability", "third class", "third probability"),
    ]
    expected = tmp_path / "expected.csv"
    classify_file(samples.site_sample(config.window).path, expected, model="many")
    chances = pd.read_csv(expected)[[f"p_{name}" for name in "abcdefghij"]].to_numpy()
    assert list(table["probability"]) == pytest.approx(list(chances.max(axis=1)), abs=1e-6)
    assert (table["probability"] >= table["second probability"]).all()
    assert any("The likeliest of 10 classes" in item.value for item in app.caption)


def test_records_of_another_length_are_classified_with_a_warning(open_page, toy_model):
    app = open_page(PAGE)
    app.segmented_control[0].set_value("Paste").run()
    app.text_area[0].set_value(">NA\n" + "ACGT" * 20 + "\n>007\n" + "AANT" * 15).run()
    assert "1 of 2 records is not 60 bp long" in app.warning[0].value
    assert list(run(app).dataframe[-1].value["record"]) == ["NA", "007"]


def test_a_record_of_n_alone_is_not_judged_and_named(open_page, toy_model):
    app = open_page(PAGE)
    app.segmented_control[0].set_value("Paste").run()
    app.text_area[0].set_value(f">gap\n{'N' * 60}\n>fine\n{'ACGTT' * 12}\n").run()
    app = run(app)
    assert [item.value for item in app.warning] == [
        "1 of 2 records is not judged: gap. An answer needs known bases (A, C, G, T) in three quarters of a record, and "
        "30 at least (half of the 60 that the model reads)."
    ]
    table = app.dataframe[-1].value
    assert table["predicted"][0] == "not judged" and table["predicted"][1] in ("other", "promoter")
    assert table["p_promoter"].isna().tolist() == [True, False]
    app.text_area[0].set_value(">gap\nAC\n").run()
    assert "1 of 1 record is not 60 bp long" in app.warning[0].value
    assert any(item.label == "Classify 1 record" for item in app.button)
    app = run(app)
    assert app.dataframe[-1].value["predicted"].tolist() == ["not judged"] and not app.get("plotly_chart")


def test_a_record_that_is_too_long_is_said_before_any_work(open_page, toy_model, monkeypatch, tmp_path, sentences):
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))
    (tmp_path / "genome.fa").write_text(f">chr\n{'ACGT' * 40_000}\n")
    app = open_page(PAGE)
    app.segmented_control[0].set_value("File on the server").run()
    app.text_input[0].set_value("genome.fa").run()
    (sentence,) = sentences(app)
    assert sentence.endswith("up to 131,072 with this model. Scan it, or cut it into pieces.")
    assert [item.label for item in app.get("page_link")] == ["Go to Scan"] and not app.button


def test_a_model_without_a_sample_opens_on_pasting(open_page, toy_model):
    save_bundle(toy_model.path.with_name("bare"), replace(toy_model.config, name="bare"), weights(toy_model), {})
    for page, ways in ((PAGE, ["Paste", "Upload"]), ("pages/annotate/scan.py", ["Upload", "Paste"])):
        app = open_page(page, model="bare")
        assert not app.exception and app.segmented_control[0].options == ways
        assert app.segmented_control[0].value == ways[0]
        assert any(item.value.startswith("There is no sample") for item in app.caption)
        app.selectbox[0].set_value("toy-promoter").run()
        assert app.segmented_control[0].options == ["Sample", *ways]


def test_the_source_chosen_is_found_again_after_another_page(open_page, toy_model):
    app = open_page(PAGE)
    app.segmented_control[0].set_value("Paste").run()
    app.text_area[0].set_value(">mine\n" + "ACGTT" * 12).run()
    app.switch_page("pages/annotate/saliency.py").run()
    assert app.segmented_control[0].value == "Sample"
    app.radio[0].set_value("minus").run()
    app.switch_page(PAGE).run()
    assert not app.exception
    assert app.segmented_control[0].value == "Paste" and app.text_area[0].value.startswith(">mine")
    assert any(item.label == "Classify 1 record" for item in app.button)
    app.segmented_control[0].set_value("Upload").run()
    app.switch_page("pages/annotate/saliency.py").run()
    assert app.radio[0].value == "minus"
    app.switch_page(PAGE).run()
    assert app.segmented_control[0].value == "Upload"


def test_the_strand_chosen_is_found_again_after_another_page(open_page, toy_model):
    app = open_page(PAGE)
    app.radio(key="classify_strand").set_value("minus").run()
    app.switch_page("pages/models/models.py").run()
    app.switch_page(PAGE).run()
    assert not app.exception and app.radio(key="classify_strand").value == "minus"


def test_a_model_of_the_address_that_cannot_be_taken_is_told(open_page, toy_model):
    app = open_page(PAGE, model="gone")
    told = "There is no model 'gone' here; toy-promoter is chosen instead."
    assert [item.value for item in app.warning][:1] == [told]
    save_bundle(toy_model.path.with_name("other"), replace(toy_model.config, name="other"), weights(toy_model), {})
    app.run()
    assert told in [item.value for item in app.warning]
    app.selectbox[0].set_value("other").run()
    assert not app.exception and told not in [item.value for item in app.warning]
    app.switch_page("pages/models/models.py").run()
    app.query_params["model"] = "toy-promoter"
    assert not app.switch_page(PAGE).run().warning


@pytest.mark.parametrize(
    ("changes", "scans", "told"),
    [
        ({"head": HeadConfig("multiclass", ("a", "b", "c"))}, True, "other cannot scan: it is no classifier with a"),
        ({"kind": "language-model", "head": None}, False, "other cannot classify: it is a language model"),
    ],
)
def test_why_a_model_of_the_address_is_not_taken_is_told(toy_model, changes, scans, told):
    config = replace(toy_model.config, name="other", **changes)
    if config.head is None:
        config = replace(config, window=None, calibration=Calibration())
        model = LanguageModel(config.encoder, config.vocab_size)
    else:
        model = SequenceClassifier(config.encoder, config.head, config.vocab_size)
    save_bundle(toy_model.path.with_name("other"), config, model.state_dict(), {})
    script = f"from pages.shared import inputs\ninputs.pick_model('m', scans={scans})"
    app = AppTest.from_string(script, default_timeout=60)
    app.query_params["model"] = "other"
    app.run()
    assert not app.exception and app.selectbox[0].value == "toy-promoter"
    (said,) = (item.value for item in app.warning)
    assert said.startswith(told) and said.endswith("; toy-promoter is chosen instead.")


def test_a_source_that_the_page_had_to_choose_is_not_kept(open_page, toy_model):
    save_bundle(toy_model.path.with_name("bare"), replace(toy_model.config, name="bare"), weights(toy_model), {})
    app = open_page(PAGE, model="bare")
    assert app.segmented_control[0].value == "Paste"
    app.switch_page("pages/annotate/saliency.py").run()
    app.query_params["model"] = "toy-promoter"
    app.switch_page(PAGE).run()
    assert app.segmented_control[0].value == "Sample"


def test_long_input_is_handed_to_a_job_that_the_page_can_show(
    open_page, toy_model, monkeypatch, tmp_path, make_dna
):
    started = {}
    (tmp_path / "two.fa").write_text(f">a\n{make_dna(60)}\n>b\n{make_dna(60)}\n")

    def start_job(kind, arguments, *, title):
        started.update(kind=kind, arguments=arguments)
        job = Job("0" * 32, kind, title, tuple(arguments), tmp_path, "2026-01-01T00:00:00Z", "done")
        classify_file(tmp_path / "two.fa", job.result / arguments[-1], model=arguments[3])
        monkeypatch.setattr(running, "get_job", lambda identity: job)
        return job

    monkeypatch.setattr(running, "start_job", start_job)
    monkeypatch.setenv("GENOLM_DATA_ROOTS", str(tmp_path))
    (tmp_path / "many.fa").write_text("".join(f">r{number}\n{'ACGT' * 12500}\n" for number in range(41)))
    app = open_page(PAGE)
    app.segmented_control[0].set_value("File on the server").run()
    app.text_input[0].set_value("many.fa").run()
    run(app)
    assert started["kind"] == "classify"
    assert started["arguments"][1:4] == [str(tmp_path / "many.fa"), "--model", "toy-promoter"]
    assert app.query_params["job"] in ("0" * 32, ["0" * 32])
    table = app.dataframe[-1].value
    assert list(table["record"]) == ["a", "b"]
    assert list(table["p_other"] + table["p_promoter"]) == pytest.approx([1, 1], abs=1e-5)


def test_why_yes_begins_where_it_does_is_said():
    assert threshold_words(Calibration(threshold=0.46)).startswith("From 0.46 up (filled, blue) the answer is yes")
    words = threshold_words(Calibration(threshold=0.01, scan_threshold=0.18))
    assert "sites are rare" in words and "yes from 0.01 up" in words and "calls from 0.18 up" in words


def test_records_of_unknown_strand_are_read_on_both(open_page, toy_model, tmp_path):
    app = open_page(PAGE)
    sample = samples.site_sample(Window(60, 40, "TSS"))
    expected = {}
    for word, strand in {"minus": "-", "unknown": "either", "plus": "+"}.items():
        expected[word] = tmp_path / f"{word}.csv"
        classify_file(sample.path, expected[word], model="toy-promoter", strand=strand)
        app.radio(key="classify_strand").set_value(word).run()
        app = run(app)
        shown = app.dataframe[-1].value.drop(columns="known")
        pd.testing.assert_frame_equal(shown, pd.read_csv(expected[word]))
        said = [item.value for item in app.markdown if "read on the minus strand" in item.value]
        minus = int((shown["strand"] == "-").sum()) if strand != "+" else 0
        assert said == ([] if strand == "+" else [f"**{minus} of {len(shown)} read on the minus strand.**"])
    assert expected["unknown"].read_bytes() not in (expected["plus"].read_bytes(), expected["minus"].read_bytes())


def test_the_threshold_of_an_unknown_strand_is_its_own(open_page, toy_model):
    either = EitherStrand(surer=1.0, other=0.5, offset=0.0, threshold=0.77)
    config = replace(toy_model.config, name="other", calibration=Calibration(1.0, 0.33, either=either))
    model = SequenceClassifier(config.encoder, config.head, 67)
    save_bundle(toy_model.path.with_name("other"), config, model.state_dict(), {"sample": {"file": samples.SITES_FILE}})
    app = open_page(PAGE, model="other")
    for word, threshold in {"unknown": "0.77", "plus": "0.33"}.items():
        app.radio(key="classify_strand").set_value(word).run()
        app = run(app)
        captions = " ".join(item.value for item in app.caption)
        assert f"From {threshold} up" in captions
        assert ("counts what the model says of both" in captions) == (word == "unknown")


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"mirrored": True}, None), ({"head": HeadConfig("regression", ("activity",))}, ["plus", "minus"])],
)
def test_a_strand_that_cannot_be_asked_for_is_not_offered(open_page, toy_model, changes, words):
    config = replace(toy_model.config, name="other", **changes)
    model = SequenceClassifier(config.encoder, config.head, 67)
    save_bundle(toy_model.path.with_name("other"), config, model.state_dict(), {"sample": {"file": samples.SITES_FILE}})
    app = open_page(PAGE, model="other")
    assert [item.options for item in app.radio if item.key == "classify_strand"] == ([words] if words else [])
    assert "strand" not in run(app).dataframe[-1].value
