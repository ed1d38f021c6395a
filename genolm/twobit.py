"""2bit files in: what UCSC's faToTwoBit writes, read by Biopython block by block.

Format: https://genome.ucsc.edu/FAQ/FAQformat.html#format7.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from genolm.errors import SequenceError
from genolm.fasta_index import FACTS_FILE

MAGIC = (b"\x43\x27\x41\x1a", b"\x1a\x41\x27\x43")
_BLOCK_BASES = 4_000_000


class TwoBitReader:
    """Gives a 2bit file to the index as FASTA, with its N and its soft masking."""

    kind = "2bit-1"

    def __init__(self, source: Path) -> None:
        self._source = source

    def blocks(self) -> Iterator[tuple[bytes, int]]:
        """Yield FASTA, with how many bytes of the file are read.

        Raises
        ------
        SequenceError
            If the file is damaged or cut off, or of the version with 64-bit offsets.
        """
        from Bio import SeqIO

        size = self._source.stat().st_size
        with open(self._source, "rb") as stream:
            try:
                records = SeqIO.parse(stream, "twobit")
                names = list(records.keys())
            except (ValueError, IndexError, OverflowError, MemoryError) as error:
                raise self._fault(f"cannot be read as 2bit ({error})") from error
            if not names:
                raise self._fault("holds no sequence")
            for name in names:
                sequence = records[name].seq
                begin = sequence._data.offset
                if begin + (len(sequence) + 3) // 4 > size:
                    raise self._fault(f"is cut off in record {name!r}")
                yield f"\n>{name}\n".encode(), begin
                for start in range(0, len(sequence), _BLOCK_BASES):
                    end = min(start + _BLOCK_BASES, len(sequence))
                    yield bytes(sequence[start:end]), begin + end // 4
        yield b"\n", size

    def save(self, folder: Path) -> None:
        """Write what the file is into the index's folder."""
        facts = {"format": "2bit", "topology": [], "notes": []}
        (folder / FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")

    def _fault(self, what: str) -> SequenceError:
        return SequenceError(
            f"{self._source} {what}; copy or download it again, or turn it into FASTA with twoBitToFa."
        )
