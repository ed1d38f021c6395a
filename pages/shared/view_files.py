"""Files that the genome browser reads: features sorted by contig with a table of where each contig lies."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

_CORE = ["contig", "start", "end", "name", "strand"]
_KEPT = 24
_BLANKS = r"[\t\r\n]+"


def write_features(
    folder: Path,
    stem: str,
    table: pd.DataFrame,
    *,
    facts: Mapping[str, str],
    lengths: Mapping[str, int],
) -> tuple[Path, Path]:
    """Write features for the browser and return (features, index); what is there already is kept.

    Parameters
    ----------
    folder : Path
    stem : str
        Name of the files without suffix; stands for the content.
    table : DataFrame
        Columns ``contig, start, end, name, strand``, 0-based half-open, and those of ``facts``. A feature
        that goes over the origin of a circular contig (its end is beyond the length) is written as two.
    facts : mapping of column to label
        What a click on a feature shows.
    lengths : mapping of contig to length
        Features elsewhere are left out.
    """
    path, index = folder / f"{stem}.tsv", folder / f"{stem}.json"
    if path.is_file() and index.is_file():
        return path, index
    folder.mkdir(parents=True, exist_ok=True)
    table = split_at_origin(table[table["contig"].isin(lengths)], lengths)
    table = table.sort_values(["contig", "start"], kind="stable")
    texts = table[["name", *facts]].astype(str).replace(_BLANKS, " ", regex=True)
    table = table[_CORE].assign(**texts)
    places: dict[str, tuple[int, int]] = {}
    total = 0
    draft = folder / f".{secrets.token_hex(4)}.draft"
    with open(draft, "wb") as out:
        for contig, rows in table.groupby("contig", sort=False):
            text = rows[[*_CORE, *facts]].to_csv(sep="\t", header=False, index=False, lineterminator="\n")
            content = text.replace('"', "").encode()
            out.write(content)
            places[str(contig)] = (total, total + len(content))
            total += len(content)
    draft.replace(path)
    said = {"columns": list(facts.values()), "contigs": places, "bytes": total, "features": len(table)}
    index.write_text(json.dumps(said), encoding="utf-8")
    _forget_old(folder)
    return path, index


def split_at_origin(table: pd.DataFrame, lengths: Mapping[str, int]) -> pd.DataFrame:
    """Return the features with each one that goes over an origin cut in two, both within the contig."""
    ends = table["contig"].map(lengths).astype("int64")
    over = table["end"] > ends
    if not over.any():
        return table
    heads = table.assign(end=table["end"].clip(upper=ends))
    tails = table[over].assign(start=0, end=(table["end"] - ends)[over])
    return pd.concat([heads, tails], ignore_index=True)


def write_sizes(path: Path, lengths: Mapping[str, int]) -> Path:
    """Write the names and lengths of the contigs, two columns."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\t{length}\n" for name, length in lengths.items()), encoding="utf-8")
    return path


def _forget_old(folder: Path) -> None:
    """Keep the newest files only: each place of the threshold slider leaves a pair."""
    found: Sequence[Path] = sorted(folder.glob("calls_*.tsv"), key=lambda item: item.stat().st_mtime)
    for old in found[:-_KEPT]:
        old.unlink(missing_ok=True)
        old.with_suffix(".json").unlink(missing_ok=True)
