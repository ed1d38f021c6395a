"""Shipped samples: records whose header says what they are, cut to a model's window."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from genolm.cards import Card
from genolm.config import Window
from genolm.sequences import SequenceRecord, open_fasta

SAMPLE_RECORDS = 6
SITES_FILE, READS_FILE = "ecoli_known_sites.fa", "16s_v3v4_reads.fa"
_SITE = re.compile(r"\bsite=(\d+)")
_KIND = re.compile(r"\bkind=(\S+)")


def cut_at_site(record: SequenceRecord, window: Window | None) -> str:
    """Return the sequence of a record, cut to a model's window where both know the place of a site.

    A record says ``site=201`` in its description when its 201st base is the site. One that does not hold the
    whole window is left as it is.
    """
    site = _SITE.search(record.description)
    if site is None or window is None or window.anchor is None:
        return record.sequence
    first = int(site[1]) - 1 - window.anchor
    last = first + window.length
    return record.sequence[first:last] if first >= 0 and last <= len(record.sequence) else record.sequence


def is_of_bacteria(card: Card, base_words: str = "") -> bool:
    """Return whether a model is of bacteria, so that a bacterial genome is a fair sample for it.

    The sample that its card names decides; of a model without one, the words of the language model that it was
    fine-tuned from.

    Parameters
    ----------
    card : mapping
        That of the model.
    base_words : str
        Name, title and purpose of its language model, as far as they are known.
    """
    name = (card.get("sample") or {}).get("file")
    return name in (SITES_FILE, READS_FILE) if name else "bacteri" in base_words.lower()


def sample_pieces(path: Path, window: Window | None, kinds: Sequence[str] = ()) -> dict[str, str]:
    """Return the first records of a sample by their names, see :func:`cut_at_site`.

    Parameters
    ----------
    path : Path
    window : Window or None
    kinds : sequence of str
        Take records of these kinds alone, one of each in turn: those that say ``kind=...`` in their description.
    """
    with open_fasta(path) as genome:
        records = list(genome.records())
    if kinds:
        of_kind = [[item for item in records if _kind(item) == kind] for kind in kinds]
        records = [item for turn in zip_longest(*of_kind) for item in turn if item]
    return {item.name: cut_at_site(item, window) for item in records[:SAMPLE_RECORDS]}


def _kind(record: SequenceRecord) -> str:
    found = _KIND.search(record.description)
    return found[1] if found else ""
