"""A measured figure as a page shows it: the number large, its interval beneath, neither ever cut off."""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from genolm.cards import format_number
from pages.shared import state


def show_estimate(
    label: str, estimate: Any, *, place: DeltaGenerator | None = None, meaning: str | None = None
) -> None:
    """Show a value with its 95 % interval (``value``, ``low``, ``high``), or a bare number without one."""
    with (place or st.container(width=190)).container(gap=None):
        values = estimate if isinstance(estimate, dict) else {"value": estimate}
        st.metric(state.plain(label), format_number(values["value"]), help=meaning)
        if values.get("low") is not None and values.get("high") is not None:
            low, high = (format_number(values[end]) for end in ("low", "high"))
            st.caption(f"95 % interval {low} to {high}")
