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
    "From scratch, naive": "the same network, started from random numbers and not from a language model of genomes",
    "Language model fine-tuned first": "before it learned the labels the language model read the training sequences once "
    "more, without labels",
    "Published protocol": "sequences divided into training and test as the original study did, mostly at random, so that "
    "near-copies may stand on both sides",
    "Strict protocol": "sequences divided so that look-alikes (sequences that share long stretches), or all of a "
    "chromosome, species or reference, are on one side: closer to what to expect on something new",
    "Within noise": "too small a difference to tell from chance with as many test sequences; it does not say that both "
    "are equal",
    "Together": "the answers of several trainings averaged, as if they were one model",
    "Macro F1": "mean of precision and recall, worked out for each class and averaged over the classes",
    "Family, order, class agreement": "share of answers whose genus is of the right family, order or class, be the genus "
    "right or not",
    "Hard rows": "test sequences that look like the other class by the simplest rule, such as coding RNA with a short "
    "reading frame",
    "AUPRC of the scan": "as AUPRC, of all windows of a stretch of a genome, where true sites are rare",
    "Share in boxes": "how much of a saliency plot lies on the known sites; if all bases counted alike, it would be their "
    "share of the bases",
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
