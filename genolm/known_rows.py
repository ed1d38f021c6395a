"""Whether a model has learned from the rows that it is judged on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from genolm.errors import SettingsError
from genolm.registry import ModelBundle
from genolm.seen import count_seen, joined_digests


def known_rows(
    bundle: ModelBundle, table: Mapping[str, Any], split: str | None, sequences: Sequence[str]
) -> Iterator[str]:
    """Say how many rows a model has learned from; where its card cannot tell, what the file's hash tells.

    Parameters
    ----------
    bundle : ModelBundle
    table : mapping
        ``name`` and ``sha256`` of the file.
    split : str or None
        The part of the file that is judged, None for all of it.
    sequences : sequence of str
        Those that are judged.
    """
    same_file = _is_same_file(bundle, table)
    count = _count(bundle, sequences)
    if count:
        yield (
            f"{count:,} of the {len(sequences):,} rows {'was' if count == 1 else 'were'} in the training of model "
            f"{bundle.name}: its scores are too good."
        )
    elif same_file and (count == 0 or _is_held_out(bundle, split)):
        if (bundle.card.get("settings") or {}).get("split") != "cluster":
            yield (
                f"{bundle.name} was trained on other rows of {table['name']}; relatives of these may be "
                "among them."
            )
    elif same_file:
        yield (
            f"{bundle.name} was trained on rows of {table['name']}, so its scores here are too good. Use "
            "rows that it never saw, such as the test rows in its report."
        )
    elif count is None:
        yield (
            f"The card of {bundle.name} does not list the sequences it learned from, so it is unknown "
            "whether these rows were among them; if they were, its scores are too good."
        )


def known_to_base(bundle: ModelBundle, sequences: Sequence[str], parts: np.ndarray) -> str:
    """Say how many validation and test rows the classifier that a training starts from has learned from.

    Parameters
    ----------
    bundle : ModelBundle
        A language model has learned from no labelled rows.
    sequences : sequence of str
    parts : array of str
        "train", "valid" or "test" of each row.

    Returns
    -------
    str
        "" where there are none.
    """
    if bundle.config.kind != "classifier":
        return ""
    found = []
    for part, word in (("valid", "validation"), ("test", "test")):
        own = [sequences[row] for row in np.flatnonzero(parts == part)]
        count = _count(bundle, own)
        if count is None:
            return (
                f"The card of {bundle.name}, which the training starts from, does not list the sequences it learned "
                "from; if validation or test rows are among them, the figures are too good."
            )
        if count:
            found.append(f"{count:,} of the {len(own):,} {word} rows")
    if not found:
        return ""
    return (
        f"{' and '.join(found)} were in the training of {bundle.name}, which this one starts from: the figures are too "
        "good. Start from a language model, or divide the table so that those rows are for training."
    )


def digest_of(bundle: ModelBundle) -> str:
    """Return the digest of the labelled sequences that a model has learned from, "" if its card has no whole one."""
    training = bundle.card.get("training")
    digest = training.get("seen") if isinstance(training, Mapping) else None
    try:
        return joined_digests(digest) if isinstance(digest, str) else ""
    except SettingsError:
        return ""


def _count(bundle: ModelBundle, sequences: Sequence[str]) -> int | None:
    """Return how many sequences a model has learned from; None if its card cannot tell."""
    digest = digest_of(bundle)
    return count_seen(digest, sequences) if digest else None


def _is_same_file(bundle: ModelBundle, table: Mapping[str, Any]) -> bool:
    data = bundle.card.get("data") or []
    return table["sha256"] in {item.get("sha256") for item in data if isinstance(item, Mapping)}


def _is_held_out(bundle: ModelBundle, split: str | None) -> bool:
    return split == "test" and (bundle.card.get("settings") or {}).get("split") == "given"
