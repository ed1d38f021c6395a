"""Train the language models behind the bacterial classifiers.

    python recipes/bacteria_lm.py --data DATA --out assets/models/bacteria-lm
    python recipes/bacteria_lm.py --data DATA --corpus ecoli --out RUNS/ecoli-lm --tokens 2000000
    python recipes/bacteria_lm.py --data DATA --base assets/models/bacteria-lm --stride 1 \\
        --out assets/models/bacteria-lm-dense --tokens 3500000 --lr 0.002

DATA holds ``bacteria/`` with one FASTA per species. Three species are held out for validation, and with
them the species that are close relatives of one. The stretch of E. coli K-12 that is reserved for the final
test of promoter models is blanked. A run that was cut off goes on from its checkpoint.
"""

import argparse
import csv
import sys
from pathlib import Path

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded
from genolm.pretraining import (
    Corpus,
    PretrainSettings,
    bits_per_base,
    held_out_text,
    language_card,
    train_language_model,
)
from genolm.progress import Progress
from genolm.registry import BundleConfig, load_bundle, save_bundle

HELD_OUT = ("Vibrio_cholerae", "Neisseria_meningitidis", "Thermotoga_lettingae")
RELATIVES = ("Vibrio_anguillarum", "Neisseria_gonorrhoeae", "Thermotogales")
ENTEROBACTERIA = (
    *("Escherichia", "Shigella", "Salmonella", "Klebsiella", "Enterobacter"),
    *("Raoultella", "Erwinia", "Pectobacterium", "Proteus"),
)
TITLES = {"bacteria": "Bacterial language model", "ecoli": "E. coli language model"}
ECOLI = "Escherichia_coli__GCF_000005845.2"
RESERVED = (3_600_000, 4_100_000)


def read_corpora(folder: Path, corpus: str, others: float) -> tuple[Corpus, Corpus]:
    """Return training and held-out genomes; species outside the enterobacteria are read ``others`` times."""
    train, valid = Corpus(), Corpus()
    for path in sorted(folder.glob("*.fna.gz")):
        if path.name.startswith(HELD_OUT):
            valid.add_file(path)
        elif path.name.startswith(RELATIVES) or (corpus == "ecoli" and not path.name.startswith(ECOLI)):
            continue
        else:
            repeats = 1.0 if path.name.startswith(ENTEROBACTERIA) else others
            train.add_file(path, repeats=repeats, mask=RESERVED if path.name.startswith(ECOLI) else None)
    return train, valid


def add_sources(train: Corpus, folder: Path) -> None:
    """Write into each file's facts where it came from, as MANIFEST.tsv tells."""
    rows = csv.DictReader((folder / "MANIFEST.tsv").open(), delimiter="\t")
    sources = {row["file"]: f"{row['species']} {row['accession']}" for row in rows}
    for item in train.files:
        item["source"] = sources[item["name"]]
        item["licence"] = "public record"


def held_out_scores(model, tokenizer, valid: Corpus) -> dict[str, dict[str, float]]:
    """Return bits per base on each held-out species and on all."""
    scores, start = {}, 0
    for item in valid.files:
        records = valid.records[start : start + item["records"]]
        start += item["records"]
        text = held_out_text(records, tokenizer, bases=400_000)
        scores[item["name"].split("__")[0].replace("_", " ")] = bits_per_base(model, text, tokenizer.stride)
    text = held_out_text(valid.records, tokenizer, bases=600_000)
    scores["held-out species"] = bits_per_base(model, text, tokenizer.stride)
    return scores


def report(progress: Progress) -> None:
    """Write one line of the log."""
    figures = " ".join(f"{key} {value:.4f}" for key, value in progress.values.items())
    left = f"{progress.eta / 60:.1f} min left" if progress.eta else ""
    print(f"{progress.done}/{progress.total} {progress.elapsed:.0f} s {figures} {left}", flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, help="folder for the checkpoint; default OUT.training")
    parser.add_argument("--corpus", choices=("bacteria", "ecoli"), default="bacteria")
    parser.add_argument("--base", help="language model to go on from, with the stride that --stride gives")
    parser.add_argument("--others", type=float, default=0.3)
    for name, default in PretrainSettings().__dict__.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Train, score on the held-out species and save."""
    options = parse(arguments)
    names = PretrainSettings().__dict__
    settings = PretrainSettings(**{name: getattr(options, name) for name in names})
    train, valid = read_corpora(options.data / "bacteria", options.corpus, options.others)
    add_sources(train, options.data / "bacteria")
    scratch = options.runs or options.out.with_name(options.out.name + ".training")
    model, tokenizer, history = train_language_model(
        train,
        valid,
        settings,
        base=load_bundle(options.base) if options.base else None,
        stride=settings.stride,
        checkpoint=scratch,
        progress=report,
    )
    card = language_card(options.out.name, train, held_out_scores(model, tokenizer, valid), settings, history)
    card |= {
        "title": TITLES[options.corpus] + (", overlapping k-mers" if options.base else ""),
        "licence": "MIT (weights); genomes are public records",
        "recipe": "recipes/bacteria_lm.py",
        "limits": [
            f"E. coli K-12 bases {RESERVED[0]:,} to {RESERVED[1]:,} were blanked; close relatives of that"
            " stretch in Shigella and Salmonella were not.",
            f"Genomes outside the enterobacteria were read {options.others} times for each once of those.",
            *([f"Went on from {Path(options.base).name}."] if options.base else []),
        ],
    }
    config = BundleConfig(
        name=options.out.name,
        kind="language-model",
        title=card["title"],
        purpose="Starting point for classifiers of bacterial sequences; it gives no annotation by itself.",
        tokenizer=tokenizer.config,
        encoder=model.encoder.config,
    )
    save_bundle(options.out, config, model.state_dict(), card)
    print(card["metrics"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
