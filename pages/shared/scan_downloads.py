"""Downloads of a finished scan: each file, the files of another threshold, and one zip of everything."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import streamlit as st

from genolm.errors import GenolmError
from genolm.genbank_calls import write_genbank
from genolm.genome_files import open_genome
from genolm.jobs import Job
from genolm.outputs import SCAN_FILES, atomic_files, feature_term
from genolm.record import file_facts, write_json
from genolm.scan_outputs import pack_results, write_hits, write_parquet
from genolm.topology import CIRCULAR, LINEAR
from pages.shared import results, state
from pages.shared.downloads import Download, download_row
from pages.shared.scan_data import Finished

ZIP = "scan.zip"
LABELS = {
    "calls.csv": "Calls, CSV",
    "calls.bed": "Calls, BED",
    "calls.gff3": "Calls, GFF3",
    "calls.gb": "Calls, GenBank",
    "calls.parquet": "Calls, Parquet",
    "calls.fa": "Calls with flanks, FASTA",
    "scores_plus.bw": "Scores plus, bigWig",
    "scores_minus.bw": "Scores minus, bigWig",
    "scores_plus.bedgraph": "Scores plus, bedGraph",
    "scores_minus.bedgraph": "Scores minus, bedGraph",
    "genes.gff3": "Genes, GFF3",
    "background.json": "Shuffled background, JSON",
    "truth.json": "Comparison with known sites, JSON",
    "run.json": "Run record, JSON",
}
OF_THRESHOLD = ("calls.csv", "calls.bed", "calls.gff3", "calls.gb", "calls.parquet", "calls.fa", "run.json")
_MORE = ("calls.gb", "calls.parquet", "calls.fa")


def show(job: Job, found: Finished, calls: pd.DataFrame, threshold: float) -> None:
    """Show the links to the files of this threshold, and the way to one zip of all."""
    st.subheader("Downloads")
    made = threshold == found.made_with
    folder = job.result if made else recalled_folder(job, threshold)
    if not made and not (folder / "calls.gff3").is_file():
        results.write_calls(folder, calls[_columns(found, calls)], found.scan, circular=found.circular)
    packed = folder.parent / f"{folder.name}.{ZIP}"
    files = [
        Download(label, folder / name if name in OF_THRESHOLD else job.result / name)
        for name, label in LABELS.items()
    ]
    recorded = made or (folder / "run.json").is_file()
    if not recorded:
        files = [file for file in files if file.path.name != "run.json"]
    download_row(files, key=f"files_{job.id}")
    if packed.is_file():
        download_row([Download("Everything, zip", packed)], key=f"zip_{job.id}")
    elif st.button("Pack everything into one zip", key=f"pack_{job.id}", icon=":material/folder_zip:"):
        with state.shown_errors(), st.spinner("Packing"):
            pack(job, found, calls, threshold, folder, packed)
        st.rerun()
    st.caption(
        f"The calls are those of threshold {threshold:.3f}. CSV and BED count from 0 and leave the end out, "
        "GFF3 and GenBank count from 1 and include it. The run record is enough to repeat the scan"
        f"{'' if recorded else '; at this threshold it comes with the zip'}. The zip holds "
        "all files in all formats, with a README that explains each file and column."
    )


def recalled_folder(job: Job, threshold: float) -> Path:
    """Return the folder of the calls of another threshold than the run's."""
    return job.folder / "recalled" / hashlib.sha256(repr(threshold).encode()).hexdigest()[:12]


def _columns(found: Finished, calls: pd.DataFrame) -> list[str]:
    """Return the columns that the run itself wrote, as far as they are known at this threshold."""
    return [name for name in found.scan.calls.columns if name in calls.columns]


def pack(
    job: Job, found: Finished, calls: pd.DataFrame, threshold: float, folder: Path, packed: Path
) -> None:
    """Write every format of these calls and put all files of the scan into a zip."""
    if folder == job.result:
        missing = [name for name in _MORE if not (folder / name).is_file()]
        if not missing:
            pack_results(folder, packed)
            return
    whole = packed.with_suffix("")
    with atomic_files(whole, SCAN_FILES) as draft:
        for name in SCAN_FILES:
            source = folder / name if name in OF_THRESHOLD else job.result / name
            if source.is_file():
                _link(source, draft / name)
        _write_more(draft, found, calls[_columns(found, calls)])
        if threshold != found.made_with:
            _write_record(draft, found, calls, threshold)
    pack_results(whole, packed)
    if folder != job.result:
        for name in (*_MORE, "run.json"):
            _link(whole / name, folder / name)
    shutil.rmtree(whole)


def _write_more(draft: Path, found: Finished, calls: pd.DataFrame) -> None:
    """Write the formats that need the genome, and Parquet; without the genome file only the latter."""
    if not (draft / "calls.parquet").is_file():
        write_parquet(draft / "calls.parquet", calls)
    try:
        forms = {name: CIRCULAR if name in found.circular else LINEAR for name in found.lengths}
        genome = open_genome(found.source, topology=forms)
    except GenolmError as error:
        st.warning(f"GenBank and FASTA are left out: {state.plain(error)}", icon=":material/warning:")
        return
    with genome:
        if not (draft / "calls.gb").is_file():
            term = feature_term(found.class_name)
            write_genbank(draft / "calls.gb", calls, genome, model=found.scan.model, feature=term)
        if not (draft / "calls.fa").is_file():
            write_hits(draft / "calls.fa", calls, genome)


def _write_record(draft: Path, found: Finished, calls: pd.DataFrame, threshold: float) -> None:
    """Write the record of a run that would have given these calls."""
    (draft / "run.json").unlink(missing_ok=True)
    record = json.loads(json.dumps(found.scan.record))
    words = [str(word) for word in record.get("arguments", [])]
    if "--threshold" in words:
        words[words.index("--threshold") + 1] = repr(threshold)
    else:
        words += ["--threshold", repr(threshold)]
    record["arguments"] = words
    record["settings"]["threshold"] = threshold
    record["results"]["calls"] = len(calls)
    record["outputs"] = [file_facts(path) for path in sorted(draft.iterdir())]
    write_json(draft / "run.json", record)


def _link(source: Path, target: Path) -> None:
    """Put a file in a second place without a copy where the disk can."""
    if not source.is_file():
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
