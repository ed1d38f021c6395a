"""The widgets that several pages use: which model, which sequences, and what was read of them."""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from genolm import workspace
from genolm.cards import metric_name
from genolm.errors import GenolmError, SequenceError
from genolm.genome_files import pasted_format
from genolm.jobs import list_jobs
from genolm.registry import BundleInfo, check_new_name, list_bundles
from genolm.sequences import parse_sequences, write_fasta
from pages.shared import running, scores, state, uploads
from pages.shared.samples import Sample

SEQUENCE_ENDINGS = ".fa,.fasta,.fna,.ffn,.fas,.fsa,.txt,.gz,.bgz"
GENOME_ENDINGS = SEQUENCE_ENDINGS + ",.gb,.gbk,.gbff,.genbank,.embl,.2bit"
PASTED_ENDINGS = {"GenBank": ".gb", "EMBL": ".embl"}
MAX_PASTED = 2_000_000
SAMPLE, PASTE, UPLOAD, SERVER = "Sample", "Paste", "Upload", "File on the server"
KEPT: Mapping[str, Any] = {"persist_state": "session"}
"""Of a widget that is as it was when the user comes back to its page, if what it said is among the options then."""
FACT_WIDTH = 210
"""Of a figure about the input, px: such that its words fit; a narrow window shows fewer beside each other."""
PLAN_WIDTH = 265
"""Of a figure about what work takes, px, such as the time of two trainings or the machine that it runs on."""
_ROWS_SHOWN = 500
_NAME_LETTERS, _NAME_WIDTH = 20, 130


@dataclass(frozen=True)
class Source:
    """Sequences that the user chose: a file on this machine, its name for the user, and its sample if any.

    ``site`` is the 0-based position of the site in each record, where that is known.
    """

    path: Path
    name: str
    sample: Sample | None = None
    site: int | None = None


def pick_model(key: str, *, scans: bool = False) -> BundleInfo:
    """Let the user pick a classifier, and say what it is for and how good it is; no model ends the page.

    The one in the address (``?model=NAME``) comes first, else the one that was used last.
    With ``scans`` only those that can scan: they have a window and answer yes or no.
    """
    models = {info.name: info for info in state.classifiers() if not scans or can_scan(info)}
    if scans:  # those that were made for scans come first
        models = dict(sorted(models.items(), key=lambda item: not item[1].config.streamed))
    if not models:
        deed = "scan" if scans else "classify"
        st.info(f"No model that can {deed} is installed; import one under Models.", icon=":material/info:")
        st.page_link("pages/models/models.py", label="Go to Models", icon=":material/inventory_2:")
        st.stop()
    asked = st.query_params.get("model", "")
    wished = asked or st.session_state.get("model")
    first, told = list(models).index(wished) if wished in models else 0, f"{key}_told"
    name = st.selectbox(
        "Model",
        list(models),
        first,
        format_func=lambda item: title_of(models[item]),
        key=key,
        on_change=lambda: st.session_state.update({told: asked}),
    )
    st.session_state["model"] = name
    info = models[name]
    if asked and asked not in models and st.session_state.get(told) != asked:
        st.warning(state.plain(f"{_why_not(asked, scans)}; {name} is chosen instead."), icon=":material/warning:")
    with st.container(border=True):
        describe_model(info)
    if scans and (limit := (info.card or {}).get("scan_limit")):
        st.warning(state.plain(limit), icon=":material/warning:")
    return info


def _why_not(asked: str, scans: bool) -> str:
    """Return why the model that an address asks for is not among those of a page."""
    info = next((item for item in list_bundles() if item.name == asked), None)
    if info is None:
        return f"There is no model '{asked}' here"
    if info.config is None:
        return f"The model {asked} is damaged, as Models says"
    if scans:
        return f"{asked} cannot scan: it is no classifier with a window that answers yes or no"
    return f"{asked} cannot classify: it is a language model"


def can_scan(info: BundleInfo) -> bool:
    """Return whether a model can scan: it has a window and answers yes or no."""
    config = info.config
    return bool(config and config.head and config.window and config.head.task == "binary")


def short_title(info: BundleInfo) -> str:
    """Return the title of a model, or its name where it has none."""
    return (info.config.title if info.config else "") or info.name


def title_of(info: BundleInfo) -> str:
    """Return what to call a model in a list: its title, and its name where that is another."""
    title = short_title(info)
    return title if title == info.name else f"{title} ({info.name})"


def describe_model(info: BundleInfo) -> None:
    """Say what a model is for, what it answers, what it reads and how good it is."""
    config = info.config
    if config is None or config.head is None:
        return
    st.markdown(state.plain(config.purpose or "Its card does not say what it is for."))
    classes = ", ".join(config.head.classes[:8]) + (" …" if len(config.head.classes) > 8 else "")
    st.markdown(f"**Answers** {state.plain(classes)}  \n**Was trained on** {state.plain(reads(info))}")
    st.markdown(f"**How good** {_quality(info)}")
    if limits := limits_words(info):
        with st.expander("Known limits", icon=":material/rule:"):
            st.markdown(limits)


def limits_words(info: BundleInfo) -> str:
    """Return what a model's card says that it cannot do, as a list in Markdown; "" where it says nothing."""
    return "\n".join(f"- {state.plain(item)}" for item in (info.card or {}).get("limits", ()))


def reads(info: BundleInfo) -> str:
    """Return what a classifier reads: pieces of a length, and where the site stands in them."""
    window = info.config.window if info.config else None
    if window is None:
        return "sequences of any length"
    words = f"pieces of {window.length} bp"
    if window.anchor is None:
        return words
    return f"{words} with the {window.anchor_name or 'site'} at base {window.anchor + 1}"


def wanted_pieces(info: BundleInfo) -> str:
    """Return what to give a model that has no sample of its own."""
    return f"There is no sample for this model. Give {reads(info)}."


def _quality(info: BundleInfo) -> str:
    if not info.headline:
        return "not measured; treat its answers as a test of the software only"
    metric = scores.headline_metric(info.card)
    words = f"{info.headline} ({scores.meaning(metric)})"
    best = scores.best_baseline(info.card, metric)
    if best:
        words += f". Best baseline, {best[0]}: {metric_name(metric)} {best[1]:.3f}"
    return state.plain(words)


def data_roots() -> list[Path]:
    """Return the folders on the server that pages may read from: GENOLM_DATA_ROOTS, none by default."""
    named = os.environ.get("GENOLM_DATA_ROOTS", "").split(os.pathsep)
    return [Path(item).resolve() for item in named if item]


def offer(
    key: str, origin: str, fasta: Callable[[], str], *, site: int | None = None, strand: str = "plus"
) -> dict[str, str]:
    """Offer sequences to another page; return what the query of a link must hold for that page to begin with them.

    They are then there as if they had been pasted; ``site`` is the 0-based position of the site in them. It has to
    be a link: st.switch_page first puts its query into the address of the page that is left, as an entry of its own
    in the browser's history, and Back would lead there.
    """
    st.session_state[f"{key}_offered"] = (origin, fasta, site, strand)
    return {"from": origin}


def _take_offered(key: str) -> None:
    """Begin with what another page offered, if the address says so; it holds until the user chooses something else.

    A new run of the page may cut this one off wherever it touches the session, so the offer is crossed out last.
    """
    origin, fasta, site, strand = st.session_state.get(f"{key}_offered", ("", str, None, ""))
    if not origin or st.query_params.get("from") != origin:
        return
    try:
        text = fasta()
    except GenolmError as error:
        del st.session_state[f"{key}_offered"]
        state.show_error(error)
        st.stop()
    way = {f"{key}_way": PASTE, f"{key}_way_kept": PASTE, f"{key}_text": text, f"{key}_text_kept": text}
    st.session_state.update({**way, f"{key}_site": (text, site), f"{key}_strand": strand})
    del st.session_state[f"{key}_offered"]


def keep(key: str, among: Collection[str] | None = None) -> None:
    """Let a widget begin with what it said last, if that is ``among`` its options.

    Streamlit forgets what a widget said when its page is left.
    """
    kept = f"{key}_kept"
    if key in st.session_state:
        st.session_state[kept] = st.session_state[key]
    elif kept in st.session_state and (among is None or st.session_state[kept] in among):
        st.session_state[key] = st.session_state[kept]


def _choose_way(key: str, ways: list[str]) -> str:
    """Ask where sequences come from; what the user chose last is kept, what the page had to choose is not."""
    name, kept = f"{key}_way", f"{key}_way_kept"
    wished = st.session_state.get(name) or st.session_state.get(kept)
    st.session_state[name] = wished if wished in ways else ways[0]

    def chosen() -> None:
        st.session_state[kept] = st.session_state[name]

    return str(st.segmented_control("Sequences from", ways, required=True, key=name, on_change=chosen))


def choose_sequences(key: str, samples: list[Sample], *, wanted: str, genomes: bool = False) -> Source:
    """Let the user take a sample, paste, upload or name a file here; nothing chosen ends the page.

    Where there is no sample, ``wanted`` says what to give. A file may be GenBank, EMBL or 2bit too. With
    ``genomes`` uploading comes before pasting.
    """
    own = [UPLOAD, PASTE] if genomes else [PASTE, UPLOAD]
    ways = [SAMPLE] * bool(samples) + own + [SERVER] * bool(data_roots())
    _take_offered(key)
    way = _choose_way(key, ways)
    if not samples:
        st.caption(wanted)
    source: Source | None
    with state.shown_errors():
        if way == PASTE:
            source = _pasted(key)
        elif way == UPLOAD:
            source = _uploaded(genomes)
        elif way == SERVER:
            source = on_server(key)
        else:
            source = _sample(key, samples)
    if source is None:
        st.stop()
    return source


def _sample(key: str, samples: list[Sample]) -> Source:
    titles = [item.title for item in samples]
    title = titles[0]
    if len(samples) > 1:
        keep(f"{key}_sample", titles)
        title = st.radio("Sample", titles, horizontal=True, key=f"{key}_sample")
    sample = samples[titles.index(title)]
    st.caption(state.plain(sample.story))
    return Source(sample.path, sample.path.name, sample, sample.site)


def _pasted(key: str) -> Source | None:
    keep(f"{key}_text")
    text = st.text_area(
        "Sequences in FASTA, GenBank or EMBL, or the letters of one sequence",
        key=f"{key}_text",
        height=180,
        max_chars=MAX_PASTED,
        placeholder=">my_sequence\nTTTACACTTTATGCTTCCGGCTCGTATGTTGTGTGGAATTGTGAGCGG",
    )
    if not text.strip():
        st.info("Paste sequences above and press Ctrl+Enter.", icon=":material/content_paste:")
        return None
    handed, site = st.session_state.get(f"{key}_site", ("", None))
    return Source(_written(text), "pasted text", site=site if handed == text else None)


def _written(text: str) -> Path:
    """Return the file that a pasted text is kept in: GenBank and EMBL as they are, anything else as FASTA."""
    ending = PASTED_ENDINGS.get(pasted_format(text))
    records = [] if ending else parse_sequences(text)
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = workspace.uploads_dir() / "pasted" / f"{digest}{ending or '.fa'}"
    if path.exists():
        return path
    path.parent.mkdir(exist_ok=True)
    if ending:
        with workspace.atomic_write(path) as stream:
            stream.write(text.encode("utf-8", errors="replace"))
    else:
        write_fasta(path, records)
    return path


def _uploaded(genomes: bool) -> Source | None:
    upload = uploads.upload_box(
        "Choose a genome file" if genomes else "Choose a sequence file",
        key="sequences_upload",
        accept=GENOME_ENDINGS,
        hint=(
            f"FASTA, GenBank, EMBL or 2bit, plain or compressed (.gz, .bgz), up to {uploads.size_cap() / 1e9:g} GB. "
            "The file goes to this server's disk only and is deleted after two weeks without use."
        ),
    )
    if upload is None:
        return None
    st.caption(f"In use: {state.plain(upload.name)}")
    return Source(upload.path, upload.name)


def on_server(key: str, what: str = "sequence file") -> Source | None:
    """Let the user name a file in one of the server's data folders; None while nothing is named."""
    roots = data_roots()
    keep(f"{key}_path")
    text = st.text_input(
        f"Path of a {what} on the server",
        key=f"{key}_path",
        help="Allowed folders: " + ", ".join(str(root) for root in roots),
    )
    if not text.strip():
        return None
    given = Path(text.strip())
    path = (given if given.is_absolute() else roots[0] / given).resolve()
    if not any(path.is_relative_to(root) for root in roots):
        allowed = ", ".join(map(str, roots))
        raise SequenceError(f"{text} lies outside the folders that this server opens: {allowed}.")
    if not path.is_file():
        raise SequenceError(f"There is no file {text} on the server; check the path.")
    return Source(path, path.name)


def name_column(names: Iterable[str]) -> Any:
    """Return how a table shows these names: long ones do not push the other columns out of view."""
    if max(map(len, names), default=0) <= _NAME_LETTERS:
        return st.column_config.TextColumn()
    return st.column_config.TextColumn(width=_NAME_WIDTH, help="Double-click a name to read the whole of it.")


def count_words(count: int, noun: str = "record") -> str:
    """Return a count with its noun: 1 record, 2 records."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def base_words(bases: int) -> str:
    """Return a number of bases that fits a narrow place."""
    return f"{bases:,} bp" if bases < 10_000_000 else f"{bases / 1e6:,.1f} Mbp"


def show_overview(overview: state.Overview) -> None:
    """Show what was read before anything runs: records, bases, GC, ambiguous letters and their fate."""
    summary = overview.summary
    ambiguous = sum(summary.ambiguous.values())
    gc = f"{summary.gc:.1%}" if summary.gc == summary.gc else "–"  # NaN without any known base
    facts = (
        ("Records", f"{summary.records:,}", None),
        ("Total length", base_words(summary.bases), f"{summary.bases:,} bp"),
        ("GC content", gc, "Share of G and C among A, C, G and T."),
        ("Ambiguous letters", f"{ambiguous:,}", "Letters other than A, C, G, T and U, such as N."),
        ("Lower-case letters", f"{summary.soft_masked:,}", "Read like upper-case ones."),
    )
    with st.container(horizontal=True):
        for label, value, meaning in facts:
            st.metric(label, value, help=meaning, width=FACT_WIDTH)
    if ambiguous:
        letters = ", ".join(f"{letter} {count:,}" for letter, count in sorted(summary.ambiguous.items()))
        words = "The model reads the bases that touch one of these as unknown."
        st.caption(state.plain(f"Found: {letters}. {words}"))
    if summary.records > 1:
        spread = f"{summary.shortest:,} to {summary.longest:,} bp"
        if summary.shortest == summary.longest:
            spread = f"all of {summary.longest:,} bp"
        with st.expander(f"{summary.records:,} records, {spread}"):
            rows = pd.DataFrame(list(overview.contigs.items())[:_ROWS_SHOWN], columns=["record", "length (bp)"])
            st.dataframe(rows, hide_index=True, column_config={"record": name_column(rows["record"])})
            if summary.records > _ROWS_SHOWN:
                st.caption(f"The first {_ROWS_SHOWN} are shown; all are used.")


def name_stem(file: str) -> str:
    """Return what of a file's name can stand in a model's name, at most 50 letters; "" if nothing can."""
    return re.sub(r"[^A-Za-z0-9]+", "-", file.partition(".")[0]).strip("-")[:50]


def name_new_model(wanted: str, *, key: str, lists: str) -> tuple[str, str]:
    """Ask for the name of a new model; return it and what is wrong with it, "" if nothing is.

    ``wanted`` is proposed, or what was said last, with a number where it is taken; a name that an open job will give
    is refused.
    """
    trainings = [job for kind in ("finetune", "pretrain") for job in list_jobs(kind=kind)]
    busy = {running.option(job, "--name"): job for job in trainings if not job.is_over}
    taken, said = {*busy, *(info.name for info in list_bundles())}, f"{key}_said"
    names = [st.session_state.get(said, wanted), wanted, *(f"{wanted}-{number}" for number in range(2, 1000))]
    name = st.text_input(
        "Name of the new model",
        next(item for item in names if item not in taken),
        key=key,
        on_change=lambda: st.session_state.update({said: st.session_state[key]}),
        max_chars=64,
        help=f"Letters, digits and hyphens. It will be in every {lists} under this name.",
    )
    problem = ""
    try:
        check_new_name(name)
    except GenolmError as error:
        problem = str(error)
    if not problem and name in busy:
        problem = f"A training that makes '{name}' is {busy[name].state} already; choose another name."
    if problem:
        st.error(state.plain(problem), icon=":material/error:")
    return name, problem
