"""Calls in GenBank files: the records of a genome with the calls written in as features.

Of a GenBank genome every line is kept as it stands and the calls follow its own features; of other formats
the record is made anew. One record at a time, its sequence in blocks: memory does not grow with the genome.
Feature keys: DDBJ/ENA/GenBank Feature Table Definition 11.3, section 7.2 and the list of /regulatory_class.
"""

import datetime
import io
import os
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from genolm import __version__
from genolm.features import CALL_COLUMNS, call_names, check_calls, extra_values
from genolm.genbank import EMBL, GENBANK, FlatRecord, end_of_size, flat_records, form_in_locus
from genolm.sequences import Genome
from genolm.topology import CIRCULAR, LINEAR, turns

if TYPE_CHECKING:
    from Bio.SeqFeature import SeqFeature
    from Bio.SeqRecord import SeqRecord

REGULATORY_CLASSES = frozenset(
    "attenuator CAAT_signal DNase_I_hypersensitive_site enhancer enhancer_blocking_element GC_signal "
    "imprinting_control_region insulator locus_control_region matrix_attachment_region minus_10_signal "
    "minus_35_signal polyA_signal_sequence promoter recoding_stimulatory_region recombination_enhancer "
    "replication_regulatory_region response_element ribosome_binding_site riboswitch silencer terminator "
    "TATA_box transcriptional_cis_regulatory_region uORF".split()
)
_KEYS = {
    "gene": "gene", "CDS": "CDS", "origin_of_replication": "rep_origin", "repeat_region": "repeat_region"
}  # fmt: skip
_LINE, _GROUP, _NUMBER = 60, 10, 9
_BLOCK_BASES = _LINE * 20_000
_FEATURES = "FEATURES             Location/Qualifiers\n"
_AFTER_FEATURES = ("BASE COUNT", "CONTIG", "ORIGIN", "WGS")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class _Words(NamedTuple):
    """What every call's feature says: the model and the Sequence Ontology's term."""

    model: str
    term: str


def write_genbank(
    path: str | os.PathLike[str],
    calls: pd.DataFrame,
    genome: Genome,
    *,
    model: str = "",
    feature: str = "promoter",
) -> None:
    """Write the records of a genome as GenBank with the calls as features; case is lost, as GenBank has none.

    Parameters
    ----------
    path : path
    calls : pd.DataFrame
        See :mod:`genolm.features`. A call over the origin is written as ``join()``.
    genome : Genome
        Its topology goes into the LOCUS lines; of a GenBank or EMBL file the features are kept.
    model : str
        Name of the model that made the calls.
    feature : str
        The Sequence Ontology's term for a call; INSDC's key is ``regulatory`` with the class of that name
        where there is one, else ``misc_feature``.
    """
    checked = check_calls(calls, path, genome.circular)
    names = np.array(call_names(len(checked)), dtype=object)
    places = checked.groupby("contig", sort=False).indices
    words = _Words(model, feature)
    with open(path, "wb") as handle:
        for contig, record in zip(genome.contigs, _records(genome), strict=True):
            chosen = places.get(contig, [])
            found = _features(checked.iloc[chosen], names[chosen], genome.circular.get(contig), words)
            if isinstance(record, FlatRecord) and record.flavour is GENBANK:
                _splice(handle, record, found, genome.topology[contig], genome.contigs[contig])
            else:
                parsed = _described(genome, contig, record)
                parsed.features = [*parsed.features, *found]
                _compose(handle, parsed, genome, contig)


def insdc_key(term: str) -> tuple[str, dict[str, list[str]]]:
    """Return INSDC's feature key for a Sequence Ontology term, and the qualifiers that say the rest."""
    if term in REGULATORY_CLASSES:
        return "regulatory", {"regulatory_class": [term]}
    if term in _KEYS:
        return _KEYS[term], {}
    return "misc_feature", {} if term == "sequence_feature" else {"note": [term]}


def _records(genome: Genome) -> Iterator["FlatRecord | str"]:
    """Yield the flat file's records, or the descriptions of those of other formats."""
    flavours = {flavour.name: flavour for flavour in (GENBANK, EMBL)}
    if genome.format in flavours:
        return flat_records(genome.path, flavours[genome.format])
    return genome.descriptions()


def _features(
    calls: pd.DataFrame, names: np.ndarray, length: int | None, words: _Words
) -> list["SeqFeature"]:
    """Return calls of one contig, of ``length`` bases if it is circular, as Biopython's features."""
    from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation

    key, common = insdc_key(words.term)
    found = []
    rows = calls[list(CALL_COLUMNS)].itertuples(index=False, name=None)
    for name, more, row in zip(names, extra_values(calls), rows, strict=True):
        _, start, end, sign, summit, score = row
        strand = {"+": 1, "-": -1}.get(sign)
        pieces = [(start, end)] if length is None else turns(start, end, length)
        parts = [SimpleLocation(left, right, strand) for left, right in pieces]
        said = [f"probability {score:.6g}", f"summit {summit + 1}"]
        said += [f"model {words.model}"] if words.model else []
        said += [f"{column} {value}" for column, value in more.items()]
        qualifiers = {key: list(value) for key, value in common.items()}
        qualifiers["standard_name"] = [name]
        qualifiers["inference"] = [f"ab initio prediction:genolm:{__version__}"]
        qualifiers.setdefault("note", []).append("; ".join(said))
        # Biopython holds the parts in the order of the strand.
        ordered = parts[::-1] if strand == -1 else parts
        place = CompoundLocation(ordered) if len(parts) > 1 else parts[0]
        found.append(SeqFeature(place, type=key, qualifiers=qualifiers))
    return found


def _described(genome: Genome, contig: str, record: "FlatRecord | str") -> "SeqRecord":
    """Return a record without letters: that of an EMBL file, or one made of name and description."""
    from Bio.Seq import Seq
    from Bio.SeqRecord import SeqRecord

    if isinstance(record, FlatRecord):
        parsed = record.parsed()
    else:
        parsed = SeqRecord(Seq(None, length=genome.contigs[contig]), id=contig, name=contig)
        parsed.description = record or "."
        parsed.annotations["comment"] = f"Sequence of {genome.path.name}; calls by genolm {__version__}."
    changed = datetime.date.fromtimestamp(genome.path.stat().st_mtime)
    parsed.annotations.setdefault("date", f"{changed.day:02}-{_MONTHS[changed.month - 1]}-{changed.year}")
    parsed.annotations.setdefault("molecule_type", "DNA")
    parsed.annotations["topology"] = genome.topology[contig]
    return parsed


def _splice(
    handle: BinaryIO, record: FlatRecord, found: list["SeqFeature"], form: str, length: int
) -> None:
    """Write a GenBank record as it stands, with more features after its own."""
    head = [_with_topology(record.head[0], form), *record.head[1:]]
    marks = [number for number, line in enumerate(head) if line.startswith("FEATURES")]
    first = marks[0] + 1 if marks else 1
    after = (
        number
        for number in range(first, len(head))
        if (not head[number][:1].isspace() if marks else head[number].startswith(_AFTER_FEATURES))
    )
    place = next(after)
    handle.write("".join(head[:place]).encode("latin-1"))
    if found:
        handle.write(("" if marks else _FEATURES).encode() + _feature_lines(found, length).encode())
    handle.write("".join(head[place:]).encode("latin-1"))
    for line in record.body:
        handle.write(line.encode("latin-1"))
    handle.write(b"//\n")


def _compose(handle: BinaryIO, parsed: "SeqRecord", genome: Genome, contig: str) -> None:
    length = genome.contigs[contig]
    handle.write(_head(parsed).encode() + b"ORIGIN\n")
    for start in range(0, length, _BLOCK_BASES):
        end = min(start + _BLOCK_BASES, length)
        handle.write(_sequence_lines(genome.fetch(contig, start, end).lower().encode(), start + 1))
    handle.write(b"//\n")


def _head(parsed: "SeqRecord") -> str:
    """Return a record as Biopython writes it, up to the sequence."""
    from Bio import SeqIO

    text = io.StringIO()
    with warnings.catch_warnings():
        # It warns of names too long for the columns of old; readers go by the blanks.
        warnings.simplefilter("ignore")
        SeqIO.write(parsed, text, "genbank")
    return text.getvalue().removesuffix("//\n").removesuffix("ORIGIN\n")


def _feature_lines(found: list["SeqFeature"], length: int) -> str:
    from Bio.Seq import Seq
    from Bio.SeqRecord import SeqRecord

    record = SeqRecord(Seq(None, length=length), id="x", name="x", features=found)
    record.annotations["molecule_type"] = "DNA"
    return _head(record).partition(_FEATURES)[2]


def _with_topology(line: str, form: str) -> str:
    """Return a LOCUS line that says ``form``; the columns stay where they are."""
    said, size = form_in_locus(line), end_of_size(line)
    if said is None:
        if form == LINEAR or size is None:
            return line
        if size < 54 and not line[54:64].strip() and len(line) > 64:
            return f"{line[:55]}{CIRCULAR}{line[63:]}"
        return line[:size] + re.sub(r"(?:[ \t]+\S+)?", rf"\g<0> {CIRCULAR}", line[size:], count=1)
    if said[0].lower() == form:
        return line
    rest = line[said.end() :]
    if form == CIRCULAR:
        rest = re.sub(r"^  (?=\s)", "", rest)
    return line[: said.start()] + form.ljust(len(CIRCULAR)) + rest


def _sequence_lines(letters: bytes, first: int) -> bytes:
    """Return the lines of ORIGIN for letters of which the first has the position ``first``, from 1."""
    count = -(-len(letters) // _LINE)
    padded = np.full(count * _LINE, ord(" "), dtype=np.uint8)
    padded[: len(letters)] = np.frombuffer(letters, dtype=np.uint8)
    width = max(_NUMBER, len(str(first + len(letters))))
    groups = _LINE // _GROUP
    page = np.full((count, width + groups * (_GROUP + 1) + 1), ord(" "), dtype=np.uint8)
    body = np.full((count, groups, _GROUP + 1), ord(" "), dtype=np.uint8)
    body[:, :, 1:] = padded.reshape(count, groups, _GROUP)
    page[:, width:-1] = body.reshape(count, -1)
    page[:, -1] = ord("\n")
    numbers = first + _LINE * np.arange(count, dtype=np.int64)
    for place in range(width):
        shown = numbers >= 10**place
        page[shown, width - 1 - place] = ord("0") + numbers[shown] // 10**place % 10
    return page.tobytes().rstrip() + b"\n"
