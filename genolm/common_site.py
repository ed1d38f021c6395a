"""Whether sequences of one length have a site in common, at the same place in each. Free of torch."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2_contingency

from genolm.bootstrap import usable
from genolm.tokenizer import encode_bases

BASES = 4


def site_strength(sequences: Sequence[str], classes: np.ndarray, clusters: np.ndarray | None = None) -> float:
    """Return how unevenly the bases of each class are spread along its sequences, beyond chance.

    Around a site such as a TSS or a start codon each place has a composition of its own; pieces that begin anywhere
    have the same one all along. Counts of bases by place are compared with those that the class's mean composition
    makes expect, by Pearson's chi-squared, and the sum of all classes is told in standard deviations from its mean:
    some 0 without a site, whatever the composition of the classes.

    Copies of one sequence would look like a site: of a class's sequences in one cluster only the first counts. Where
    more than half of all are in one cluster each counts, since relatives that begin at one place, such as amplicons of
    a gene, have their places in common.

    Parameters
    ----------
    sequences : sequence of str
        All of one length in bp; letters other than A, C, G and T are not counted.
    classes : int array (n,)
        Of each sequence; those of fewer than two sequences are left out.
    clusters : int array (n,), optional
        Of each sequence, by similarity; without them each stands alone.

    Returns
    -------
    float
        0 where there is nothing to compare.
    """
    if clusters is not None and usable(clusters) is not None:
        rows = np.unique(np.stack([classes, clusters]), axis=1, return_index=True)[1]
        sequences, classes = [sequences[row] for row in rows], classes[rows]
    codes = np.stack([encode_bases(item) for item in sequences])
    excess, freedom = 0.0, 0
    for label in np.unique(classes):
        own = codes[classes == label]
        if len(own) < 2:
            continue
        counts = np.stack([(own == base).sum(axis=0) for base in range(BASES)], axis=1)
        counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
        if counts.size:
            found = chi2_contingency(counts, correction=False)
            excess, freedom = excess + float(found.statistic) - found.dof, freedom + found.dof
    return excess / (2 * freedom) ** 0.5 if freedom > 0 else 0.0
