"""The form of a pre-training: which sequences, what is held out, what it starts from, how long it takes."""

import filecmp
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import pandas as pd
import streamlit as st

from genolm.corpus import check_distinct, check_enough, divide_files
from genolm.errors import GenolmError, SettingsError
from genolm.fasta_index import SequenceSummary
from genolm.held_out import Division
from genolm.job_queue import worker_threads
from genolm.pretrain_plan import (
    PretrainPlan,
    PretrainSettings,
    measure_pretraining,
    plan_pretraining,
)
from genolm.pretraining import load_language_model, pretrain_arguments
from genolm.registry import BundleInfo, list_bundles
from pages.shared import inputs, samples, speed, state, uploads

HOURS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 24.0)
_SCRATCH = "From scratch"
_SIZES = {
    "small": "as large as the models that come with genolm; right for up to some hundred Mbp",
    "base": "twice as many weights and about half as fast; only worth it for more than 100 Mbp",
}
_NAMES_OFFERED = 500
_ABOUT = """
**What it is.** A language model reads DNA without any labels and learns to say how a sequence goes on: which
words are common, how codons follow each other, what stands before a gene. By itself it answers no question. A
classifier that starts from it needs far fewer labelled examples than one that starts from nothing.

**When to make one.** When your organisms are far from what the models below have read: archaea, fungi,
plants, animals, viruses, or bacteria of an unusual composition. For ordinary bacteria there is no need: go
straight to Train. Several genomes of the clade teach more than one; under 1 Mbp there is little to learn.

**How long it takes.** Going on from a model, a bacterial genome takes some minutes to half an hour on a few
processor cores; a large set of genomes, or a start from scratch, some hours. Below is an estimate for your
sequences on this machine. It runs by itself, can be stopped, and goes on where it stopped.
"""


@dataclass(frozen=True)
class Wish:
    """What the form says so far."""

    sources: tuple[inputs.Source, ...]
    names: tuple[str, ...]
    known: int
    settings: PretrainSettings = field(default_factory=PretrainSettings)
    held_out: tuple[str, ...] = ()
    base: str = ""
    name: str = ""

    @property
    def to_learn(self) -> int:
        """Known bases that are neither held out nor copies of what is."""
        return max(1, self.known - self.division().unlearned_bases)

    def division(self) -> Division:
        """Return what is held out and which copies of it are left out, as the training will have it."""
        paths = [source.path for source in self.sources]
        changed = [path.stat().st_mtime_ns for path in paths]
        return _divided([str(path) for path in paths], changed, self.held_out)

    def arguments(self) -> list[str]:
        """Return the arguments of the job, which leaves its record in the result folder."""
        return pretrain_arguments(
            self.settings,
            fasta=[str(source.path) for source in self.sources],
            name=self.name,
            base=self.base or None,
            held_out=self.held_out or None,
            report_dir=".",
        )


def explain() -> None:
    """Say what a language model is for, when to make one and how long that takes."""
    with st.expander("What is a language model, and do I need one of my own?", icon=":material/help:"):
        st.markdown(_ABOUT)


def choose_files() -> tuple[inputs.Source, ...]:
    """Let the user gather sequence files: uploads, on the server, or a sample; none ends the page."""
    ways = [inputs.SAMPLE, inputs.UPLOAD] + ([inputs.SERVER] if inputs.data_roots() else [])
    options = {"default": inputs.SAMPLE, "required": True, "key": "pretrain_way", **inputs.KEPT}
    way = st.segmented_control("Sequences from", ways, **options)
    if way == inputs.SAMPLE:
        return _sample()
    kept: list[inputs.Source] = st.session_state.setdefault(f"pretrain_files_{way}", [])
    # Each box takes one file and is then replaced, so that one that was removed does not come back from it.
    box = st.session_state.setdefault(f"pretrain_box_{way}", 0)
    with state.shown_errors():
        taken = {item.name for item in kept}
        source = _upload(box, taken) if way == inputs.UPLOAD else inputs.on_server(f"pretrain_{box}")
    if source is not None:
        st.session_state[f"pretrain_box_{way}"] = box + 1
        kept.extend([] if source in kept else [source])
        st.rerun()
    for number, item in enumerate(kept):
        left, right = st.columns([6, 1], vertical_alignment="center")
        left.markdown(f":material/description: {state.plain(item.name)}")
        right.button("Remove", key=f"pretrain_drop_{way}_{number}", on_click=kept.pop, args=(number,))
    if not kept:
        words = "Add one or more FASTA, GenBank, EMBL or 2bit files: a genome, or several of one clade."
        st.info(words, icon=":material/upload_file:")
        st.stop()
    return tuple(kept)


def _sample() -> tuple[inputs.Source, ...]:
    found = list(reversed(samples.genome_samples()))
    options = {"horizontal": True, "key": "pretrain_sample", **inputs.KEPT}
    title = st.radio("Sample", [item.title for item in found], **options)
    sample = next(item for item in found if item.title == title)
    return (inputs.Source(sample.path, sample.path.name, sample),)


def _upload(number: int, taken: Collection[str]) -> inputs.Source | None:
    """Return the next uploaded file, under a name of its own beside those that are there."""
    upload = uploads.upload_box(
        "Add a sequence file" if number == 0 else "Add another sequence file",
        key=f"pretrain_upload_{number}",
        accept=inputs.GENOME_ENDINGS,
        hint=(
            f"FASTA, GenBank, EMBL or 2bit, plain or packed (.gz, .bgz), up to {uploads.size_cap() / 1e9:g} GB each."
        ),
    )
    if upload is None:
        return None
    upload = uploads.named_apart(upload, taken)
    return inputs.Source(upload.path, upload.name)


def overview(sources: Sequence[inputs.Source]) -> Wish:
    """Show what was read, file by file and together; too little sequence ends the page with a sentence."""
    paths = [str(source.path) for source in sources]
    twice = _same_content(paths, [source.path.stat().st_mtime_ns for source in sources])
    with state.shown_errors():
        if twice:
            first, second = (sources[place].name for place in twice)
            raise SettingsError(f"{second} has the same content as {first}; give each genome once and remove one.")
        check_distinct([(source.path.name, source.path.name) for source in sources])
    found = [state.overview(source.path, source.name) for source in sources]
    contigs = {
        f"{source.path.name}:{name}": size
        for source, item in zip(sources, found, strict=True)
        for name, size in item.contigs.items()
    }
    summary = _together([item.summary for item in found])
    inputs.show_overview(state.Overview(sources[0].path, contigs, summary))
    if len(sources) > 1:
        rows = [(source.name, *_facts(item.summary)) for source, item in zip(sources, found, strict=True)]
        columns = ["file", "records", "length (bp)", "GC (%)"]
        st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True)
    known = summary.bases - sum(summary.ambiguous.values())
    with state.shown_errors():
        check_enough(known)
    return Wish(tuple(sources), tuple(contigs), known)


@st.cache_data(max_entries=8, show_spinner="Comparing the files")
def _same_content(paths: list[str], changed: list[int]) -> tuple[int, int] | None:
    """Return the places of two files of the same bytes, None where there are none."""
    pairs = combinations(range(len(paths)), 2)
    return next((pair for pair in pairs if filecmp.cmp(*(paths[place] for place in pair), shallow=False)), None)


def _facts(summary: SequenceSummary) -> tuple[int, int, float]:
    return summary.records, summary.bases, round(100 * summary.gc, 1)


def _together(parts: Sequence[SequenceSummary]) -> SequenceSummary:
    ambiguous: dict[str, int] = {}
    for part in parts:
        for letter, count in part.ambiguous.items():
            ambiguous[letter] = ambiguous.get(letter, 0) + count
    known = [part.bases - sum(part.ambiguous.values()) for part in parts]
    strong = sum(part.gc * count for part, count in zip(parts, known, strict=True) if count)
    return SequenceSummary(
        records=sum(part.records for part in parts),
        bases=sum(part.bases for part in parts),
        gc=strong / max(1, sum(known)),
        ambiguous=ambiguous,
        soft_masked=sum(part.soft_masked for part in parts),
        shortest=min(part.shortest for part in parts),
        longest=max(part.longest for part in parts),
    )


def choose_what_is_held_out(wish: Wish) -> Wish:
    """Say what is kept from the training to judge by, and let the user choose other records."""
    st.markdown(
        "A part of the sequence is kept from the training. On it the model has to show how well it guesses "
        "bases that it has never seen, beside a **Markov model**, which guesses each base from up to 12 "
        "before it."
    )
    files = [source.path.name for source in wish.sources]
    options = [*(files if len(files) > 1 else []), *(wish.names if len(wish.names) > 1 else [])]
    if len(options) > 1:
        with st.expander("Choose what is held out"):
            st.caption(
                "Hold out a whole genome to learn how the model does on another species; related sequences "
                "on both sides make the figure too good."
            )
            label = "Records or whole files (empty: about a twentieth, chosen by length)"
            key = f"pretrain_held_{'_'.join(files)[:80]}"
            wanted = st.multiselect(label, options[:_NAMES_OFFERED], key=key, **inputs.KEPT)
            wish = replace(wish, held_out=tuple(wanted))
    with state.shown_errors():
        division = wish.division()
    st.markdown(f"**Held out:** {state.plain(division.words())}")
    return wish


@st.cache_data(max_entries=8, show_spinner="Looking for copies of what is held out")
def _divided(paths: list[str], changed: list[int], held_out: tuple[str, ...]) -> Division:
    return divide_files([Path(path) for path in paths], held_out=held_out)


def choose_start(wish: Wish) -> Wish:
    """Ask what the model goes on from; from scratch, ask for its size and words too."""
    models = {info.name: info for info in list_bundles(kind="language-model")}
    st.markdown(
        "A model that has read other genomes already knows what many genomes share. Going on from it usually "
        "needs less sequence and less time than starting from nothing."
    )
    options = [*models, _SCRATCH]
    chosen = st.radio(
        "Start from",
        options,
        format_func=lambda name: _start_words(name, models, first=options[0]),
        captions=[_start_caption(models.get(name)) for name in options],
        key="pretrain_start",
        **inputs.KEPT,
    )
    if chosen != _SCRATCH:
        return replace(wish, base=chosen)
    settings = wish.settings
    with st.expander("Words"):
        left, right = st.columns(2)
        k = int(left.number_input("Bases in a word (k)", 1, 8, 3, key="pretrain_k", **inputs.KEPT))
        label, key = "Bases from word to word", f"pretrain_stride_{k}"
        stride = int(right.number_input(label, 1, k, min(3, k), key=key, **inputs.KEPT))
        st.caption("3 and 3 read fastest; words that overlap (3 and 1) are finer and take thrice as long.")
    return replace(wish, settings=replace(settings, k=k, stride=stride))


def _start_words(name: str, models: Mapping[str, BundleInfo], *, first: str) -> str:
    if name not in models:
        return name
    mark = " (recommended)" if name == first else ""
    return f"Go on from: {state.plain(inputs.title_of(models[name]))}{mark}"


def _start_caption(info: BundleInfo | None) -> str:
    if info is None or info.config is None:
        return "nothing is known before: to compare, or for sequences that are like no other"
    data = info.card.get("data") or []
    bases = sum(item.get("bases") or 0 for item in data)
    tokens, base = info.config.tokenizer, (info.card.get("settings") or {}).get("base")
    files = "1 file" if len(data) == 1 else f"{len(data):,} files"
    read = f"has read {files}, {inputs.base_words(bases)}" if bases else "what it has read is not known"
    before = f", after what {base} had read" if base else ""
    return state.plain(f"{read}{before}; words of {tokens.k} bases, one every {tokens.stride}")


def choose_time(wish: Wish) -> tuple[Wish, PretrainPlan | None]:
    """Ask for size and longest time, and show the plan with what it costs here; None if there is none."""
    hours = st.select_slider(
        "Longest time",
        HOURS,
        2.0,
        format_func=lambda value: f"{round(60 * value)} min" if value < 1 else f"{value:g} h",
        key="pretrain_hours",
        **inputs.KEPT,
        help="Small genomes need less and end earlier; for large ones more time gives a better model.",
    )
    wish = replace(wish, settings=replace(wish.settings, hours=hours))
    sizes = [""] if wish.base else list(_SIZES)
    try:
        found = {size: _planned(wish, size) for size in sizes}
    except GenolmError as error:
        st.error(state.plain(error), icon=":material/error:")
        return wish, None
    plans, size = {key: plan for key, (plan, _) in found.items()}, sizes[0]
    if not wish.base:
        size = st.radio(
            "Size",
            sizes,
            format_func=lambda item: f"{item}: about {_time(plans[item])}",
            captions=[_SIZES[item] for item in sizes],
            key="pretrain_size",
            **inputs.KEPT,
        )
        wish = replace(wish, settings=replace(wish.settings, preset=size))
    _show_plan(*found[size])
    return wish, plans[size]


def _planned(wish: Wish, preset: str) -> tuple[PretrainPlan, str]:
    """Return a plan, and what its time is to be taken with."""
    settings = replace(wish.settings, preset=preset) if preset else wish.settings
    base = load_language_model(wish.base) if wish.base else None
    sizes = plan_pretraining(wish.to_learn, settings, base=base).settings
    key = ("pretraining", wish.base, preset, sizes.rows, sizes.k)
    found = speed.measured(key, lambda: measure_pretraining(sizes, base=base, threads=worker_threads()))
    return plan_pretraining(wish.to_learn, settings, base=base, speed=found.rate), found.words


def _time(plan: PretrainPlan) -> str:
    return state.duration(plan.estimate.seconds) if plan.estimate else "an unknown time"


def _show_plan(plan: PretrainPlan, caution: str) -> None:
    estimate = plan.estimate
    assert estimate is not None
    facts = {
        "Time": f"about {state.duration(estimate.seconds)}",
        "Reads each base": f"{plan.passes:.1f} times",
        "Memory": f"{estimate.memory_bytes / 1e9:.1f} GB",
        "Runs on": state.device_words(estimate.device),
    }
    with st.container(horizontal=True):  # in a narrow window two and two
        for label, value in facts.items():
            st.metric(label, value, width=inputs.PLAN_WIDTH)
    st.markdown("**What will be done**\n" + "\n".join(f"- {state.plain(reason)}" for reason in plan.reasons))
    st.caption(f"The time is from a few steps of training measured here; {caution}.")


def choose_name(wish: Wish) -> tuple[Wish, str]:
    """Ask for the new model's name; return the wish and what is wrong with the name, "" if nothing is."""
    file = wish.sources[0].name
    wanted = f"{inputs.name_stem(file).lower() or 'my'}-lm"
    name, problem = inputs.name_new_model(wanted, key=f"pretrain_name_{file}", lists="list of language models")
    return replace(wish, name=name), problem
