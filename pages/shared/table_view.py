"""A labelled table on a page: choosing it, naming its columns, its bad rows, the report on it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from genolm import workspace
from genolm.errors import first_names
from genolm.labels import SEPARATOR, LabelCode, code_labels
from genolm.table_report import TableReport, report_table
from genolm.table_split import SplitSettings, TableSplit, split_rows, table_clusters
from genolm.tables import (
    COLUMNS,
    LabelledTable,
    RefusedRow,
    guess_columns,
    labelled_rows,
    read_class_fastas,
    read_table,
    table_columns,
    write_table,
)
from pages.shared import inputs, state, uploads
from pages.shared.table_report_view import show_refused, show_table_report

__all__ = [
    "CheckedTable",
    "TableChoice",
    "check_table",
    "choose_table",
    "load_table",
    "show_refused",
    "show_table_report",
]

TABLE_ENDINGS = ".csv,.tsv,.txt,.gz"
EXAMPLE, UPLOAD, FASTAS, SERVER = "Worked example", "Upload a table", "One FASTA per class", "File on the server"
EXAMPLE_FILE, TEMPLATE_FILE = "example_table.csv.gz", "template_table.csv"
EXAMPLE_STORY = (
    "800 sequences of 150 bp with a known answer: those labelled natural are pieces of the E. coli genome, those "
    "labelled made up have the letters of such pieces in another order, with every pair of neighbours kept as often. "
    "Length and GC content tell nothing here. Many sequences have near-copies, as related genomes have them."
)
NOT_USED = "– none –"
COLUMN_WORDS = {
    "sequence": "Sequence",
    "label": "Label (class, classes joined by ;, or a number)",
    "split": "Split (train, valid, test), if there is one",
    "group": "Group (species, gene family …), if there is one",
    "name": "Name, if there is one",
}
_MOST_CLASSES = 20


@dataclass(frozen=True)
class TableChoice:
    """A table that the user chose: where it lies, what the user calls it, and how it is to be read.

    ``columns`` is our column -> the file's, "" for one that is not to be used.
    """

    path: Path
    name: str
    columns: dict[str, str]
    skip_bad_rows: bool


@dataclass(frozen=True)
class CheckedTable:
    """A table with its labels as numbers, its division and the report on it."""

    table: LabelledTable
    code: LabelCode
    split: TableSplit
    report: TableReport


def choose_table(key: str, *, first: str = EXAMPLE) -> TableChoice | None:
    """Let the user take the worked example, upload a table, or give one FASTA per class; ``first`` is chosen.

    Asks for columns that are not found by their names, and lists rows that cannot be used until the user
    agrees to leave them out; None while something is still to be done.
    """
    ways = [EXAMPLE, UPLOAD, FASTAS] + ([SERVER] if inputs.data_roots() else [])
    way = st.segmented_control("Table from", ways, default=first, required=True, key=f"{key}_way", **inputs.KEPT)
    if way == FASTAS:
        return _from_fastas(key)
    found = _example() if way == EXAMPLE else _on_server(key) if way == SERVER else _uploaded(key)
    if found is None:
        return None
    path, name = found
    with state.shown_errors(path, name):
        header = table_columns(path)
    columns = _columns(key, header)
    if columns is None:
        return None
    with state.shown_errors(path, name):
        table = _read(str(path), _stamp(path), tuple(sorted(columns.items())))
    _say_what_is_used(table, columns)
    if table.refused and not _leave_out(key, table.refused, len(table) + len(table.refused), name):
        return None
    return TableChoice(path, name, columns, bool(table.refused))


def load_table(choice: TableChoice) -> LabelledTable:
    """Return the labelled rows of a chosen table; read once and kept."""
    with state.shown_errors(choice.path, choice.name):
        table = _read(str(choice.path), _stamp(choice.path), tuple(sorted(choice.columns.items())))
        return labelled_rows(table)


def check_table(
    choice: TableChoice,
    settings: SplitSettings | None = None,
    *,
    task: str = "",
    positive: str = "",
    random_split: bool = False,
) -> CheckedTable:
    """Code, divide and report on a chosen table, once per set of options; a fault ends the page.

    ``random_split`` scores the counts of short words under a random split too.
    """
    table = load_table(choice)
    with state.shown_errors(choice.path, choice.name):
        return _checked(
            table,
            str(choice.path),
            _stamp(choice.path),
            tuple(sorted(choice.columns.items())),
            settings or SplitSettings(),
            (task, positive),
            random_split=random_split,
        )


@st.cache_resource(max_entries=4, show_spinner="Reading the table")
def _read(path: str, changed: tuple[int, int], columns: tuple[tuple[str, str], ...]) -> LabelledTable:
    return read_table(path, need_label=False, columns=dict(columns), skip_bad_rows=True)


@st.cache_resource(max_entries=4, show_spinner="Reading the sequences")
def _read_fastas(files: tuple[tuple[str, str, tuple[int, int]], ...]) -> LabelledTable:
    return read_class_fastas({label: path for label, path, _ in files}, skip_bad_rows=True)


@st.cache_resource(max_entries=4, show_spinner="Looking for near-duplicates")
def _clusters(_table: LabelledTable, path: str, changed: tuple[int, int], columns: object) -> object:
    return table_clusters(_table.sequences)


@st.cache_resource(max_entries=8, show_spinner="Dividing the table and looking for short cuts")
def _checked(
    _table: LabelledTable,
    path: str,
    changed: tuple[int, int],
    columns: tuple[tuple[str, str], ...],
    settings: SplitSettings,
    labels: tuple[str, str],
    *,
    random_split: bool,
) -> CheckedTable:
    code = code_labels(_table.labels, task=labels[0], positive=labels[1], rows=_table.frame.index.tolist())
    split = split_rows(_table, code, settings, clusters=_clusters(_table, path, changed, columns))
    report = report_table(_table, code, split, random_split=random_split)
    return CheckedTable(_table, code, split, report)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _example() -> tuple[Path, str]:
    st.caption(EXAMPLE_STORY)
    path = workspace.samples_dir() / EXAMPLE_FILE
    return path, path.name


def _uploaded(key: str) -> tuple[Path, str] | None:
    upload = uploads.upload_box(
        "Choose a table (CSV or TSV)",
        key=f"{key}_table_upload",
        accept=TABLE_ENDINGS,
        hint=(
            "One row per sequence with a column for the sequence and one for its label; plain or .gz. From Excel: "
            "save as CSV UTF-8. Have you FASTA files instead? Choose One FASTA per class above. The file goes to this "
            "server's disk only and is deleted after two weeks without use."
        ),
    )
    template = workspace.samples_dir() / TEMPLATE_FILE
    st.download_button(
        "Download a template", template.read_bytes(), "template.csv", "text/csv", icon=":material/table:"
    )
    if upload is None:
        return None
    st.caption(f"In use: {state.plain(upload.name)}")
    return upload.path, upload.name


def _on_server(key: str) -> tuple[Path, str] | None:
    with state.shown_errors():
        source = inputs.on_server(key, "table")
    return None if source is None else (source.path, source.name)


def _from_fastas(key: str) -> TableChoice | None:
    count = int(st.number_input("Number of classes", 2, _MOST_CLASSES, 2, key=f"{key}_classes", **inputs.KEPT))
    files: dict[str, uploads.Upload] = {}
    for place in range(count):
        with st.container(border=True):
            options = {"key": f"{key}_class_{place}", "placeholder": "such as promoter", **inputs.KEPT}
            label = st.text_input(f"Class {place + 1}", **options)
            upload = uploads.upload_box(
                f"FASTA of class {place + 1}",
                key=f"{key}_fasta_{place}",
                accept=inputs.SEQUENCE_ENDINGS,
                hint="Plain or compressed; each record becomes a row.",
            )
            if upload is not None:
                name = label.strip() or upload.name.split(".")[0].replace(SEPARATOR, "_")
                st.caption(f"In use: {state.plain(upload.name)} as class {state.plain(name)}")
                files[name] = upload
    if len(files) < count:
        st.info("Give each class a name of its own and a FASTA file.", icon=":material/info:")
        return None
    return _joined(key, files)


def _joined(key: str, files: Mapping[str, uploads.Upload]) -> TableChoice | None:
    """Write class files as one table, the same for the same files, and choose that."""
    stamped = tuple((label, str(upload.path), _stamp(upload.path)) for label, upload in files.items())
    named = "|".join(f"{label}={path}{stamp}" for label, path, stamp in stamped)
    digest = hashlib.sha256(named.encode()).hexdigest()[:24]
    path, name = workspace.uploads_dir() / "pasted" / f"{digest}.csv.gz", " + ".join(files)
    own = {upload.path.parent: name for upload in files.values()} | {item.path: item.name for item in files.values()}
    with state.shown_errors(names=own):
        table = _read_fastas(stamped)
    st.caption(f"{len(table):,} records of {len(files)} classes can be used.")
    if table.refused and not _leave_out(key, table.refused, len(table) + len(table.refused), name):
        return None
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_table(path, table)
    return TableChoice(path, name, {}, False)


def _columns(key: str, header: Sequence[str]) -> dict[str, str] | None:
    """Return what the file calls our columns; asks where the names do not say it, None until they do."""
    own = _own_names(header)
    if "sequence" in own and "label" in own:
        with st.expander("Take other columns", icon=":material/view_column:"):
            return _mapper(key, header, own)
    lost = " and ".join(column for column in ("sequence", "label") if column not in own)
    st.warning(
        f"This table has no column called {lost}. Say which of its columns that is; probable ones are filled in. What "
        "is not there has to be added to the file.",
        icon=":material/view_column:",
    )
    columns = _mapper(key, header, guess_columns(header))
    missing = [column for column in ("sequence", "label") if not columns.get(column, own.get(column))]
    if missing:
        st.info(f"Choose the column of the {' and the '.join(missing)}.", icon=":material/info:")
        return None
    return columns


def _mapper(key: str, header: Sequence[str], first: Mapping[str, str]) -> dict[str, str]:
    """Return what the user chose where it differs from what the names say by themselves."""
    options = [NOT_USED, *filter(None, header)]
    own = _own_names(header)
    digest = hashlib.sha256("|".join(header).encode()).hexdigest()[:8]
    chosen, places = {}, st.columns(2)
    for place, (column, words) in enumerate(COLUMN_WORDS.items()):
        index = options.index(first[column]) if column in first else 0
        name = places[place % 2].selectbox(words, options, index, key=f"{key}_{digest}_{column}", **inputs.KEPT)
        chosen[column] = "" if name == NOT_USED else str(name)
    return {column: name for column, name in chosen.items() if name != own.get(column, "")}


def _own_names(header: Sequence[str]) -> dict[str, str]:
    return {name.lower(): name for name in header if name.lower() in COLUMNS}


def _say_what_is_used(table: LabelledTable, columns: Mapping[str, str]) -> None:
    used = [
        f"{column} (called {columns[column]})" if columns.get(column) else column for column in table.frame
    ]
    words = f"Columns in use: {', '.join(used)}."
    if table.ignored:
        words += f" Not used: {first_names(table.ignored)}."
    st.caption(state.plain(words))


def _leave_out(key: str, refused: Sequence[RefusedRow], rows: int, name: str) -> bool:
    """List rows that cannot be used; return whether the user leaves them out."""
    st.warning(f"{len(refused):,} of {rows:,} rows cannot be used.", icon=":material/report:")
    show_refused(refused, key=key)
    # Another file of the same name has other rows to agree to.
    box = f"{key}_skip_{hashlib.sha256(repr((name, refused)).encode()).hexdigest()[:8]}"
    if st.checkbox("Leave these rows out", key=box, **inputs.KEPT):
        return True
    st.info("Mend these rows in your file and choose it again, or leave them out.", icon=":material/info:")
    return False
