"""Before a training: the table read, coded and split, and the plan of what will be done."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genolm.classifier_training import Samples
from genolm.config import FinetuneSettings, HeadConfig
from genolm.known_rows import known_to_base
from genolm.labels import LabelCode, code_labels
from genolm.plans import TrainingPlan, plan_training, task_size
from genolm.record import source_facts
from genolm.registry import ModelBundle, load_bundle
from genolm.table_split import SplitSettings, TableSplit, split_rows, table_clusters
from genolm.tables import LabelledTable, labelled_rows, read_table
from genolm.tokenizer import KmerTokenizer


@dataclass(frozen=True)
class Preparation:
    """Everything that a training needs to know before it starts.

    Attributes
    ----------
    path : Path
    table : LabelledTable
        Rows with a label; the sequences of the others are its ``unlabelled``.
    code : LabelCode
        Labels as numbers.
    split : TableSplit
    bundle : ModelBundle
        The base.
    from_scratch : bool
    settings : FinetuneSettings
    plan : TrainingPlan
    facts : dict
        What makes this training this one and no other, as plain data: ``table``, ``base``, ``from_scratch`` and
        ``settings``, with hashes as they were when the table was read.
    known : str
        What is to be said of held-out rows that the base has learned from, see :mod:`genolm.known_rows`.
    """

    path: Path
    table: LabelledTable
    code: LabelCode
    split: TableSplit
    bundle: ModelBundle
    from_scratch: bool
    settings: FinetuneSettings
    plan: TrainingPlan
    facts: dict[str, Any]
    known: str = ""

    @property
    def head(self) -> HeadConfig:
        """What the classifier will answer."""
        return replace(self.code.head, slots=self.plan.slots)

    @property
    def start(self) -> ModelBundle | KmerTokenizer:
        """The base, or only its tokens when the training is from scratch."""
        return KmerTokenizer(self.bundle.config.tokenizer) if self.from_scratch else self.bundle

    def rows(self, part: str) -> np.ndarray:
        """Return the numbers of the rows of a part, int64."""
        return np.flatnonzero(self.split.parts == part)

    def samples(self, part: str) -> Samples:
        """Return the sequences and coded labels of a part."""
        everything = Samples(self.table.sequences, self.code.values, self.table.named_groups)
        return everything.subset(self.rows(part))

    def unrelated(self) -> list[str]:
        """Return those of the :func:`open_sequences` that resemble no validation and test row."""
        unlabelled = open_sequences(self.table, self.split)
        if not unlabelled:
            return []
        held_out = [*self.samples("valid").sequences, *self.samples("test").sequences]
        clusters = table_clusters([*held_out, *unlabelled])
        known = set(clusters[: len(held_out)].tolist())
        return [
            item
            for item, cluster in zip(unlabelled, clusters[len(held_out) :].tolist(), strict=True)
            if cluster not in known
        ]


def prepare_training(
    table_path: str | Path,
    base: str,
    settings: FinetuneSettings | None = None,
    *,
    from_scratch: bool = False,
    table: LabelledTable | None = None,
    clusters: np.ndarray | None = None,
) -> Preparation:
    """Read, code and split a table and plan the training on it.

    Parameters
    ----------
    table_path : path
        Table with columns ``sequence,label`` and optionally ``split,group,name``; rows with an empty label
        serve only to fine-tune the language model.
    base : str
        Language model or classifier to start from; name or path.
    settings : FinetuneSettings, optional
    from_scratch : bool
        Take only the tokens of ``base``.
    table, clusters : optional
        The labelled rows, if they were read before with the same settings, and their similarity clusters.

    Raises
    ------
    TableError, BundleError, SettingsError, TrainingError
    """
    settings = settings or FinetuneSettings()
    bundle = load_bundle(base)
    if table is None:
        columns, skip = dict(settings.columns), settings.skip_bad_rows
        table = labelled_rows(read_table(table_path, need_label=False, columns=columns, skip_bad_rows=skip))
    rows = table.frame.index.tolist()
    code = code_labels(table.labels, task=settings.task, positive=settings.positive, rows=rows)
    division = SplitSettings(settings.split, settings.fractions, settings.seed)
    split = split_rows(table, code, division, clusters=clusters)
    known = "" if from_scratch else known_to_base(bundle, table.sequences, split.parts)
    split = replace(split, notes=(*split.notes, known)) if known else split
    extra = sum(map(len, open_sequences(table, split)))
    size = task_size(
        code.head.task, code.values, table.sequences, split.parts, clusters=split.clusters, extra_bases=extra
    )
    is_language_model = bundle.config.kind == "language-model"
    # Of k-mers at every base there is one frame.
    planned = replace(settings, framed=False) if bundle.config.tokenizer.stride == 1 else settings
    plan = plan_training(size, planned, from_scratch=from_scratch, can_adapt=is_language_model)
    facts = {
        "table": source_facts(Path(table_path)),
        "base": {"name": bundle.name, "sha256": bundle.sha256},
        "from_scratch": from_scratch,
        # A training that was begun before there were these settings goes on as what it is.
        "settings": {
            key: value for key, value in asdict(settings).items() if value is not None or key not in ("framed", "slots")
        },
    }
    return Preparation(Path(table_path), table, code, split, bundle, from_scratch, settings, plan, facts, known)


def open_sequences(table: LabelledTable, split: TableSplit) -> list[str]:
    """Return the unlabelled sequences that the division leaves to be learned from.

    By a column split those that are marked for training there, by groups those that are in none of a validation or
    test row.
    """
    rows = table.without_label
    if rows is None:
        return []
    if split.method == "given":
        rows = rows[rows["split"] == "train"]
    elif split.method == "group":
        rows = rows[~rows["group"].isin(table.frame["group"][split.parts != "train"])]
    return rows["sequence"].tolist()
