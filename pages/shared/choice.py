"""One of many things on a page: chosen from a list, by a button, or by the page's address."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from pages.shared import state


@dataclass(frozen=True)
class Choice:
    """What of one kind a page shows; None stands for all of them.

    Attributes
    ----------
    kind : str
        What one is called, such as model.
    query : str
        Its name in the address.
    """

    kind: str
    query: str

    @property
    def key(self) -> str:
        """Of the choice among what the session remembers."""
        return f"{self.query}_chosen"

    def turn_to(self, name: str | None) -> None:
        """Show one, or with None all; before the list is drawn or in a callback."""
        st.session_state[self.key] = name

    def ask(self, titles: Mapping[str, str]) -> str | None:
        """Show the list and return the name of the one chosen, which the address then holds."""
        wished = st.query_params.get(self.query)
        if self.key not in st.session_state and wished in titles:
            self.turn_to(wished)
        elif wished and wished not in titles and wished != st.session_state.get(self.key):
            words = f"There is no {self.kind} called '{state.plain(wished)}'. All {self.kind}s are below."
            st.warning(words, icon=":material/warning:")
        if st.session_state.get(self.key) not in titles:
            self.turn_to(None)
        chosen = st.selectbox(
            f"{self.kind.capitalize()} in detail",
            list(titles),
            index=None,
            format_func=titles.__getitem__,
            placeholder=f"All {self.kind}s",
            key=self.key,
        )
        if chosen is None:
            st.query_params.pop(self.query, None)
            return None
        st.query_params[self.query] = chosen
        back = ":material/arrow_back:"
        st.button(f"All {self.kind}s", icon=back, on_click=self.turn_to, args=(None,))
        return chosen
