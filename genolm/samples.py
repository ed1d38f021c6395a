"""Shipped samples: records whose header says what they are, cut to a model's window."""

import re
from pathlib import Path

from genolm.config import Window
from genolm.sequences import SequenceRecord, open_fasta

SAMPLE_RECORDS = 6
_SITE = re.compile(r"\bsite=(\d+)")


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


def sample_pieces(path: Path, window: Window | None) -> dict[str, str]:
    """Return the first records of a sample by their names, see :func:`cut_at_site`."""
    with open_fasta(path) as genome:
        records = [item for item, _ in zip(genome.records(), range(SAMPLE_RECORDS), strict=False)]
    return {item.name: cut_at_site(item, window) for item in records}
