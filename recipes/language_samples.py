"""Write into a language model's card what it makes of a shipped sample, which a test reproduces.

    python recipes/language_samples.py ecoli_k12_mg1655.fa.gz --start 3800000 --end 3840000 \\
        assets/models/bacteria-lm assets/models/bacteria-lm-dense
    python recipes/language_samples.py human_known_promoters.fa assets/models/mammal-lm assets/models/mammal-lm-dense

The first is of the stretch of E. coli that no model has read. Nothing is trained; the weights stay.
:func:`genolm.language_scores.sample_bits` says what is measured.
"""

import argparse
from pathlib import Path

from genolm.language_scores import sample_bits
from genolm.record import file_facts
from genolm.registry import load_bundle, save_bundle
from genolm.tokenizer import KmerTokenizer
from genolm.workspace import samples_dir


def tell_sample(model: Path, name: str, *, start: int, end: int | None) -> dict[str, object]:
    """Save a model with a card that has its bits per base on a sample, and return them; see ``sample_bits``."""
    bundle, path = load_bundle(model), samples_dir() / name
    bits = sample_bits(bundle.build(), KmerTokenizer(bundle.config.tokenizer), path, start=start, end=end)
    place = {"start": start, "end": end} if end else {}
    found = {"file": name, "sha256": file_facts(path)["sha256"], **place, **bits}
    save_bundle(model, bundle.config, bundle.state_dict(), {**bundle.card, "sample": found})
    return found


def main() -> None:
    """Tell each model's sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sample", help="file name among the shipped samples")
    parser.add_argument("models", type=Path, nargs="+", help="folders of language models")
    parser.add_argument("--start", type=int, default=0, help="first base of each record, from 0")
    parser.add_argument("--end", type=int, help="base behind the last one")
    options = parser.parse_args()
    for model in options.models:
        print(model.name, tell_sample(model, options.sample, start=options.start, end=options.end))


if __name__ == "__main__":
    main()
