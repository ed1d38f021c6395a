"""A scan's work as plain data, from which a worker on another machine opens it by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genolm import compute
from genolm.bundle_config import BundleConfig
from genolm.bundles import ModelBundle
from genolm.errors import BundleError, SequenceError, SettingsError
from genolm.genome_files import open_genome
from genolm.predict import Predictor
from genolm.record import code_facts, file_facts
from genolm.regions import Contigs
from genolm.registry import load_bundle
from genolm.scan_plan import CIRCULAR, Layout
from genolm.scan_work import Mode, ScanWork
from genolm.topology import turns

MOST_LETTERS = 50_000_000
_SAME = ("genolm", "torch", "numpy")
_SHARED = "put it on storage that all nodes see"


@dataclass(frozen=True)
class GenomeFile:
    """A genome file and by what it is known again: ``path``, ``bytes`` and ``sha256``."""

    path: str
    bytes: int
    sha256: str

    def check(self) -> None:
        """Refuse, with a sentence, a file that is missing or not the same here."""
        if not Path(self.path).is_file():
            raise SequenceError(f"It has no file {self.path}; {_SHARED}.")
        facts = file_facts(self.path)
        if facts["sha256"] != self.sha256:
            raise SequenceError(
                f"Its {self.path} is another file: {facts['bytes']:,} bytes with SHA-256 {facts['sha256'][:12]}, "
                f"not {self.bytes:,} with {self.sha256[:12]}; {_SHARED}."
            )

    def open(self, topology: Mapping[str, str]) -> Contigs:
        """Return the genome."""
        return open_genome(self.path, topology=topology)


@dataclass(frozen=True)
class Letters:
    """A small genome in memory, such as a shuffled background: ``sequences`` and ``topology`` by contig."""

    sequences: Mapping[str, str]
    topology: Mapping[str, str]

    @property
    def contigs(self) -> dict[str, int]:
        """Length of each contig."""
        return {name: len(letters) for name, letters in self.sequences.items()}

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Return the plus strand of [start, end), over the origin of a circular contig."""
        letters = self.sequences[contig]
        circular = self.topology.get(contig) == CIRCULAR
        pieces = turns(start, end, len(letters)) if circular else [(start, end)]
        return "".join(letters[low:high] for low, high in pieces)

    def check(self) -> None:
        """Do nothing: it came along."""

    def open(self, topology: Mapping[str, str]) -> Contigs:  # noqa: ARG002
        """Return itself."""
        return self


@dataclass(frozen=True)
class ScanSource:
    """Where a scan's files are, by which they are known again, and its settings; plain data.

    Attributes
    ----------
    genome : GenomeFile or Letters
    topology : mapping of contig to "linear" or "circular"
    bundle, bundle_sha256, config
        The model's folder, the SHA-256 of its weights and its settings.
    layout : Layout
    class_index : int
    mode : {"stream", "exact"}
    precision : {"bf16", "fp32", "int8"}
        As it is, not as it was asked for, so that every machine calculates alike.
    device : {"cpu", "cuda"}
    batch_tokens : int or None
    code : mapping
        Versions that decide the numbers.
    fast_bf16 : bool
        Whether bf16 is calculated by the fused code, which rounds otherwise than torch's own.
    """

    genome: GenomeFile | Letters
    topology: Mapping[str, str]
    bundle: str
    bundle_sha256: str
    config: BundleConfig
    layout: Layout
    class_index: int
    mode: Mode
    precision: compute.Precision
    device: str
    batch_tokens: int | None
    code: Mapping[str, str]
    fast_bf16: bool

    @classmethod
    def of(cls, work: ScanWork) -> "ScanSource":
        """Return the source of some work; its model must be a bundle in a folder."""
        bundle, topology = work.predictor.bundle, dict(getattr(work.genome, "topology", {}))
        if not isinstance(bundle, ModelBundle):
            raise SettingsError("A model in memory cannot be used by other machines; save it first.")
        return cls(
            genome=_genome_of(work.genome, topology),
            topology=topology,
            bundle=str(bundle.path.absolute()),
            bundle_sha256=bundle.sha256,
            config=bundle.config,
            layout=work.layout,
            class_index=work.class_index,
            mode=work.mode,
            precision=work.predictor.precision,  # type: ignore[arg-type]
            device=work.predictor.device.type,
            batch_tokens=work.batch_tokens,
            code=_versions(),
            fast_bf16=compute.has_fast_bf16(),
        )

    def check(self) -> None:
        """Refuse, with a sentence, other code, another kind of CPU and a genome file that is not the same."""
        here = _versions()
        other = [f"{name} {here[name]} and not {self.code[name]}" for name in _SAME if here[name] != self.code[name]]
        if other:
            raise SettingsError(f"It has {' and '.join(other)}; install there what runs here.")
        if (self.device, self.precision) == ("cpu", "bf16") and compute.has_fast_bf16() != self.fast_bf16:
            raise SettingsError(
                "Its CPU is of another kind, and in bf16 the scores would not be the same; take fp32 for all, or nodes "
                "of one kind."
            )
        self.genome.check()

    def open(self) -> ScanWork:
        """Open the files and return the work; one thread for each part."""
        bundle = self._open_bundle()
        predictor = Predictor(bundle, device=self.device, precision=self.precision, threads=1)
        genome = self.genome.open(self.topology)
        return ScanWork(genome, predictor, self.layout, self.class_index, self.mode, self.batch_tokens)

    def _open_bundle(self) -> ModelBundle:
        """Return the model from the same folder, or where that is missing, that of the same name."""
        found: list[str] = []
        for place in (self.bundle, self.config.name):
            try:
                bundle = load_bundle(place)
            except BundleError as error:
                found.append(str(error).rstrip("."))
                continue
            renamed = replace(bundle.config, name=self.config.name)
            if bundle.sha256 == self.bundle_sha256 and renamed == self.config:
                return bundle
            found.append(f"The one at {bundle.path} has other weights or settings")
        raise BundleError(
            f"It has not the model '{self.config.name}' that is used here. {found[0]}. Put {self.bundle} on storage "
            "that all nodes see."
        )


def _genome_of(genome: Contigs, topology: Mapping[str, str]) -> GenomeFile | Letters:
    path = getattr(genome, "path", None)
    if path is not None:
        facts = file_facts(path)
        return GenomeFile(str(Path(path).absolute()), facts["bytes"], facts["sha256"])
    total = sum(genome.contigs.values())
    if total > MOST_LETTERS:
        raise SettingsError(
            f"A genome of {total:,} bp in memory is too large to be sent to other machines; give it as a file."
        )
    return Letters({name: genome.fetch(name, 0, size) for name, size in genome.contigs.items()}, topology)


def _versions() -> dict[str, Any]:
    facts = code_facts()
    return {name: facts[name] for name in _SAME}
