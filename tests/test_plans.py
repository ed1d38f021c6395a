from dataclasses import replace

import numpy as np
import pytest

from genolm.common_site import site_strength
from genolm.config import FinetuneSettings
from genolm.errors import SettingsError, TrainingError
from genolm.plans import COMMON_SITE, SLOTS, TaskSize, plan_training, task_size

SIZE = TaskSize("binary", (1100, 1000), 2100, 240, 240, (100, 100, 100), 210_000)


def test_the_size_of_a_task_is_that_of_its_training_rows():
    parts = np.array(["train", "train", "valid", "train", "test"])
    size = task_size("binary", np.array([0, 1, 1, 1, 0]), ["A" * 10, "A" * 30, "A", "A" * 20, "A"], parts, extra_bases=5)
    assert size == TaskSize("binary", (1, 2), 3, 1, 1, (10, 20, 30), 65)


def windows(rows, length=81, *, at=None):
    """Random sequences; with ``at`` every other one has TATAAT there."""
    rng = np.random.default_rng(rows)
    every = ["".join(rng.choice(list("ACGT"), length, p=[0.3, 0.2, 0.2, 0.3])) for _ in range(rows)]
    if at is not None:
        every[::2] = [f"{item[:at]}TATAAT{item[at + 6 :]}" for item in every[::2]]
    return every, np.arange(rows) % 2, np.full(rows, "train")


def planned(sequences, labels, parts):
    size = task_size("binary", labels, sequences, parts)
    return size, plan_training(size, FinetuneSettings())


def test_few_windows_around_a_common_site_are_looked_at_place_by_place():
    (size, plan), (_, without) = planned(*windows(120, at=40)), planned(*windows(120))
    assert size.site > COMMON_SITE and plan.slots == SLOTS and without.slots == 0
    assert any("seem to have a site in common" in reason for reason in plan.reasons)
    sequences, labels, parts = windows(120, at=40)
    anywhere = [item[place % 70 :] + item[: place % 70] for place, item in enumerate(sequences)]
    assert planned(anywhere, labels, parts)[1].slots == 0
    uneven = [item[: 81 - place % 2] for place, item in enumerate(sequences)]
    assert planned(uneven, labels, parts)[0].site == 0
    # With many rows they are whatever the sequences are.
    size, plan = planned(*windows(1_000))
    assert size.site == 0 and plan.slots == SLOTS


def test_few_rows_of_many_classes_are_looked_at_place_by_place_only_around_a_site():
    sequences, _, parts = windows(1_000)
    ten = np.arange(1_000) % 10

    def learned(sequences, task="multiclass", labels=ten):
        size = task_size(task, labels, sequences, parts)
        return size.site, plan_training(size, FinetuneSettings()).slots

    site, slots = learned(sequences)
    assert 0 != abs(site) < COMMON_SITE and slots == 0
    marked = [f"{item[:40]}TATAAT{item[46:]}" if label < 5 else item for item, label in zip(sequences, ten, strict=True)]
    site, slots = learned(marked)
    assert site > COMMON_SITE and slots == SLOTS
    several = (np.arange(10) == ten[:, None]).astype(np.float32)
    assert learned(sequences, "multilabel", several)[1] == 0
    assert learned(sequences, labels=ten % 2) == learned(sequences, "regression", ten / 1.0) == (0, SLOTS)


def test_a_class_without_training_rows_makes_no_class_rare():
    plan = plan_training(replace(SIZE, task="multiclass", counts=(1100, 1000, 0)), FinetuneSettings())
    assert not plan.classifier.balanced and not any("rarest class" in reason for reason in plan.reasons)
    plan = plan_training(replace(SIZE, task="multiclass", counts=(1100, 100, 0)), FinetuneSettings())
    assert any("The rarest class has 100 training rows" in reason for reason in plan.reasons)


def test_slots_are_as_wanted_whatever_the_sequences_are():
    size = planned(*windows(1_000))[0]
    for wanted in (0, 7):
        plan = plan_training(size, FinetuneSettings(slots=wanted))
        assert plan.slots == wanted
        assert any("equal parts" in reason for reason in plan.reasons) == bool(wanted)
    with pytest.raises(SettingsError, match=r"100 parts of a sequence .* the shortest to learn from has 81 bp; give fewer"):
        plan_training(size, FinetuneSettings(slots=100))
    with pytest.raises(SettingsError, match="slots is -1; it must be 0 or more"):
        FinetuneSettings(slots=-1)


def test_copies_of_a_sequence_are_no_common_site():
    founders, labels, _ = windows(150)
    near = [f"{item[:place % 81]}A{item[place % 81 + 1:]}" for place, item in enumerate(founders)]
    sequences, labels = [*founders, *founders, *near], np.tile(labels, 3)
    parts, clusters = np.full(450, "train"), np.tile(np.arange(150), 3)
    assert site_strength(sequences, labels) > COMMON_SITE, "without clusters each copy is evidence"
    alone = site_strength(founders, labels[:150])
    assert site_strength(sequences, labels, clusters) == pytest.approx(alone)
    size = task_size("binary", labels, sequences, parts, clusters=clusters)
    assert size.site == pytest.approx(alone) and plan_training(size, FinetuneSettings()).slots == 0
    # A copy that has the other class counts in it; relatives that make up most of a table have their places in common.
    both = site_strength(founders * 2, np.repeat([0, 1], 150), np.tile(np.arange(150), 2))
    assert both == site_strength(founders * 2, np.repeat([0, 1], 150))
    assert site_strength(sequences, labels, np.zeros(450, int)) == site_strength(sequences, labels)


def test_the_strength_of_a_site_is_pearsons_chi_squared_beyond_chance():
    sequences, labels, _ = windows(60, length=30, at=10)
    letters, expected, freedom = np.array([list(item) for item in sequences]), 0.0, 0
    for label in (0, 1):
        own = letters[labels == label]
        for base in "ACGT":
            mean = (own == base).sum() / 30
            expected += sum(((own[:, place] == base).sum() - mean) ** 2 / mean for place in range(30))
        freedom += 29 * 3
    assert site_strength(sequences, labels) == pytest.approx((expected - freedom) / np.sqrt(2 * freedom))
    unknown = [f"{item[:-1]}N" for item in sequences]
    assert site_strength(unknown, labels) == pytest.approx(site_strength([item[:-1] for item in sequences], labels))
    assert site_strength(["NNNN", "NNNN"], np.zeros(2, int)) == site_strength(["ACGT"], np.zeros(1, int)) == 0


def test_layers_are_set_free_from_the_head_down():
    plan = plan_training(SIZE, FinetuneSettings())
    assert [item.unfreeze for item in plan.classifier.schedule] == [1, 2, 3, 0]
    rates = [item.lr for item in plan.classifier.schedule]
    assert rates == sorted(rates, reverse=True)
    assert (plan.seeds, plan.adapt_passes, plan.slots) == (1, 0, SLOTS)


def test_from_scratch_all_layers_learn_at_once():
    plan = plan_training(SIZE, FinetuneSettings(effort="best"), from_scratch=True)
    assert [item.unfreeze for item in plan.classifier.schedule] == [0]
    assert plan.adapt_passes == 0


def test_best_does_more_than_fast():
    fast, best = (plan_training(SIZE, FinetuneSettings(effort=effort)) for effort in ("fast", "best"))
    assert best.seeds == 3 and best.adapt_passes > 0
    passes = [sum(item.epochs for item in plan.classifier.schedule) for plan in (fast, best)]
    assert passes[0] < passes[1]


def test_few_rows_get_small_batches_and_more_passes():
    few = plan_training(replace(SIZE, counts=(60, 60), train=120), FinetuneSettings())
    many = plan_training(SIZE, FinetuneSettings())
    assert few.classifier.batch_size <= 120 // 8
    assert few.classifier.schedule[0].epochs > many.classifier.schedule[0].epochs
    assert few.classifier.drop_mult > many.classifier.drop_mult
    assert few.slots == 0
    words = "120 training rows are few and soon learned by heart: {}more passes with the language model held fixed{}."
    assert words.format("small batches, ", ", stronger dropout") in few.reasons


@pytest.mark.parametrize("asked", [15, 16, 128])
def test_a_batch_that_was_asked_for_is_made_smaller_only_with_a_word(asked):
    settings = FinetuneSettings(batch_size=asked, drop_mult=0.1)
    plan = plan_training(replace(SIZE, counts=(60, 60), train=120), settings)
    assert (plan.classifier.batch_size, plan.classifier.drop_mult) == (15, 0.1)
    told = [reason for reason in plan.reasons if "were asked for" in reason]
    words = "a pass over the 120 training rows has at least 8 steps."
    assert told == ([f"15 sequences in a step where {asked} were asked for, so that {words}"] if asked > 15 else [])
    # What the user chose is not told as the plan's own doing.
    assert "small batches" not in " ".join(plan.reasons) and "dropout" not in " ".join(plan.reasons)


def test_a_rare_class_is_balanced_unless_told_otherwise():
    rare = replace(SIZE, counts=(2000, 100))
    assert plan_training(rare, FinetuneSettings()).classifier.balanced
    assert not plan_training(rare, FinetuneSettings(balance=False)).classifier.balanced
    assert not plan_training(SIZE, FinetuneSettings()).classifier.balanced


def test_what_the_user_says_is_done():
    both = {"mirrored": True, "shifted": True, "trimmed": True}
    settings = FinetuneSettings(lr=1e-3, drop_mult=0.7, batch_size=10, epochs=4, seeds=2, adapt=True, **both)
    plan = plan_training(SIZE, settings)
    last = plan.classifier.schedule[-1]
    assert (last.lr, last.epochs) == (1e-3, 4)
    assert (plan.classifier.drop_mult, plan.classifier.batch_size) == (0.7, 10)
    assert plan.classifier.mirrored and plan.classifier.shifted and plan.classifier.trimmed
    assert "up to 15 % of a sequence" in " ".join(plan.reasons)
    assert plan.classifier.framed and "each of the first bases" in " ".join(plan.reasons)
    assert plan.seeds == 2 and plan.adapt_passes > 0


@pytest.mark.parametrize("way", ["shifted", "trimmed"])
def test_sequences_that_begin_anywhere_are_read_in_every_frame_unless_it_is_said(way):
    assert plan_training(SIZE, FinetuneSettings(**{way: True})).classifier.framed
    assert not plan_training(SIZE, FinetuneSettings(**{way: True}, framed=False)).classifier.framed
    assert not plan_training(SIZE, FinetuneSettings()).classifier.framed
    assert plan_training(SIZE, FinetuneSettings(framed=True)).classifier.framed


def test_a_wish_that_cannot_be_met_is_told():
    tiny = plan_training(replace(SIZE, bases=1000), FinetuneSettings(adapt=True))
    assert tiny.adapt_passes == 0
    assert any("too few to fine-tune the language model" in reason for reason in tiny.reasons)
    no_language_model = plan_training(SIZE, FinetuneSettings(adapt=True), can_adapt=False)
    assert any("The start is no language model" in reason for reason in no_language_model.reasons)


def test_too_few_rows_are_refused():
    with pytest.raises(TrainingError, match="Only 11 rows are left to train on"):
        plan_training(replace(SIZE, train=11), FinetuneSettings())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"task": "ranking"}, "task is 'ranking'"),
        ({"effort": ""}, "effort is ''"),
        ({"seeds": 0}, "seeds is 0"),
        ({"lr": 2.0}, "lr is 2.0"),
        ({"drop_mult": 9}, "drop_mult is 9"),
    ],
)
def test_settings_that_cannot_work_are_refused(given, sentence):
    with pytest.raises(SettingsError, match=sentence):
        FinetuneSettings(**given)
