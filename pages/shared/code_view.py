"""The action of a page as a command to type and as Python to run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from genolm import workspace
from genolm.ascode import parse_arguments, python_code, shell_command

_WORDS = (
    "The same run outside of this page, with the same result. Files carry the names that you gave them: start it "
    "in the folder where they are."
)


def show_code(arguments: Sequence[str], *, paths: Mapping[str, str] | None = None, key: str) -> None:
    """Show a command in two languages, folded away.

    Parameters
    ----------
    arguments : sequence of str
        Of ``python -m genolm``.
    paths : mapping, optional
        A path on this server -> what its user calls it; by default files are shown without their folder.
    key : str
        Streamlit key.
    """
    names = {**file_names(arguments), **(paths or {})}
    with st.expander("As code", icon=":material/code:"), st.container(key=f"code_{key}"):
        st.caption(_WORDS)
        st.markdown("**Command line**")
        st.code(shell_command(arguments, paths=names), language="bash", wrap_lines=True)
        st.markdown("**Python**")
        st.code(python_code(arguments, paths=names), language="python", wrap_lines=True)


def file_names(arguments: Sequence[str]) -> dict[str, str]:
    """Return what to call the files of a job: no folder of this server, and a folder of its own for results."""
    call = parse_arguments(arguments)
    names = {".": f"{call.command}_result"}
    for path in map(Path, call.files):
        if path.parent == workspace.samples_dir():
            names[str(path)] = f"assets/samples/{path.name}"
        elif path.parent == workspace.uploads_dir() / "pasted":
            names[str(path)] = f"pasted{''.join(path.suffixes)}"
        else:
            names[str(path)] = path.name
    return names
