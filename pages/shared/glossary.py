"""Words of the pages Models and Results, each explained in a sentence."""

import streamlit as st

from pages.shared import scores, state

WORDS = {
    "Accuracy": scores.MEANINGS["accuracy"],
    "MCC (Matthews correlation coefficient)": scores.MEANINGS["mcc"],
    "AUROC": scores.MEANINGS["auroc"],
    "AUPRC": scores.MEANINGS["auprc"],
    "Bits per base": "how many yes-or-no questions it takes on average to tell the next base: 2 is chance, fewer are "
    "better",
    "Validation (valid)": "sequences kept apart from the training, on which its settings are chosen; the test "
    "sequences are used for nothing but the figure",
    "Baseline": "a simple method that learned from the same sequences; a model that is no better has nothing of its own "
    "to tell",
    "k-mer logistic regression": "a baseline that counts short words of DNA and weighs the counts, wherever in the "
    "sequence they stand",
    "From scratch": "the same network, started from random numbers and not from a language model of genomes",
    "Frame": "where words of 3 bases begin: a sequence read in all three frames is read from its first, second and third "
    "base on, and the answer is the mean of the three",
    "Seed": "the number that a training draws its random numbers from; several seeds show how much chance alone changes",
    "Draw": "one random choice of the sequences to learn from, where only few are used; several show how much hangs on it",
    "Incomplete": "of this result not every training was run yet; its page says what is missing",
}


def show() -> None:
    """Show the words in a box that is closed at first."""
    with st.expander("Words used here", icon=":material/dictionary:"):
        st.markdown("\n".join(f"- **{state.plain(word)}**: {state.plain(text)}." for word, text in WORDS.items()))
