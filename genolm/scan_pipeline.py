"""A genome file in, a folder of calls and scores out: the scan as the command line and the page call it."""

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genolm.annotation import call_table, predict_genes, read_annotation, sites_of
from genolm.background import shuffled_background
from genolm.engines import Engine
from genolm.errors import SettingsError, check_list, first_names
from genolm.feature_readers import read_regions
from genolm.features import write_annotation
from genolm.file_result import FileResult, Model, Source, open_model, work_facts
from genolm.genome_files import open_genome
from genolm.novelty import compare_with_training
from genolm.outputs import SCAN_FILES, atomic_files
from genolm.own_files import check_inputs_stay, check_own_files
from genolm.partial import FinishedParts, kept_parts, sole_writer
from genolm.peaks import Method, call_peaks
from genolm.predict import Predictor
from genolm.progress import ProgressCallback, Stages
from genolm.record import file_facts, write_json
from genolm.recording import Recording
from genolm.scan import ModeChoice, ScanResult, scan_genome, scan_mode
from genolm.scan_outputs import check_formats, write_all
from genolm.scan_plan import Intervals, Strands, bases_looked_at, scan_layout, scan_windows, strand_list, whole_stride
from genolm.sequences import Genome
from genolm.significance import Background, scored_megabases
from genolm.topology import AUTO, CIRCULAR, LINEAR, Choice
from genolm.truth import TruthCurve, scored_pieces, truth_curve

SCAN_PARTIAL = ".scan.partial"
BACKGROUND_BASES = 1_000_000
BACKGROUND_SEED = 1
TOLERANCE = 50
PREDICT = "predict"

PathLike = str | os.PathLike[str]


def scan_file(
    fasta: PathLike,
    folder: PathLike,
    *,
    model: Model,
    stride: int = 10,
    strand: Strands = "both",
    contigs: Iterable[str] | None = None,
    threshold: float | None = None,
    merge_distance: int | None = None,
    min_distance: int = 0,
    method: Method = "merge",
    class_name: str | None = None,
    mode: ModeChoice = "auto",
    topology: str = AUTO,
    circular: Iterable[str] = (),
    linear: Iterable[str] = (),
    regions: PathLike | None = None,
    genes: PathLike | None = None,
    truth: PathLike | None = None,
    tolerance: int = TOLERANCE,
    background: bool = False,
    formats: Collection[str] = (),
    bedgraph: bool = False,
    engine: Engine | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> FileResult:
    """Scan a genome file and write calls, score tracks and the record of the run into ``folder``.

    Files: ``calls.csv`` (0-based half-open), ``calls.bed``, ``calls.gff3``, ``scores_plus.bw`` and
    ``scores_minus.bw`` (of the scanned strands), ``run.json``; the same scores as ``.bedgraph`` and what
    ``formats`` names on request; ``background.json``, ``genes.gff3`` and ``truth.json`` where there are any.

    Parameters
    ----------
    fasta, folder : path
        FASTA, GenBank, EMBL or 2bit.
    model : str, path or Predictor
        A classifier with a training window.
    stride, strand, contigs, class_name, mode
        See :func:`genolm.scan.scan_genome`.
    threshold : float, optional
        Calibrated probability from which a window is part of a call; the model's own by default.
    merge_distance, min_distance, method
        See :func:`genolm.peaks.call_peaks`.
    topology : {"auto", "linear", "circular"}
        Of all contigs; ``auto`` is what the file says of each.
    circular, linear : iterable of str
        Contigs that are circular or linear, whatever ``topology`` says.
    regions : path, optional
        BED; only windows whose site lies in one of its lines are scored.
    genes : path or "predict", optional
        GFF3, GenBank, EMBL or BED of genes, or ``predict`` to find those of a bacterium; the genes of a GenBank
        genome by default. Each call gets the next gene and its distance.
    truth : path, optional
        Known sites or genes (their 5' ends), to compare the calls with.
    tolerance : int
        Largest distance in bp of a call's summit from a known site.
    background : bool
        Scan a shuffled background too, so that calls get q-values and expected false calls per Mb.
    formats : collection of str
        See :func:`genolm.scan_outputs.write_all`.
    bedgraph : bool
        Short for "bedgraph" in ``formats``.
    engine : Engine, optional
        Who does the work; the threads of this process by default.
    progress : callable, optional
        Told of finished windows.
    **options
        ``device``, ``precision``, ``threads``.
    """
    for given, what in ((contigs, "contigs"), (circular, "circular"), (linear, "linear")):
        check_list(given, what)
    folder, stride, contigs = Path(folder), whole_stride(stride), None if contigs is None else list(contigs)
    circular, linear = list(circular), list(linear)
    formats = [*formats, *(["bedgraph"] if bedgraph and "bedgraph" not in formats else [])]
    check_formats(formats)
    predictor = open_model(model, **options)
    threshold = checked_threshold(predictor, threshold)
    asked = {
        "stride": stride, "strand": strand, "contigs": contigs, "threshold": threshold,
        "class_name": class_name, "merge_distance": merge_distance, "min_distance": min_distance,
        "method": method, "mode": mode, "topology": topology, "circular": circular, "linear": linear,
        "regions": regions, "genes": genes, "truth": truth, "tolerance": tolerance,
        "background": background, "formats": formats, "precision": predictor.precision,
    }  # fmt: skip
    run = Recording("scan", fasta=fasta, out=folder, model=model, **asked)
    source, doer = Source(fasta), "local" if engine is None else type(engine).__name__
    kept, facts = folder / SCAN_PARTIAL, source.facts
    check_inputs_stay([folder / name for name in SCAN_FILES], [fasta, genes, truth, regions])
    if not kept.exists():  # left by a scan that was cut off, maybe while it put its files in place
        check_own_files(folder, SCAN_FILES, "scan", listed=True)
    with ExitStack() as stack:
        choice = topology_choice(topology, circular, linear)
        genome = stack.enter_context(open_genome(fasta, topology=choice, progress=progress))
        inputs = _Inputs.read(genome, genes=genes, truth=truth, regions=regions, progress=progress)
        work = {"stride": stride, "contigs": contigs, "class_name": class_name, "strand": strand}
        work |= {"mode": scan_mode(predictor, mode), "topology": genome.topology, "regions": inputs.regions}
        stack.enter_context(sole_writer(kept, folder))
        work = work_facts("scan", facts, predictor, work)
        parts = stack.enter_context(kept_parts(kept, work, check=source.check))
        scan = {"stride": stride, "strands": strand, "class_name": class_name, "mode": mode, "engine": engine}
        stages = _Scans(genome, predictor, scan, parts, progress)
        result, false = stages.run(contigs, inputs.regions, background=background)
        rules = {"window_length": result.settings["window"], "merge_distance": merge_distance}
        rules |= {"min_distance": min_distance}
        judged = _Judged.of(result, inputs, false, threshold, tolerance, rules | {"method": method})
        with atomic_files(folder, SCAN_FILES, "scan") as draft:
            names = {"model": predictor.config.name, "class_name": result.settings["class"]}
            write_all(draft, judged.calls, result.tracks, genome, formats=formats, **names)
            judged.write(draft, inputs, genome)
            files = _names_of(asked, ("genes", "truth", "regions"))
            notes = [*_notes(result, inputs, regions), *stages.notes, *getattr(engine, "notes", ())]
            record = run.record(
                predictor,
                inputs=[{**facts, **_sequence_facts(genome)}, *inputs.facts],
                settings={**asked, **files, **result.settings, "engine": doer},
                results={**result.summary(), **judged.summary(), "notes": notes, "warnings": stages.warnings},
                outputs=sorted(draft.iterdir()),
            )
            write_json(draft / "run.json", record)
            written = {path.name for path in draft.iterdir()}
            parts.check()
    files = tuple(folder / name for name in SCAN_FILES if name in written)
    return FileResult(files, len(genome.contigs), run.seconds, record["results"], judged.calls)


@dataclass(frozen=True)
class _Inputs:
    """What is known of the genome beside its letters, with sentences on what was left out of it."""

    genes: pd.DataFrame | None
    sites: pd.DataFrame | None
    regions: dict[str, Intervals] | None
    facts: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]

    @classmethod
    def read(
        cls,
        genome: Genome,
        *,
        genes: PathLike | None,
        truth: PathLike | None,
        regions: PathLike | None,
        progress: ProgressCallback | None,
    ) -> "_Inputs":
        known = _genes(genome, genes, progress)
        true = None if truth is None else read_annotation(truth, contigs=genome.contigs, circular=genome.circular)
        given = {"genes": genes, "truth": truth, "regions": regions}
        paths = {key: path for key, path in given.items() if path is not None and str(path) != PREDICT}
        tables = [table for table in (known, true) if table is not None]
        notes = list(genome.notes) if genes is None else []
        notes += [note for table in tables for note in table.attrs.get("notes", ())]
        looked_at = None if regions is None else read_regions(regions, genome.contigs)
        sites = None if true is None else sites_of(true)
        if sites is not None and looked_at is not None:
            inside = _inside(sites, looked_at, genome.circular)
            notes += _outside_words(int((~inside).sum()))
            sites = sites[inside].reset_index(drop=True)
        facts = tuple({**file_facts(path), "option": key} for key, path in paths.items())
        return cls(genes=known, sites=sites, regions=looked_at, facts=facts, notes=tuple(notes))


def _inside(sites: pd.DataFrame, regions: Mapping[str, Intervals], circular: Mapping[str, int]) -> np.ndarray:
    """Return which sites lie in one of the regions; one beyond the end of a circle lies behind its origin."""
    turns = sites["contig"].map(dict(circular))
    places = zip(sites["contig"], (sites["position"] % turns).fillna(sites["position"]), strict=True)
    return np.array([any(low <= at < high for low, high in regions.get(name, ())) for name, at in places], bool)


def _outside_words(count: int) -> list[str]:
    if count == 1:
        return ["1 known site lies outside the regions and does not count."]
    return [f"{count:,} known sites lie outside the regions and do not count."] if count else []


def _notes(result: ScanResult, inputs: _Inputs, regions: PathLike | None) -> list[str]:
    """Say which regions alone were scanned, which records hold no window, and what was left out of the inputs."""
    words, scanned = [], dict.fromkeys((track.contig for track in result.tracks), 0)
    if regions is not None and inputs.regions is not None:
        count = sum(len(inputs.regions.get(name, ())) for name in scanned)
        size = f"{bases_looked_at(scanned, inputs.regions):,} bp"
        words.append(f"Only the {size} in {Path(regions).name} ({count:,} region{'s' * (count != 1)}) were scanned.")
    if short := [item.name for item in result.skipped]:
        verbs = ("is", "was") if len(short) == 1 else ("are", "were")
        words.append(
            f"{len(short):,} of {len(short) + len(scanned):,} records {verbs[0]} shorter than a window "
            f"({result.settings['window']:,} bp) and {verbs[1]} not scanned: {first_names(short)}."
        )
    return [*words, *inputs.notes]


def _genes(genome: Genome, genes: PathLike | None, progress: ProgressCallback | None) -> pd.DataFrame | None:
    if genes is None:
        return genome.annotation
    if str(genes) == PREDICT:
        return predict_genes(genome, progress=progress)
    return read_annotation(genes, contigs=genome.contigs, circular=genome.circular)


class _Scans:
    """The scan of the genome and of its shuffled background, one after the other, as one work."""

    def __init__(
        self,
        genome: Genome,
        predictor: Predictor,
        scan: Mapping[str, Any],
        parts: FinishedParts,
        progress: ProgressCallback | None,
    ) -> None:
        self._genome, self._predictor, self._scan = genome, predictor, dict(scan)
        self._parts, self._progress = parts, progress
        self.warnings = [*scan_limits(predictor), *compare_with_training(genome, predictor)]
        self.notes: list[str] = []

    def run(
        self, contigs: list[str] | None, regions: Mapping[str, Intervals] | None, *, background: bool
    ) -> tuple[ScanResult, ScanResult | None]:
        """Return both results; None for a background that was not asked for."""
        chosen = {"contigs": contigs, "regions": regions}
        if not background:
            return self._one(self._genome, self._parts, self._progress, **chosen), None
        shuffled = shuffled_background(self._genome, bases=BACKGROUND_BASES, seed=BACKGROUND_SEED)
        self.notes.append(f"Background: {shuffled}")
        layout, signs = scan_layout(self._predictor, self._scan["stride"]), self._scan["strands"]
        strand_list(signs)
        looked_at = {name: size for name, size in self._genome.contigs.items() if contigs is None or name in contigs}
        weights = {
            "genome": scan_windows(
                looked_at, layout, strands=signs, topology=self._genome.topology, regions=regions
            ),
            "shuffled background": scan_windows(shuffled.contigs, layout, strands=signs),
        }
        stages = Stages(self._progress, {name: max(1, weight) for name, weight in weights.items()})
        result = self._one(self._genome, self._parts, stages.reporter("genome"), **chosen)
        stages.finish("genome")
        parts = self._parts.within("background")
        return result, self._one(shuffled, parts, stages.reporter("shuffled background"))

    def _one(
        self, genome: Any, parts: FinishedParts, progress: ProgressCallback | None, **chosen: Any
    ) -> ScanResult:
        return scan_genome(genome, self._predictor, parts=parts, progress=progress, **chosen, **self._scan)


@dataclass(frozen=True)
class _Judged:
    """The calls with what else is known of them."""

    calls: pd.DataFrame
    threshold: float
    background: Background | None
    truth: TruthCurve | None

    @classmethod
    def of(
        cls,
        result: ScanResult,
        inputs: _Inputs,
        false: ScanResult | None,
        threshold: float,
        tolerance: int,
        rules: Mapping[str, Any],
    ) -> "_Judged":
        calls = call_peaks(result.tracks, threshold=threshold, circular=result.circular, **rules)
        background, extra = None, {}
        if false is not None:
            plain = {key: value for key, value in rules.items() if key != "method"}
            background = Background.from_tracks(false.tracks, **plain)
            scores = calls["score"].to_numpy()
            extra = {
                "q_values": background.q_values(scores, scored_megabases(result.tracks)),
                "expected": np.asarray(background.expected_per_mb(scores)),
            }
        curve = None
        if inputs.sites is not None:
            given = {"tolerance": tolerance, "circular": result.circular, **rules}
            curve = truth_curve(scored_pieces(result.tracks), inputs.sites, **given)
        reach = {"circular": result.circular, "behind": result.settings["stride"]}
        calls = call_table(calls, genes=inputs.genes, **reach, **extra)
        return cls(calls, threshold, background, curve)

    def write(self, folder: Path, inputs: _Inputs, genome: Genome) -> None:
        """Write what stands beside the calls."""
        if self.background is not None:
            write_json(folder / "background.json", self.background.to_json())
        if self.truth is not None:
            write_json(folder / "truth.json", self.truth.to_json())
        if inputs.genes is not None:
            write_annotation(folder / "genes.gff3", inputs.genes, lengths=genome.contigs, circular=genome.circular)

    def summary(self) -> dict[str, Any]:
        """Return the figures for the record of the run."""
        found: dict[str, Any] = {"calls": len(self.calls)}
        if self.background is not None:
            found["expected_false_per_mb"] = self.background.interval_per_mb(self.threshold).as_dict()
        if self.truth is not None:
            found["truth"] = {"auprc": self.truth.auprc, "sites": self.truth.sites, "best": self.truth.best}
        return found


def _names_of(asked: Mapping[str, Any], keys: Iterable[str]) -> dict[str, str]:
    """Return the files' names: where they lie is not for a record that is passed on."""
    return {key: Path(asked[key]).name for key in keys if asked[key] is not None}


def topology_choice(topology: str, circular: list[str], linear: list[str]) -> Choice:
    """Return the form of all contigs, or by name where some are named."""
    both = sorted(set(circular) & set(linear))
    if both:
        raise SettingsError(f"Contig {both[0]} is said to be circular and linear; leave one out.")
    named = dict.fromkeys(circular, CIRCULAR) | dict.fromkeys(linear, LINEAR)
    if named and topology != AUTO:
        raise SettingsError(f"Topology is {topology} for all contigs and others are named; leave it at auto.")
    return named or topology


def scan_limits(predictor: Predictor) -> list[str]:
    """Return what the model's card says against scans, as warnings; none where it says nothing."""
    limit = (predictor.bundle.card or {}).get("scan_limit")
    return [f"{predictor.config.name}: {limit}"] if limit else []


def checked_threshold(predictor: Predictor, threshold: float | None) -> float:
    """Return the threshold of a scan, by default the model's own; refuse what cannot be one."""
    if predictor.task == "regression":
        raise SettingsError(
            f"Model '{predictor.config.name}' predicts a quantity, not a class; a scan has nothing to call."
        )
    if threshold is None:
        return predictor.config.calibration.for_scans
    if not 0 <= threshold <= 1:
        raise SettingsError(f"threshold is {threshold}; it must be a probability from 0 to 1.")
    return threshold


def _sequence_facts(genome: Genome) -> dict[str, Any]:
    summary = genome.summary
    return {"records": summary.records, "bases": summary.bases, "ambiguous": dict(summary.ambiguous)}
