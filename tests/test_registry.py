"""Bundles: round trips, an independent reading of the format, and the refusal of everything broken."""

import dataclasses
import hashlib
import json
import resource
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from genolm import bundles, registry, workspace
from genolm.config import PRESETS, Calibration, EitherStrand, EncoderConfig, HeadConfig, TokenizerConfig, Window
from genolm.errors import BundleError, SettingsError
from genolm.jobs import Job
from genolm.model import LanguageModel

TOKENS = torch.tensor([[2, 5, 9, 30, 66]])
LENGTHS = torch.tensor([5])
EITHER = {"surer": 0.6, "other": 0.4, "offset": -0.2, "threshold": 0.45}


@pytest.fixture
def builtin(tmp_path, monkeypatch):
    """An empty folder of built-in models."""
    folder = tmp_path / "builtin"
    folder.mkdir()
    monkeypatch.setattr(workspace, "builtin_models_dir", lambda: folder)
    return folder


@pytest.fixture
def bundle_folder(toy_bundle_path, tmp_path):
    """A copy of the toy classifier that a test may spoil."""
    return shutil.copytree(toy_bundle_path, tmp_path / "spoilt")


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def bundle_members(folder, prefix="toy/"):
    return {prefix + item.name: item.read_bytes() for item in folder.iterdir()}


def language_config(**changes):
    given = {
        "name": "toy",
        "kind": "language-model",
        "tokenizer": TokenizerConfig(3, 2),
        "encoder": PRESETS["tiny"],
    }
    return registry.BundleConfig(**{**given, **changes})


def test_a_calibration_for_either_strand_is_kept_in_a_format_of_its_own(bundle_folder):
    assert "either" not in json.loads((bundle_folder / "config.json").read_text())["calibration"]
    edit_config(bundle_folder, format_version=3, calibration={"temperature": 1.5, "threshold": 0.4, "either": EITHER})
    loaded = registry.load_bundle(bundle_folder)
    assert loaded.config.calibration == Calibration(1.5, 0.4, either=EitherStrand(**EITHER))
    saved = registry.save_bundle(bundle_folder.with_name("again"), loaded.config, loaded.state_dict(), {})
    assert json.loads((saved.path / "config.json").read_text())["format_version"] == 3
    assert saved.config == registry.load_bundle(saved.path).config == loaded.config


def test_every_setting_survives_the_round_trip(tmp_path):
    config = registry.BundleConfig(
        name="all-settings",
        kind="classifier",
        title="Title",
        purpose="Purpose",
        tokenizer=TokenizerConfig(2, 1),
        encoder=EncoderConfig(emb=8, hid=12, layers=2),
        head=HeadConfig("multiclass", ("a", "b", "ä ö"), 7),
        window=Window(81, 60, "TSS"),
        calibration=Calibration(1.7, 0.31),
    )
    model = bundles._empty_model(config)
    saved = registry.save_bundle(
        tmp_path / "all-settings", config, model.state_dict(), {"limits": ["none known"]}
    )
    loaded = registry.load_bundle(str(tmp_path / "all-settings"))
    assert loaded.config == saved.config == config
    assert loaded.card == {"title": "Title", "purpose": "Purpose", "limits": ["none known"]}


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 0.0), ("fp16", 2e-3), ("bf16", 2e-2)])
def test_built_model_answers_as_the_saved_one(tmp_path, toy_bundle_path, dtype, tolerance):
    original = registry.load_bundle(toy_bundle_path).build()
    with torch.no_grad():
        for value in original.parameters():
            value.add_(1e-5)
    config = registry.load_bundle(toy_bundle_path).config
    saved = registry.save_bundle(tmp_path / "again", config, original.state_dict(), {}, dtype=dtype)
    rebuilt = saved.build()
    assert not rebuilt.training
    assert {value.dtype for value in rebuilt.parameters()} == {torch.float32}
    with torch.no_grad():
        difference = (rebuilt(TOKENS, LENGTHS) - original(TOKENS, LENGTHS)).abs().max()
    assert difference <= tolerance


def test_files_are_what_the_format_says(toy_bundle_path):
    assert {item.name for item in toy_bundle_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "card.json",
        "card.md",
    }
    weights = (toy_bundle_path / "model.safetensors").read_bytes()
    config = json.loads((toy_bundle_path / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["weights"]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert registry.load_bundle(toy_bundle_path).sha256 == config["weights"]["sha256"]
    arrays = load_file(toy_bundle_path / "model.safetensors")
    assert arrays["encoder.embedding.weight"].dtype == np.float16
    assert arrays["encoder.embedding.weight"].shape == (67, 32)
    assert arrays["encoder.rnns.0.bias"].dtype == np.float32
    assert all(stat.S_IMODE(item.stat().st_mode) & 0o044 == 0o044 for item in toy_bundle_path.iterdir())


def test_tied_weights_can_be_saved(tmp_path):
    model = LanguageModel(PRESETS["tiny"], 67)
    state = model.state_dict()
    state["encoder.rnns.2.bias"] = state["encoder.rnns.1.bias"] = torch.zeros(4 * 48)
    stored = bundles.stored_state(state, "fp32")
    assert stored["encoder.rnns.2.bias"].data_ptr() != stored["encoder.rnns.1.bias"].data_ptr()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    state = LanguageModel(PRESETS["tiny"], 67).state_dict()
    state["encoder.embedding.weight"][3, 3] = value
    with pytest.raises(BundleError, match="encoder.embedding.weight has numbers that are not finite"):
        registry.save_bundle(tmp_path / "bad", language_config(), state, {})
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(("size", "kept"), [(1e-9, True), (1e-4, True), (1e-3, False), (1.0, False), (6e4, False), (1e6, True)])
def test_a_matrix_that_fp16_cannot_hold_stays_as_it_is(size, kept):
    matrix = torch.tensor([[1.0, -1 / 3], [0.1, 0.0]]) * size
    stored = bundles.stored_state({"last": matrix, "bias": matrix[0], "none": torch.zeros(2, 2)})
    assert stored["last"].dtype == (torch.float32 if kept else torch.float16) and stored["none"].dtype == torch.float16
    assert stored["bias"].dtype == torch.float32 and torch.equal(stored["bias"], matrix[0])
    error = (stored["last"].float() - matrix).abs().max() / size
    assert error == 0 if kept else error < 2**-11


def test_save_takes_the_place_of_a_bundle_only(tmp_path):
    state = LanguageModel(PRESETS["tiny"], 67).state_dict()
    folder = tmp_path / "mine"
    registry.save_bundle(folder, language_config(title="old"), state, {})
    registry.save_bundle(folder, language_config(title="new"), state, {})
    assert registry.load_bundle(folder).config.title == "new"
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("years of work")
    with pytest.raises(BundleError, match="is not empty and is no bundle"):
        registry.save_bundle(other, language_config(), state, {})
    assert (other / "chapter.txt").exists()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["mine", "thesis"]


def test_a_save_that_breaks_off_leaves_the_old_bundle(tmp_path, monkeypatch):
    state = LanguageModel(PRESETS["tiny"], 67).state_dict()
    folder = tmp_path / "mine"
    before = registry.save_bundle(folder, language_config(title="old"), state, {}).sha256
    state["decoder_bias"] += 1

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundles, "write_description", full_disk)
    with pytest.raises(OSError, match="No space"):
        registry.save_bundle(folder, language_config(title="new"), state, {})
    assert registry.load_bundle(folder).sha256 == before
    assert [item.name for item in tmp_path.iterdir()] == ["mine"]


def test_a_model_whose_replacing_was_cut_off_can_be_had_back(bundle_folder, private_workspace):
    registry.import_bundle(bundle_folder, name="mine")
    lost = private_workspace / "models" / ".mine-ab12_x9y" / "old"
    lost.parent.mkdir()
    (private_workspace / "models" / "mine").rename(lost)
    with pytest.raises(BundleError, match=f"'mine' was being replaced when that was cut off.*{lost}; import"):
        registry.load_bundle("mine")
    with pytest.raises(BundleError, match="There is no model 'min'"):
        registry.load_bundle("min")
    (private_workspace / "models" / ".my-own-ab12_x9y" / "old").mkdir(parents=True)
    with pytest.raises(BundleError, match="There is no model 'my'"):
        registry.load_bundle("my")
    registry.import_bundle(lost)
    assert registry.find_bundle("mine").config.name == "mine"


def test_weights_that_no_disk_holds_leave_nothing(tmp_path):
    state = LanguageModel(PRESETS["tiny"], 67).state_dict()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            registry.save_bundle(tmp_path / "mine", language_config(), state, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_corrupt_bundles_are_refused_with_a_sentence(bundle_folder):
    weights = bundle_folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(BundleError, match="cut short"):
        registry.load_bundle(bundle_folder)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleError, match="sha256 differs"):
        registry.load_bundle(bundle_folder)
    weights.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(BundleError, match="no safetensors file"):
        registry.load_bundle(bundle_folder)
    weights.unlink()
    with pytest.raises(BundleError, match="missing"):
        registry.load_bundle(bundle_folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 4}, "has format 4; this genolm reads up to 3"),
        ({"format_version": True}, "it is no bundle of genolm"),
        ({"members": 2}, "format 1, which knows no members"),
        ({"format_version": 2, "members": 0}, "members is 0; a model has 1 to 32"),
        ({"format_version": 2, "members": 10**9}, "members is 1000000000; a model has 1 to 32"),
        ({"format_version": 2, "members": True}, "members is True"),
        ({"format_version": 2, "members": "2"}, "members is '2'"),
        ({"format_version": 2, "members": None}, "members is None"),
        ({"format_version": 2, "mirrored": "yes"}, "mirrored is 'yes'; it must be true or false"),
        ({"format_version": 2, "mirrored": 1}, "mirrored is 1"),
        ({"format_version": 2, "calibration": {"either": EITHER}}, "format 2, which knows no calibration.either"),
        ({"format_version": 3, "calibration": {"either": {**EITHER, "other": -0.1}}}, "no way to count both strands"),
        ({"format_version": 3, "calibration": {"either": {"surer": 1}}}, "missing 3 required"),
        ({"format_version": 3, "calibration": {"either": EITHER}, "mirrored": True}, "does not choose between strands"),
        ({"format_version": 2, "framed": True}, "format 2, which knows no framed"),
        ({"format_version": 3, "framed": "yes"}, "framed is 'yes'; it is true or false"),
        ({"format_version": 3, "framed": True, "tokenizer": {"k": 3, "stride": 1}}, "false with streamed and where"),
        ({"format_version": "1"}, "it is no bundle of genolm"),
        ({"format_version": None}, "it is no bundle of genolm"),
        ({"colour": "red"}, "has no setting colour"),
        ({"kind": "regressor"}, "is a language-model or a classifier"),
        ({"head": None}, "a classifier has a head"),
        ({"tokenizer": {"k": 11, "stride": 1}}, "a k-mer has 1 to 8 bases"),
        ({"tokenizer": "3-mers"}, "does not describe a model"),
        ({"encoder": [1, 2]}, "does not describe a model"),
        ({"name": "../../etc"}, "cannot be a model's name"),
        ({"weights": None}, "sha256 of its weights"),
    ],
)
def test_wrong_configurations_are_refused_with_a_sentence(bundle_folder, changes, message):
    edit_config(bundle_folder, **changes)
    with pytest.raises(BundleError, match=message):
        registry.load_bundle(bundle_folder)


def test_members_and_the_other_strand_are_format_2_and_survive(builtin, toy_bundle_path, tmp_path):
    one = registry.load_bundle(toy_bundle_path)
    config = dataclasses.replace(one.config, name="three", members=3, mirrored=True)
    model = bundles._empty_model(config)
    saved = registry.save_bundle(tmp_path / "three", config, model.state_dict(), {}, dtype="fp32")
    assert json.loads((saved.path / "config.json").read_text())["format_version"] == 2
    assert {key.split(".")[1] for key in load_file(saved.path / "model.safetensors")} == {"0", "1", "2"}
    registry.import_bundle(saved.path, name="mine")
    registry.import_bundle(registry.export_bundle("mine", tmp_path / "mine.zip"), name="copy")
    copy = registry.load_bundle("copy")
    assert copy.config == dataclasses.replace(config, name="copy") and copy.sha256 == saved.sha256
    with torch.no_grad():
        assert torch.equal(copy.build()(TOKENS, LENGTHS), model.eval()(TOKENS, LENGTHS))
    facts = registry.config_facts(copy.config)
    assert facts["Members"] == "3 networks, the mean of their answers"
    assert "both strands" in facts["Strands"]
    assert facts["Members"] in (copy.path / "card.md").read_text()
    assert set(copy.encoder_state()) == set(one.encoder_state())
    assert torch.equal(copy.encoder_state()["encoder.rnns.0.bias"], model.members[0].encoder.rnns[0].bias)


def test_a_model_of_one_member_is_written_as_format_1_always_was(
    toy_bundle_path, toy_language_model_path, tmp_path
):
    known = {"format_version", "name", "kind", "title", "purpose", "tokenizer", "encoder", "head", "window"}
    for path in (toy_bundle_path, toy_language_model_path):
        stored = json.loads((path / "config.json").read_text())
        assert set(stored) == known | {"calibration", "weights"} and stored["format_version"] == 1
        bundle = registry.load_bundle(path)
        assert (bundle.config.members, bundle.config.mirrored, bundle.config.format_version) == (1, False, 1)
        registry.save_bundle(tmp_path / path.name, bundle.config, bundle.state_dict(), bundle.card)
        for item in path.iterdir():
            assert (tmp_path / path.name / item.name).read_bytes() == item.read_bytes()
        assert set(registry.config_facts(bundle.config)).isdisjoint({"Members", "Strands"})


def test_weights_of_fewer_members_are_refused(toy_bundle_path, tmp_path):
    one = registry.load_bundle(toy_bundle_path)
    config = dataclasses.replace(one.config, members=2)
    with pytest.raises(BundleError, match=r"do not fit its config\.json"):
        registry.save_bundle(tmp_path / "two", config, one.state_dict(), {}).build()


@pytest.mark.parametrize("changes", [{"members": 2}, {"mirrored": True}])
def test_a_language_model_has_nothing_to_average(changes):
    with pytest.raises(BundleError, match="is a language-model; it has no answers to be averaged"):
        language_config(**changes)


def test_text_that_is_no_json_is_refused(bundle_folder):
    (bundle_folder / "card.json").write_text("{")
    with pytest.raises(BundleError, match=r"card\.json cannot be read as JSON"):
        registry.load_bundle(bundle_folder)
    (bundle_folder / "card.json").write_text("[]")
    with pytest.raises(BundleError, match="does not hold a JSON object"):
        registry.load_bundle(bundle_folder)
    (bundle_folder / "card.json").unlink()
    with pytest.raises(BundleError, match=r"has no card\.json"):
        registry.load_bundle(bundle_folder)


def test_weights_of_another_model_are_refused(bundle_folder):
    arrays = load_file(bundle_folder / "model.safetensors")
    arrays["encoder.embedding.weight"] = arrays["encoder.embedding.weight"][:-1].copy()
    save_file(arrays, bundle_folder / "model.safetensors")
    digest = hashlib.sha256((bundle_folder / "model.safetensors").read_bytes()).hexdigest()
    edit_config(bundle_folder, weights={"sha256": digest})
    with pytest.raises(BundleError, match=r"do not fit its config\.json: size mismatch"):
        registry.load_bundle(bundle_folder).build()


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "..", "a.b", "ä", "a" * 65, "a\n"])
def test_names_are_letters_digits_and_dashes(name):
    with pytest.raises(BundleError, match="cannot be a model's name"):
        registry.check_name(name)


def test_zip_round_trip(builtin, toy_bundle_path, tmp_path):
    registry.import_bundle(toy_bundle_path, name="mine")
    path = registry.export_bundle("mine", tmp_path / "mine.zip")
    assert sorted(zipfile.ZipFile(path).namelist()) == [
        "mine/card.json",
        "mine/card.md",
        "mine/config.json",
        "mine/model.safetensors",
    ]
    info = registry.import_bundle(path, name="copy")
    assert not info.builtin
    assert info.config.name == "copy"
    copy, original = registry.load_bundle("copy"), registry.load_bundle(toy_bundle_path)
    assert copy.sha256 == original.sha256
    assert copy.card == original.card
    with torch.no_grad():
        assert torch.equal(copy.build()(TOKENS, LENGTHS), original.build()(TOKENS, LENGTHS))


def test_a_zip_can_be_used_as_it_is(toy_bundle_path, tmp_path):
    path = zip_of(tmp_path / "toy.zip", bundle_members(toy_bundle_path, prefix=""))
    bundle = registry.load_bundle(str(path))
    unpacked = bundle.path
    assert bundle.build() is not None
    assert unpacked.exists()
    del bundle
    assert not unpacked.exists()


def test_a_zip_made_by_a_mac_can_be_imported(builtin, toy_bundle_path, tmp_path):
    members = bundle_members(toy_bundle_path) | {"__MACOSX/toy/._config.json": b"x", "toy/.DS_Store": b"x"}
    assert registry.import_bundle(zip_of(tmp_path / "toy.zip", members)).name == "toy-promoter"


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "/etc/config.json", "a/../config.json", "toy/model.pkl", "../config.json", "a/b/card.md"],
)
def test_zips_with_anything_else_are_refused(builtin, toy_bundle_path, tmp_path, name):
    path = zip_of(tmp_path / "toy.zip", bundle_members(toy_bundle_path) | {name: b"{}"})
    with pytest.raises(BundleError, match="is refused"):
        registry.import_bundle(path)
    assert registry.list_bundles() == []


@pytest.mark.parametrize(
    ("prefix", "more", "sentence"),
    [
        ("", ["model.bin"], "'model.bin' is no part of a model; give the .zip that 'genolm models export' or"),
        ("out/My Model/", [], "lies in a folder of a folder; zip 'My Model' by itself"),
        ("a/", ["b/config.json"], "it has config.json twice; zip each model by itself"),
    ],
)
def test_of_a_foreign_zip_it_is_said_what_to_do(builtin, toy_bundle_path, tmp_path, prefix, more, sentence):
    members = bundle_members(toy_bundle_path, prefix=prefix) | dict.fromkeys(more, b"{}")
    with pytest.raises(BundleError, match="toy.zip is no zip of one model and is refused: ") as caught:
        registry.import_bundle(zip_of(tmp_path / "toy.zip", members))
    assert sentence in str(caught.value)


def test_broken_and_huge_zips_are_refused(builtin, toy_bundle_path, tmp_path, monkeypatch):
    path = zip_of(tmp_path / "toy.zip", bundle_members(toy_bundle_path))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="is not a whole zip"):
        registry.import_bundle(path)
    spoilt = bytearray(whole)
    spoilt[whole.index(b"model.safetensors") + 5000] ^= 255
    path.write_bytes(spoilt)
    with pytest.raises(BundleError, match="is not a whole zip"):
        registry.import_bundle(path)
    path.write_bytes(whole)
    monkeypatch.setattr(bundles, "MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(BundleError, match="would unpack to more than"):
        registry.import_bundle(path)
    empty = zip_of(tmp_path / "empty.zip", {})
    with pytest.raises(BundleError, match=rf"{empty} has no config\.json"):
        registry.import_bundle(empty)


def test_list_shows_builtin_first_and_broken_ones_with_their_error(
    builtin, toy_bundle_path, toy_language_model_path
):
    shutil.copytree(toy_bundle_path, builtin / "zz-built-in")
    registry.import_bundle(toy_language_model_path)
    (workspace.models_dir() / "broken").mkdir()
    (workspace.models_dir() / ".hidden").mkdir()
    found = registry.list_bundles()
    assert [(info.name, info.builtin) for info in found] == [
        ("zz-built-in", True),
        ("broken", False),
        ("toy-lm", False),
    ]
    assert "has no config.json" in found[1].error
    assert found[0].error is None
    assert found[0].config.name == "zz-built-in"
    assert [info.name for info in registry.list_bundles(kind="language-model")] == ["toy-lm"]


def test_find_says_what_there_is(builtin, toy_bundle_path):
    registry.import_bundle(toy_bundle_path)
    with pytest.raises(BundleError, match=r"there are: toy-promoter\. Did you mean 'toy-promoter'\?"):
        registry.load_bundle("toy-promotor")
    with pytest.raises(BundleError, match="There is no bundle at"):
        registry.load_bundle("./toy-promoter")


def test_a_path_of_one_word_names_a_model_and_a_link_alone_is_removed(builtin, toy_bundle_path, tmp_path):
    registry.import_bundle(toy_bundle_path)
    assert registry.find_bundle(Path("toy-promoter")).name == "toy-promoter"
    target = shutil.copytree(toy_bundle_path, tmp_path / "elsewhere")
    (workspace.models_dir() / "linked").symlink_to(target)
    registry.remove_bundle(Path("linked"))
    assert not (workspace.models_dir() / "linked").exists() and (target / "model.safetensors").is_file()
    registry.remove_bundle(Path("toy-promoter"))
    assert registry.list_bundles() == []


def test_names_are_protected(builtin, toy_bundle_path, toy_language_model_path):
    shutil.copytree(toy_bundle_path, builtin / "fixed")
    with pytest.raises(BundleError, match="built-in model; choose another name"):
        registry.import_bundle(toy_bundle_path, name="fixed", replace=True)
    with pytest.raises(BundleError, match="cannot be removed"):
        registry.remove_bundle("fixed")
    registry.import_bundle(toy_bundle_path, name="mine")
    with pytest.raises(BundleError, match="There already is a model 'mine'"):
        registry.import_bundle(toy_language_model_path, name="mine")
    info = registry.import_bundle(toy_language_model_path, name="mine", replace=True)
    assert info.config.kind == "language-model"
    registry.remove_bundle("mine")
    assert [info.name for info in registry.list_bundles()] == ["fixed"]


@pytest.mark.parametrize(
    ("arguments", "needs"),
    [
        (["classify", "/data/a.fa", "--model", "mine", "--out", "o.csv"], True),
        (["finetune", "/data/t.csv", "--base", "mine", "--name", "new"], True),
        (["compare", "other", "mine", "/data/t.csv"], True),
        (["evaluate", "mine", "/data/t.csv"], True),
        (["finetune", "/data/t.csv", "--base", "other", "--name", "mine"], False),
        (["compare", "other", "another", "mine"], False),
    ],
)
def test_a_model_that_an_open_job_needs_stays(builtin, toy_bundle_path, monkeypatch, arguments, needs):
    def job(state):
        return Job("ab" * 16, arguments[0], "A job", tuple(arguments), workspace.home(), "2026-01-01T00:00:00Z", state)

    registry.import_bundle(toy_bundle_path, name="mine")
    for state, stays in (("done", False), ("running", needs), ("queued", needs)):
        monkeypatch.setattr(registry, "list_jobs", lambda state=state: [job(state)])
        assert [found.state for found in registry.jobs_with("mine")] == [state] * stays
    if needs:
        told = rf"'mine' is in use by 1 open job: {arguments[0]} abababababab \(queued\)\. Wait .*--force"
        with pytest.raises(BundleError, match=told):
            registry.remove_bundle("mine")
        with pytest.raises(BundleError, match=r"\(queued\)\. Wait .* JOB'; or import by another name\."):
            registry.import_bundle(toy_bundle_path, name="mine", replace=True)
    else:
        registry.import_bundle(toy_bundle_path, name="mine", replace=True)
    registry.remove_bundle("mine", force=needs)
    assert registry.list_bundles() == []


def test_export_into_a_missing_folder_is_refused(builtin, toy_bundle_path, tmp_path):
    registry.import_bundle(toy_bundle_path)
    with pytest.raises(BundleError, match="There is no folder"):
        registry.export_bundle("toy-promoter", tmp_path / "nowhere" / "toy.zip")


def test_storage_types_are_checked(tmp_path):
    with pytest.raises(SettingsError, match="weights are stored as fp16, bf16, fp32"):
        registry.save_bundle(tmp_path / "x", language_config(), {}, {}, dtype="int8")
