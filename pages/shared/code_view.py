"""The action of a page as a command to type and as Python to run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from genolm import workspace
from genolm.ascode import parse_arguments, python_code, shell_command
from pages.shared import state

_WORDS = (
    "The same run outside of this page, with the same result. Files carry the names that you gave them: "
    "start it in the folder where they are."
)
_OWN_FOLDERS = ("samples", "pasted", "results")
_MADE, _GONE = "The page itself made {}: put it there too.", "The page itself made {}, which is no longer here."


def show_code(
    arguments: Sequence[str], *, paths: Mapping[str, str] | None = None, key: str, piece: str = ""
) -> None:
    """Show a command in two languages, folded away.

    Parameters
    ----------
    arguments : sequence of str
        Of ``python -m genolm``.
    paths : mapping, optional
        A path on this server -> what its user calls it; by default files are shown without their folder.
    key : str
        Streamlit key.
    piece : str
        FASTA of the input where it is a piece of the user's file that is not written yet. It is offered as a
        download, as is every input that a page wrote.
    """
    names = {**file_names(arguments), **(paths or {})}
    # What begins with a hyphen would be read as an option.
    names = {path: f"./{name}" if name.startswith("-") else name for path, name in names.items()}
    with st.expander("As code", icon=":material/code:"), st.container(key=f"code_{key}"):
        st.caption(_WORDS)
        for place, path in enumerate(map(Path, parse_arguments(arguments).files)):
            if piece or _is_made_here(path):
                _offer(path, names[str(path)], piece, key=f"piece_{key}_{place}")
        st.markdown("**Command line**")
        st.code(shell_command(arguments, paths=names), language="bash", wrap_lines=True)
        st.markdown("**Python**")
        st.code(python_code(arguments, paths=names), language="python", wrap_lines=True)


def show_model_code(name: str) -> None:
    """Show what the Models page does as commands and as Python, folded away."""
    with st.expander("As code", icon=":material/code:"), st.container(key="code_models"):
        st.markdown("**Command line**")
        st.code(
            f"genolm models list\ngenolm models show {name}\ngenolm models import FILE.zip\n"
            f"genolm models export {name} {name}.zip\ngenolm models remove {name}",
            language="bash",
        )
        st.markdown("**Python**")
        st.code(
            "import genolm\n\nprint([info.name for info in genolm.list_bundles()])\n"
            f'print(genolm.load_bundle("{name}").card)\ngenolm.import_bundle("FILE.zip")\n'
            f'genolm.export_bundle("{name}", "{name}.zip")\ngenolm.remove_bundle("{name}")',
            language="python",
        )


def _is_made_here(path: Path) -> bool:
    """Return whether a page wrote a file, so that its user has none of that name."""
    return any(path.is_relative_to(workspace.uploads_dir() / folder) for folder in _OWN_FOLDERS)


def _offer(path: Path, name: str, piece: str, *, key: str) -> None:
    """Say that a page made a file, and offer it."""
    if not piece and not path.is_file():
        st.caption(_GONE.format(state.plain(name)))
        return
    st.caption(_MADE.format(state.plain(name)))
    content, icon = piece or path.read_bytes, ":material/download:"
    st.download_button(
        f"Download {name}", content, name, "application/octet-stream", key=key, icon=icon, on_click="ignore"
    )


def file_names(arguments: Sequence[str]) -> dict[str, str]:
    """Return what to call the files of a job: no folder of this server, and an own one for results."""
    call = parse_arguments(arguments)
    names = {".": f"{call.command}_result"}
    # An option such as --genes takes a file or a word.
    uploaded = [word for word in arguments if Path(word).is_relative_to(workspace.uploads_dir())]
    for path in map(Path, [*call.files, *uploaded]):
        if path.parent == workspace.samples_dir():
            names[str(path)] = f"assets/samples/{path.name}"
        elif path.parent == workspace.uploads_dir() / "pasted":
            names[str(path)] = f"pasted{''.join(path.suffixes)}"
        else:
            names[str(path)] = path.name
    return names
