"""``genolm check``: what the report says, printed and as JSON."""

import json

import pytest
from click.testing import CliRunner

from genolm.cli import commands
from genolm.plans import LEAST_TRAINING_ROWS
from genolm.table_report import TableReport
from genolm.tables import read_table


@pytest.fixture
def table(tmp_path, make_dna):
    """A hundred rows with other names of columns, one of them bad."""
    rows = [f"{make_dna(60)}\t{'ab'[row % 2]}\tholdout" for row in range(100)]
    path = tmp_path / "mine.tsv"
    path.write_text("\n".join(["dna\tclass\tsplit", *rows, "ACG!\ta\tholdout"]) + "\n")
    return path


COLUMNS = ["--column", "sequence=dna", "--column", "label=class", "--column", "split="]


def check(*arguments):
    return CliRunner().invoke(commands, ["check", *map(str, arguments)])


def test_the_report_is_printed(table):
    done = check(table, *COLUMNS)
    assert done.exit_code == 0
    assert "mine.tsv: 100 rows, 6,000 bases, binary" in done.output
    assert "Split by cluster: 80 train, 10 valid, 10 test" in done.output
    assert "STOP  1 row cannot be used; the first is row 102: position 4" in done.output
    assert "GC content alone" in done.output and "ACG!" in done.output


def test_the_report_as_json(table):
    done = check(table, *COLUMNS, "--skip-bad-rows", "--no-shortcuts", "--split", "random", "--json")
    report = TableReport.from_json(json.loads(done.stdout))
    assert report.split.method == "random" and report.shortcuts == () and report.can_train
    assert [row.row for row in report.refused] == [102]


def test_the_split_is_written_out(table, tmp_path):
    done = check(table, *COLUMNS, "--no-shortcuts", "--out", tmp_path / "divided.csv.gz")
    assert "100 rows with their split written" in done.stderr
    divided = read_table(tmp_path / "divided.csv.gz")
    assert divided.frame["split"].value_counts().to_dict() == {"train": 80, "valid": 10, "test": 10}
    again = check(tmp_path / "divided.csv.gz", "--no-shortcuts")
    assert "Split by given: 80 train, 10 valid, 10 test" in again.output


def test_the_shares_can_be_chosen(table):
    done = check(table, *COLUMNS, "--no-shortcuts", "--fractions", "0.6,0.2,0.2")
    assert "Split by cluster: 60 train, 20 valid, 20 test" in done.output


def test_what_is_too_few_to_train_on_is_too_few_here(tmp_path, make_dna):
    def said(rows):
        parts = ["valid"] * 6 + ["train"] * rows
        lines = [f"{make_dna(60)},{'ab'[row % 2]},{part}" for row, part in enumerate(parts)]
        (tmp_path / "few.csv").write_text("\n".join(["sequence,label,split", *lines]) + "\n")
        return check(tmp_path / "few.csv", "--no-shortcuts").output

    assert f"and at least {LEAST_TRAINING_ROWS} are needed" in said(LEAST_TRAINING_ROWS - 1)
    assert "are needed" not in said(LEAST_TRAINING_ROWS)


def test_faults_are_one_sentence(table, tmp_path):
    missing = tmp_path / "no" / "x.csv"
    for arguments, sentence in (
        ([table], "has no column 'sequence'; its columns are dna, class, split"),
        ([table, "--column", "dna"], "cannot be understood"),
        ([table, *COLUMNS, "--task", "regression"], "needs a number as each label"),
        ([table, *COLUMNS, "--split", "group"], "no column group"),
        ([table, *COLUMNS, "--fractions", "0.5,0.5"], "give three shares"),
        ([table, *COLUMNS, "--out", missing], f"{missing} cannot be written"),
        ([tmp_path / "none.csv"], "There is no file"),
    ):
        done = check(*arguments)
        assert done.exit_code == 2 and sentence in done.stderr and "Traceback" not in done.stderr


def test_a_folder_of_classes(tmp_path, make_dna):
    for name in ("yes", "no"):
        (tmp_path / f"{name}.fa").write_text("".join(f">{i}\n{make_dna(50)}\n" for i in range(30)))
    done = check(tmp_path, "--no-shortcuts")
    assert "60 rows, 3,000 bases, binary" in done.output


def test_a_plan_tells_the_stops_and_warnings_of_the_check(tmp_path, make_dna, toy_language_model_path):
    parts = ["train"] * 60 + ["valid"] * 10 + ["test"] * 20
    rows = [f"{make_dna(60)},{'ab'[row % 2]},{part},g{row // 45}" for row, part in enumerate(parts)]
    rows += [f"{make_dna(60)},c,test,g1" for _ in range(10)]
    (tmp_path / "t.csv").write_text("\n".join(["sequence,label,split,group", *rows]) + "\n")
    told = check(tmp_path / "t.csv", "--no-shortcuts").output.splitlines()
    told = [line for line in told if line.startswith(("STOP", "WARN"))]
    arguments = ["finetune", str(tmp_path / "t.csv"), "--base", str(toy_language_model_path), "--name", "new", "--plan"]
    done = CliRunner().invoke(commands, arguments)
    assert done.exit_code == 0 and done.output.splitlines()[: len(told)] == told
    assert told[0] == "STOP  The class c has no training row: no model can learn it."
    assert any("The test rows come from one group, too few" in line for line in told)
    plan = json.loads(CliRunner().invoke(commands, [*arguments, "--json"]).stdout)
    assert [f"{item['level'].upper():<5} {item['sentence']}" for item in plan["warnings"]] == told
