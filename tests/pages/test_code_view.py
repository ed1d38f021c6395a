"""As code: files carry their users' names, and what a page made itself is offered beside the command."""

import json
import shlex

import pytest
from streamlit.testing.v1 import AppTest

from genolm import workspace
from genolm.ascode import parse_arguments, shell_command
from pages.shared import code_view


def script():
    import json
    import os

    from pages.shared import code_view

    code_view.show_code(json.loads(os.environ["ARGUMENTS"]), key="t", piece=os.environ.get("PIECE", ""))


@pytest.fixture
def shown(private_workspace, monkeypatch):
    """A function path of the input -> the page with its command."""

    def opened(path):
        monkeypatch.setenv("ARGUMENTS", json.dumps(["classify", str(path), "--model", "toy", "--out", "c.csv"]))
        app = AppTest.from_function(script).run()
        assert not app.exception
        return app

    return opened


def offered(app):
    return [item.proto.label for item in app.get("download_button")]


@pytest.mark.parametrize(
    "name", ["GCF_000005845.2_ASM584v2_genomic.fna.gz", "基因组.fa", "my genome (1).fa", "it's $HOME; x.fa", "-c.fa"]
)
def test_an_uploaded_file_has_its_own_name_in_the_command(shown, name):
    app = shown(workspace.uploads_dir() / ("a" * 32) / "whole" / name)
    command, python = (item.value for item in app.code)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["genolm", "classify"] and words[2].removeprefix("./") == name
    assert parse_arguments(words[1:]).files == [words[2]]
    compile(python, "shown", "exec")
    assert repr(words[2])[1:-1] in python and not offered(app)


@pytest.mark.parametrize(
    ("place", "name"),
    [("results/abc/piece.fa", "piece.fa"), ("pasted/abc.fa", "pasted.fa"), ("samples/sites_60.fa", "sites_60.fa")],
)
def test_a_file_that_a_page_made_is_offered_under_the_name_in_the_command(shown, place, name):
    path = workspace.uploads_dir() / place
    path.parent.mkdir(parents=True)
    path.write_text(">a\nACGT\n")
    app = shown(path)
    assert app.code[0].value.startswith(f"genolm classify {name} ")
    assert offered(app) == [f"Download {name}"]
    assert app.caption[1].value == f"The page itself made {name.replace('_', chr(92) + '_')}: put it there too."
    path.unlink()
    app = shown(path)
    assert not offered(app) and app.caption[1].value.endswith(", which is no longer here.")


def test_a_piece_that_is_not_written_yet_is_offered(shown, monkeypatch):
    monkeypatch.setenv("PIECE", ">a:1-4\nACGT\n")
    app = shown("piece.fa")
    assert offered(app) == ["Download piece.fa"] and "made piece.fa" in app.caption[1].value


def test_held_out_records_are_quoted_with_their_files_name():
    arguments = ["pretrain", "/w/my genome (1).fa", "--name", "lm", "--held-out", "my genome (1).fa:chr1"]
    command = shell_command(arguments, paths=code_view.file_names(arguments))
    words = shlex.split(command.replace("\\\n", " "))
    assert words[2] == "my genome (1).fa" and words[-1] == "my genome (1).fa:chr1"


def test_no_uploaded_file_of_a_command_shows_where_it_lies_on_the_server(private_workspace):
    folder = workspace.uploads_dir() / ("a" * 32) / "whole"
    genome, genes, sites = (str(folder / name) for name in ("基因组.fa", "my genes.gff3", "sites.bed"))
    arguments = ["scan", genome, "--model", "toy", "--out", ".", "--genes", genes, "--truth", sites]
    command = shell_command(arguments, paths=code_view.file_names(arguments))
    assert shlex.split(command.replace("\\\n", " ")) == [
        *("genolm", "scan", "基因组.fa", "--model", "toy", "--out", "scan_result"),
        *("--genes", "my genes.gff3", "--truth", "sites.bed"),
    ]
