"""ONNX files: read with onnxruntime and the file's own metadata alone, they answer as the predictor does."""

import dataclasses
import json
import stat

import numpy as np
import pytest
from click.testing import CliRunner

import genolm.compute  # noqa: F401
import torch

from genolm import bundles, onnx_export, registry
from genolm.cli import commands
from genolm.config import Calibration, EitherStrand, EncoderConfig, HeadConfig, TokenizerConfig, Window
from genolm.errors import BundleError, SettingsError
from genolm.onnx_export import export_onnx, file_metadata
from genolm.predict import Predictor

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

PAIR = str.maketrans("ACGTU", "TGCAA")


def save(folder, *, head=HeadConfig("binary", ("no", "yes")), **changes):
    """Save a random classifier whose logits are far apart, and return its bundle."""
    given = {
        "name": folder.name,
        "kind": "classifier",
        "tokenizer": TokenizerConfig(3, 2),
        "encoder": EncoderConfig(emb=8, hid=12),
        "head": head,
        "calibration": Calibration(5.0, 0.4),
    }
    config = registry.BundleConfig(**{**given, **changes})
    torch.manual_seed(5)
    model = bundles._empty_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
        for key, buffer in model.named_buffers():
            if buffer.is_floating_point():
                buffer.add_(torch.rand(buffer.shape))
    return registry.save_bundle(folder, config, model.state_dict(), {}, dtype="fp32")


def metadata(session):
    return {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}


def tokens_by_the_rule(sequence, settings):
    """Follow the words of the file's description, letter by letter."""
    k, stride, found = settings["k"], settings["stride"], [settings["separator"]]
    letters = sequence.upper().replace("U", "T")
    for start in range(0, len(letters) - k + 1, stride):
        values = [settings["bases"].find(letter) for letter in letters[start : start + k]]
        number = sum(value * 4**place for place, value in enumerate(reversed(values)))
        found.append(settings["unknown"] if -1 in values else settings["first_kmer"] + number)
    return found


def answers(path, sequences):
    """Return the probabilities of an ONNX file by its metadata alone, all sequences in one batch."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    facts = metadata(session)

    def logits(readings):
        rows = [tokens_by_the_rule(reading, facts["tokenizer"]) for reading in readings]
        lengths = np.array([len(row) for row in rows])
        tokens = np.full((len(rows), lengths.max()), facts["tokenizer"]["pad"])
        for line, row in zip(tokens, rows, strict=True):
            line[: len(row)] = row
        return session.run(["logits"], {"tokens": tokens, "lengths": lengths})[0]

    strands = [sequences]
    if facts["mirrored"]:
        strands.append([item.upper().translate(PAIR)[::-1] for item in sequences])
    k, firsts = facts["tokenizer"]["k"], range(facts["tokenizer"]["stride"] if facts["framed"] else 1)
    readings = [
        [item[first:] if len(item) - first >= k else item for item in strand] for strand in strands for first in firsts
    ]
    found = np.mean([logits(reading) for reading in readings], axis=0)
    if facts["task"] == "regression":
        return found
    scaled = found.astype(np.float64) / facts["temperature"]
    if facts["task"] == "multilabel":
        return 1 / (1 + np.exp(-scaled))
    return np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)


KINDS = {
    "plain": {},
    "two layers, every base": {
        "tokenizer": TokenizerConfig(2, 1),
        "encoder": EncoderConfig(emb=6, hid=10, layers=2),
    },
    "slots": {"head": HeadConfig("multiclass", ("a", "b", "ä"), 7, 5), "window": Window(60, 40, "TSS")},
    "ensemble": {"members": 3, "head": HeadConfig("multilabel", ("a", "b", "c"))},
    "mirrored ensemble with slots": {
        "members": 2,
        "mirrored": True,
        "head": HeadConfig("regression", ("level",), 9, 3),
    },
    "mirrored": {"mirrored": True},
    "framed": {"framed": True, "tokenizer": TokenizerConfig(3, 3)},
    "framed and mirrored": {"framed": True, "mirrored": True, "tokenizer": TokenizerConfig(4, 3)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_and_its_metadata_give_the_probabilities_of_the_predictor(tmp_path, make_dna, kind):
    bundle = save(tmp_path / "toy", **KINDS[kind])
    written = export_onnx(str(bundle.path), tmp_path / "toy.onnx")
    assert 0 < written.largest_difference < 1e-4 and written.compared == 17
    assert written.size == written.path.stat().st_size
    sequences = [make_dna(length) for length in (1, 2, 3, 5, 60, 61, 200)]
    sequences += [make_dna(50).lower(), make_dna(30) + "NNRY" + make_dna(31), "AUGC" * 9]
    predictor = Predictor(bundle, device="cpu", precision="fp32")
    expected = predictor.probabilities(predictor.logits(sequences))
    assert np.ptp(expected[:, -1]) > 0.01
    np.testing.assert_allclose(answers(written.path, sequences), expected, atol=2e-5)


def test_the_file_says_what_it_is(tmp_path, toy_bundle_path):
    path = export_onnx(toy_bundle_path, tmp_path / "toy.onnx").path
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [item.name for item in tmp_path.iterdir()] == ["toy.onnx"]
    model = onnx.load(path)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 18)]
    assert sum(node.op_type == "LSTM" for node in model.graph.node) == 3
    shapes = {
        item.name: [size.dim_param or size.dim_value for size in item.type.tensor_type.shape.dim]
        for item in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {"tokens": ["batch", "time"], "lengths": ["batch"], "logits": ["batch", 2]}
    assert "A k-mer's token is 3 plus its value" in model.doc_string
    facts = metadata(onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]))
    assert facts["tokenizer"] == {
        "k": 3,
        "stride": 2,
        "pad": 0,
        "unknown": 1,
        "separator": 2,
        "first_kmer": 3,
        "bases": "ACGT",
    }
    assert facts["classes"] == ["other", "promoter"] and facts["task"] == "binary"
    assert facts["window"] == {"length": 60, "anchor": 40, "anchor_name": "TSS"}
    assert (facts["temperature"], facts["mirrored"], facts["members"]) == (1.0, False, 1)
    assert facts["framed"] is False and facts["either"] is None
    assert facts["weights_sha256"] == registry.load_bundle(toy_bundle_path).sha256


def test_a_file_says_how_frames_and_an_unknown_strand_are_read(toy_bundle_path):
    bundle = registry.load_bundle(toy_bundle_path)
    either = EitherStrand(surer=0.5, other=0.25, offset=-0.1, threshold=0.4)
    config = dataclasses.replace(bundle.config, framed=True, calibration=Calibration(2.0, 0.3, either=either))
    facts = file_metadata(dataclasses.replace(bundle, config=config))
    assert json.loads(facts["framed"]) is True
    assert json.loads(facts["either"]) == {"surer": 0.5, "other": 0.25, "offset": -0.1, "threshold": 0.4}


def test_a_file_that_answers_otherwise_is_not_written(tmp_path, toy_bundle_path, monkeypatch):
    target = tmp_path / "toy.onnx"
    target.write_text("an older file")
    monkeypatch.setattr("genolm.onnx_graph._TORCH_GATES_IN_ONNX_ORDER", (0, 1, 2, 3))
    with pytest.raises(BundleError, match=r"model's by .*, more than 0\.001; it was not written"):
        export_onnx(toy_bundle_path, target)
    assert target.read_text() == "an older file" and len(list(tmp_path.iterdir())) == 1
    unchecked = export_onnx(toy_bundle_path, target, verify=False)
    assert (unchecked.largest_difference, unchecked.compared) == (None, 0)


def test_a_model_that_gives_no_numbers_is_not_written(tmp_path):
    bundle = save(tmp_path / "toy")
    state = bundle.state_dict()
    state["head.layers.2.bias"] += 1e30
    state["head.layers.6.weight"] += 3e38
    broken = registry.save_bundle(tmp_path / "broken", bundle.config, state, {}, dtype="fp32")
    with pytest.raises(BundleError, match="not a number; its weights are damaged"):
        export_onnx(broken.path, tmp_path / "toy.onnx")


def test_what_cannot_be_written_is_refused_with_a_sentence(
    tmp_path, toy_bundle_path, toy_language_model_path, monkeypatch
):
    with pytest.raises(BundleError, match="'toy-lm' is a language model; only a classifier"):
        export_onnx(toy_language_model_path, tmp_path / "x.onnx")
    with pytest.raises(BundleError, match="There is no folder"):
        export_onnx(toy_bundle_path, tmp_path / "none" / "x.onnx")
    with pytest.raises(BundleError, match="is a folder; name a file"):
        export_onnx(toy_bundle_path, tmp_path)
    monkeypatch.setattr(onnx_export, "MAX_BYTES", 1000)
    with pytest.raises(BundleError, match="one ONNX file holds"):
        export_onnx(toy_bundle_path, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_there_is_a_sentence(tmp_path, toy_bundle_path, monkeypatch):
    found = onnx_export.importlib.util.find_spec
    monkeypatch.setattr(
        onnx_export.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    assert not onnx_export.is_available()
    with pytest.raises(SettingsError, match="extra packages onnxruntime; .*pip install onnxruntime"):
        export_onnx(toy_bundle_path, tmp_path / "toy.onnx")
    assert export_onnx(toy_bundle_path, tmp_path / "toy.onnx", verify=False).path.exists()


def test_the_command(tmp_path, toy_bundle_path):
    name = registry.import_bundle(toy_bundle_path, name="mine").name
    target, packed = tmp_path / "mine.onnx", tmp_path / "mine.zip"
    ran = CliRunner().invoke(commands, ["models", "export", name, "--onnx", str(target)])
    assert ran.exit_code == 0 and "17 random sequences its logits differ" in ran.stderr
    both = ["models", "export", name, str(packed), "--onnx", str(target), "--json"]
    ran = CliRunner().invoke(commands, both)
    found = json.loads(ran.stdout)
    assert found["zip"] == str(packed) and packed.exists()
    assert found["onnx"]["opset"] == 18 and found["onnx"]["largest_difference"] < 1e-4
    ran = CliRunner().invoke(commands, ["models", "export", name])
    assert ran.exit_code == 2 and "give FILE.zip, or --onnx FILE" in ran.stderr
