"""The form of a training: what is predicted, how it is judged, what it starts from, what it takes."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from genolm.ascode import command_arguments
from genolm.config import PRESETS, TRIM_SHARE, FinetuneSettings, HeadConfig
from genolm.errors import GenolmError, TableError
from genolm.estimates import Estimate, estimate_training
from genolm.job_queue import slots, worker_threads
from genolm.jobs import list_jobs
from genolm.labels import code_labels
from genolm.preparation import Preparation, prepare_training
from genolm.registry import BundleInfo, list_bundles
from genolm.table_split import SplitSettings
from genolm.tables import LabelledTable
from pages.shared import inputs, speed, state
from pages.shared.table_view import CheckedTable, TableChoice

_TASKS = {
    "binary": "yes or no: one of two classes",
    "multiclass": "one of several classes",
    "multilabel": "several classes at once (a label like a;b)",
    "regression": "a number",
}
_SPLITS = {
    "given": "By the column split",
    "cluster": "By similarity (recommended)",
    "group": "By the column group",
    "random": "At random",
}
_SPLIT_WORDS = {
    "given": "your own division, as it stands in the table",
    "cluster": "sequences that resemble each other stay together, so that the test is of new ones",
    "group": "rows of one group (a species, a gene family) stay together",
    "random": "relatives of the test sequences are learned from, so the figures come out too good",
}
_EFFORTS = {
    "fast": "one model, trained on your labels",
    "best": "reads your sequences first, trains longer and averages three models",
}
SCRATCH = "Nothing: from scratch, to see what a language model is worth"
_PLANNED: Mapping[str, Any] = {"placeholder": "as planned"}
_CHOSEN = {"as planned": None, "yes": True, "no": False}
_READ_FIRST = (
    "The language model reads the training sequences without their labels and is fine-tuned on them, before the "
    "classifier is trained."
)
_NO_STRAND = (
    "For questions where a sequence may lie in either direction: which species, coding or not. The model "
    "then learns from both strands, and its answer is the mean of both. Leave it off where the direction "
    "matters, as for promoters and gene starts."
)
_FRAMES = (
    "Its answers are the mean of readings from each of the first bases, which is surer and takes three times as long "
    "with words every 3 bases."
)
_EVERY_FRAME = (
    "The mean of readings from each of the first bases; as planned is yes for sequences that begin anywhere or may be "
    "cut short. It takes three times as long with words every 3 bases, and changes nothing with words at every base."
)
_PASSES = "How often all training rows are read once every layer learns. More fit the rows better, at last by heart."
_DROPOUT = "How much of the model is left out by chance in training, against learning by heart. 0: nothing is left out."
_IN_PARTS = (
    "Beside the whole sequence the model sees each of so many equal parts of it, and so where something stands. It "
    "helps where all are aligned, such as windows around a TSS. 0 for pieces that were cut anywhere, such as shotgun "
    "reads."
)
_ANY_START = (
    "For reads and other pieces that were cut at no particular base. In each pass the model then reads a "
    f"sequence from another of its first bases on, so that it learns more from few. {_FRAMES} Leave it off where "
    "a base's own place tells something, as for gene starts; for promoters of bacteria it helped (see Results)."
)
_ANY_END = (
    "For reads that may begin later or end earlier than those of your table. In each pass the model then "
    f"reads a sequence without up to {100 * TRIM_SHARE:.0f} % of its bases at either end. {_FRAMES} Leave it off where "
    "a site always stands at the same base, or where the length tells something."
)


@dataclass(frozen=True)
class Wish:
    """What the form says so far: the table and the settings that are not left to the plan."""

    choice: TableChoice
    settings: FinetuneSettings = field(default_factory=FinetuneSettings)
    base: str = ""
    name: str = ""
    from_scratch: bool = False

    def but(self, **settings: Any) -> "Wish":
        """Return the wish with other settings."""
        return replace(self, settings=replace(self.settings, **settings))

    def arguments(self) -> list[str]:
        """Return the arguments of the job, with the report in its result folder."""
        return command_arguments(
            "finetune",
            table=self.choice.path,
            base=self.base,
            name=self.name,
            from_scratch=self.from_scratch,
            report_dir="report",
            **vars(self.settings),
        )


def begin(choice: TableChoice) -> Wish:
    """Return the wish that a chosen table stands for."""
    settings = FinetuneSettings(columns=tuple(choice.columns.items()), skip_bad_rows=choice.skip_bad_rows)
    return Wish(choice, settings)


def choose_task(wish: Wish, table: LabelledTable) -> Wish:
    """Say what the labels stand for, and let the user correct it; also where they cannot be told by themselves."""
    found: HeadConfig | None = None
    problem: TableError | None = None
    try:
        found = code_labels(table.labels, rows=table.frame.index.tolist()).head
    except TableError as error:
        problem = error
    left, right = st.columns(2)
    key = f"train_task_{_digest(wish.choice.name, *([found.task, *found.classes] if found else ()))}"
    tasks = list(_TASKS)
    task = left.selectbox(
        "What is to be predicted",
        tasks,
        tasks.index(found.task) if found else None,
        format_func=_TASKS.__getitem__,
        placeholder="choose, where it cannot be found",
        key=key,
        **inputs.KEPT,
        help="Found by your labels; change it if that is wrong, as for class numbers that look like values.",
    )
    if problem and task is None:
        with state.shown_errors(wish.choice.path, wish.choice.name):
            raise problem
    if found is None:
        return wish.but(task=task, positive="")
    positive = found.classes[-1]
    if task == found.task == "binary":
        positive = right.selectbox(
            "The class to look for",
            list(found.classes),
            1,
            key=f"train_positive_{'_'.join(found.classes)}",
            **inputs.KEPT,
            help="The positive one: probabilities, thresholds and scans are about it.",
        )
    return wish.but(
        task="" if task == found.task else task, positive="" if positive == found.classes[-1] else positive
    )


def _digest(*words: str) -> str:
    return hashlib.sha256("|".join(words).encode()).hexdigest()[:8]


def choose_split(wish: Wish, columns: Collection[str]) -> tuple[Wish, SplitSettings]:
    """Ask how the rows of a table with these columns are held out."""
    needs = {"given": "split", "group": "group"}
    methods = [method for method in _SPLITS if method not in needs or needs[method] in columns]
    st.markdown(
        "A part of your rows is held out: **validation** rows choose among settings, and **test** rows, "
        "which the training never sees, tell how good the model is. If near-copies of test sequences were "
        "learned from, the model would look better than it is on new ones."
    )
    method = st.radio(
        "How rows are held out",
        methods,
        format_func=_SPLITS.__getitem__,
        captions=[_SPLIT_WORDS[item] for item in methods],
        key=f"train_split_{'_'.join(methods)}",
        **inputs.KEPT,
    )
    with st.expander("Shares and seed"):
        shares = st.columns(3)
        valid = shares[0].number_input("Validation rows (%)", 1, 45, 10, key="train_valid", **inputs.KEPT)
        test = shares[1].number_input("Test rows (%)", 1, 45, 10, key="train_test", **inputs.KEPT)
        help_words = "Of split and training."
        seed = shares[2].number_input("Seed", 0, 10**6, 1, key="train_seed", help=help_words, **inputs.KEPT)
    fractions = (round(1 - (valid + test) / 100, 2), valid / 100, test / 100)
    wish = wish.but(split="" if method == methods[0] else method, fractions=fractions, seed=int(seed))
    return wish, SplitSettings(method, fractions, int(seed))


def choose_base(wish: Wish) -> Wish:
    """Ask for the language model to start from; none installed ends the page."""
    models = {info.name: info for info in list_bundles(kind="language-model")}
    if not models:
        st.info("No language model is installed. Import one under Models first.", icon=":material/info:")
        st.page_link("pages/models/models.py", label="Go to Models", icon=":material/inventory_2:")
        st.stop()
    st.markdown(
        "A language model has read genomes without any labels and knows how DNA of that kind goes on. "
        "Starting from it, a few hundred labelled rows go a long way."
    )
    options, wished = [*models, SCRATCH], st.query_params.get("base")
    # What the address asks for comes before what was chosen last.
    first = next((item for item in (wished, st.session_state.get("train_base_kept")) if item in options), options[0])
    chosen = st.selectbox(
        "Start from",
        options,
        options.index(first),
        format_func=lambda name: inputs.title_of(models[name]) if name in models else name,
        key="train_base",
    )
    st.session_state["train_base_kept"] = chosen
    if chosen != SCRATCH:
        _describe_base(models[chosen])
        return replace(wish, base=chosen)
    left, right = st.columns(2)
    tokens = left.selectbox("Cut into words as by", list(models), key="train_tokens", **inputs.KEPT)
    sizes = list(PRESETS)
    words = "More cells learn more from much data, and take longer."
    preset = right.selectbox("Size", sizes, sizes.index("small"), key="train_preset", help=words, **inputs.KEPT)
    return replace(wish.but(preset=preset), base=tokens, from_scratch=True)


def _describe_base(info: BundleInfo) -> None:
    config = info.config
    if config is None:
        return
    tokens = config.tokenizer
    quality = f" {info.headline}." if info.headline else ""
    with st.container(border=True):
        st.markdown(state.plain(config.purpose or "Its card does not say what it is for."))
        st.caption(
            state.plain(
                f"Reads words of {tokens.k} bases every {tokens.stride}; {config.encoder.layers} layers of "
                f"{config.encoder.hid} cells.{quality}"
            )
        )


def choose_name(wish: Wish) -> tuple[Wish, str]:
    """Ask for the new model's name; return the wish and what is wrong with the name, "" if nothing is."""
    file = wish.choice.name
    wanted = inputs.name_stem(file) or "my-model"
    name, problem = inputs.name_new_model(wanted, key=f"train_name_{file}", lists="list of models")
    return replace(wish, name=name), problem


def choose_effort(wish: Wish) -> Wish:
    """Ask for Fast or Best, and whether the task has a strand; the expert panel has all other settings."""
    effort = st.radio(
        "Effort",
        list(_EFFORTS),
        format_func=str.capitalize,
        captions=list(_EFFORTS.values()),
        horizontal=True,
        key="train_effort",
        **inputs.KEPT,
    )
    mirrored = st.toggle("My question has no strand", key="train_mirrored", help=_NO_STRAND, **inputs.KEPT)
    shifted = st.toggle("My sequences begin anywhere", key="train_shifted", help=_ANY_START, **inputs.KEPT)
    trimmed = st.toggle("My sequences may be cut short", key="train_trimmed", help=_ANY_END, **inputs.KEPT)
    with st.expander("Expert panel"):
        given = _expert()
    return wish.but(effort=effort, mirrored=mirrored, shifted=shifted, trimmed=trimmed, **given)


def _expert() -> dict[str, Any]:
    st.caption("Empty means: chosen by the size of your data, as the plan below says.")
    left, middle, right = st.columns(3)
    given: dict[str, Any] = {
        "adapt": _CHOSEN[
            left.selectbox(
                "Read sequences first", list(_CHOSEN), key="train_adapt", help=_READ_FIRST, **inputs.KEPT
            )
        ],
        "balance": _CHOSEN[
            middle.selectbox(
                "Rare classes weigh as much", list(_CHOSEN), key="train_balance", **inputs.KEPT
            )
        ],
        "seeds": _whole(right, "Models to average", 1, 32, "train_seeds"),
        "epochs": _whole(left, "Passes with all layers", 1, 1000, "train_epochs", _PASSES),
        "batch_size": _whole(middle, "Sequences in a step", 2, 4096, "train_batch"),
        "lr": right.number_input(
            "Learning rate", 1e-6, 0.5, None, format="%.5f", key="train_lr", **_PLANNED, **inputs.KEPT
        ),
        "drop_mult": left.number_input(
            "Strength of dropout", 0.0, 1.6, None, 0.1, key="train_drop", help=_DROPOUT, **_PLANNED, **inputs.KEPT
        ),
        "search_minutes": middle.number_input(
            "Minutes to try other settings",
            0.0,
            600.0,
            0.0,
            1.0,
            key="train_search",
            help="0: none are tried.",
            **inputs.KEPT,
        ),
        "framed": _CHOSEN[
            right.selectbox(
                "Answer in every frame", list(_CHOSEN), key="train_framed", help=_EVERY_FRAME, **inputs.KEPT
            )
        ],
        "slots": _whole(left, "Parts of a sequence told apart", 0, 1000, "train_slots", _IN_PARTS),
    }
    words = "Also trains on smaller parts of the rows, to see if more would help. About doubles the time."
    label, key = "Measure models from fewer sequences", "train_reduction"
    given["reduction"] = st.toggle(label, key=key, help=words, **inputs.KEPT)
    words = "Ends a training in which nothing is learned, and says what to try."
    label = "Stop a training that learns nothing"
    given["watched"] = st.toggle(label, True, key="train_watched", help=words, **inputs.KEPT)
    return given


def _whole(place: Any, label: str, low: int, high: int, key: str, told: str | None = None) -> int | None:
    value = place.number_input(label, low, high, None, key=key, help=told, **_PLANNED, **inputs.KEPT)
    return None if value is None else int(value)


def show_plan(wish: Wish, checked: CheckedTable) -> Preparation | None:
    """Show what will be done and what it costs here; return the preparation, None where it cannot be done."""
    try:
        plans = {effort: _prepared(wish.but(effort=effort), checked) for effort in _EFFORTS}
    except GenolmError as error:
        st.error(state.plain(error), icon=":material/error:")
        return None
    speeds = {effort: _speed(plan) for effort, plan in plans.items()}
    costs = {effort: _cost(plan, speeds[effort].rate) for effort, plan in plans.items()}
    chosen, caution = costs[wish.settings.effort], speeds[wish.settings.effort].words
    facts = {}
    for effort, cost in costs.items():
        mark = " (chosen)" if effort == wish.settings.effort else ""
        facts[f"Time, {effort.capitalize()}{mark}"] = f"about {state.duration(cost.seconds)}"
    facts |= {"Memory": f"{chosen.memory_bytes / 1e9:.1f} GB", "Runs on": state.device_words(chosen.device)}
    with st.container(horizontal=True):  # in a narrow window two and two
        for label, value in facts.items():
            st.metric(label, value, width=inputs.PLAN_WIDTH)
    reasons = plans[wish.settings.effort].plan.reasons
    st.markdown("**What will be done**\n" + "\n".join(f"- {state.plain(reason)}" for reason in reasons))
    st.caption(f"The time is from a few steps of training measured here; {caution}.")
    return plans[wish.settings.effort]


def _prepared(wish: Wish, checked: CheckedTable) -> Preparation:
    return prepare_training(
        wish.choice.path,
        wish.base,
        wish.settings,
        from_scratch=wish.from_scratch,
        table=checked.table,
        clusters=checked.split.clusters,
    )


def _speed(preparation: Preparation) -> speed.Speed[float]:
    """Return how many tokens a second the training of a plan reads here."""
    classifier = preparation.plan.classifier
    start = classifier.preset if preparation.from_scratch else preparation.bundle.sha256
    key = ("training", start, classifier.batch_size, str(preparation.path))
    return speed.measured(key, lambda: _cost(preparation).tokens_per_second)


def _cost(preparation: Preparation, tokens_per_second: float | None = None) -> Estimate:
    return estimate_training(preparation, threads=worker_threads(), tokens_per_second=tokens_per_second)


def waiting_words() -> str:
    """Return a sentence on the jobs that a new one has to wait for, "" if it starts at once."""
    ahead = sum(not job.is_over for job in list_jobs())
    if ahead < slots():
        return ""
    return f"It will wait for {ahead} other {'job' if ahead == 1 else 'jobs'} to end."
