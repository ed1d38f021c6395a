"""How commands speak: progress on stderr and to the job's file, errors as one sentence, JSON on stdout."""

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from genolm import stopping
from genolm.errors import Cancelled, GenolmError, SettingsError
from genolm.job_queue import PROGRESS_VARIABLE
from genolm.progress import Progress, ProgressCallback
from genolm.worker import ProgressFile, give_reason

USER_ERROR = 2
LOG_SECONDS = 30.0
SENTENCES_SHOWN = 5
STOPPED = "Stopped. Parts that are finished are kept: give the same command again, and it goes on after them."
BAR_FORMAT = "{desc} {percentage:3.0f}%|{bar:24}|{postfix}"
_USERS_FAULTS = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EROFS,
    errno.ENAMETOOLONG,
}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

class_option = click.option(
    "--class", "class_name", metavar="NAME", help="Class to look for; the positive one by default."
)
fasta_argument = click.argument("fasta", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
threads_option = click.option(
    "--threads", type=click.IntRange(1), help="CPU threads; all cores by default (also GENOLM_THREADS)."
)
column_option = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=YOURS",
    help="What the file calls a column, such as sequence=dna; split= for a column not to be used.",
)
skip_bad_rows_option = click.option(
    "--skip-bad-rows", is_flag=True, help="Go on without rows that cannot be used; they are told of."
)
fractions_option = click.option(
    "--fractions",
    callback=lambda context, option, text: _fractions(text),
    default="0.8,0.1,0.1",
    show_default=True,
    metavar="A,B,C",
    help="Shares of the rows to train on, to choose settings by, and to be judged by.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "bf16", "fp32"]),
    default="auto",
    show_default=True,
    help="Numbers to calculate with; auto takes bf16 where it is faster.",
)
scan_precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "bf16", "fp32", "int8"]),
    default="auto",
    show_default=True,
    help="Numbers to calculate with; auto takes bf16 where it is faster, int8 is for streamed scans on a CPU.",
)


class SentenceGroup(click.Group):
    """A command group that turns an error of the user's into one sentence and exit code 2.

    Ctrl-C and, during :func:`lasting_reports`, SIGTERM end it with a sentence and the code that shells know.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _stopped(signal.SIGINT, "Stopped.") from None
        except SystemExit:
            if _is_stopped():
                raise _stopped(stopping.asked(), STOPPED) from None
            raise
        except GenolmError as error:
            if isinstance(error, Cancelled) and _is_stopped():
                raise _stopped(stopping.asked(), STOPPED) from None
            raise _failure(str(error), type(error).__name__) from error
        except OSError as error:
            sentence = _file_fault(error)
            if not sentence:
                raise
            raise _failure(sentence) from error


def model_option(command: CommandT) -> CommandT:
    """Add ``--model`` to a command."""
    text = "Name of a model (see `genolm models list`), or the path of a bundle."
    return click.option("--model", "-m", required=True, metavar="NAME", help=text)(command)


@contextmanager
def progress_reports() -> Iterator[ProgressCallback]:
    """Give a progress callback: a bar or log lines on stderr, and the job's file if this runs as a job."""
    with ExitStack() as stack:
        show = stack.enter_context(_Bar() if sys.stderr.isatty() else _Lines())
        sinks: list[ProgressCallback] = [show]
        if os.environ.get(PROGRESS_VARIABLE):
            sinks.append(stack.enter_context(ProgressFile(os.environ[PROGRESS_VARIABLE])))

        def report(progress: Progress) -> None:
            for sink in sinks:
                sink(progress)
            stopping.stop_if_asked()

        yield report


@contextmanager
def lasting_reports() -> Iterator[ProgressCallback]:
    """Give a progress callback for work that goes on when it is given again.

    Ctrl-C and SIGTERM, as a scheduler sends it, end it at the next report, where it keeps what it has. Several
    processes that train together are ended as ever, for one would wait for the others.
    """
    from genolm.distributed import is_several

    with ExitStack() as stack:
        if PROGRESS_VARIABLE not in os.environ and not is_several():
            stack.enter_context(stopping.listening())
        yield stack.enter_context(progress_reports())


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout; dataclasses and paths are made plain, NaN becomes null."""
    from genolm.record import plain

    click.echo(json.dumps(plain(_plain(value)), indent=2, ensure_ascii=False))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print left-aligned columns on stdout."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def report_files(result: Any, *, as_json: bool) -> None:
    """Say what a pipeline wrote: a sentence on stderr, or all of it as JSON on stdout.

    ``result`` has ``files``, ``records``, ``seconds`` and ``summary``.
    """
    if as_json:
        print_json({key: getattr(result, key) for key in ("files", "records", "seconds", "summary")})
        return
    names = ", ".join(str(path) for path in result.files)
    noun = "record" if result.records == 1 else "records"
    click.echo(f"{result.records:,} {noun} in {clock(result.seconds)}; wrote {names}", err=True)


def say(kind: str, sentences: Sequence[str], *, rest: str = "") -> None:
    """Print sentences on stderr, such as warnings; where ``rest`` says which place holds all, only the first few."""
    shown = sentences[:SENTENCES_SHOWN] if rest else sentences
    for sentence in shown:
        click.echo(f"{kind}: {sentence}", err=True)
    if more := len(sentences) - len(shown):
        click.echo(f"{kind}: {more:,} more of this kind; see {rest}.", err=True)


def clock(seconds: float) -> str:
    """Return seconds as ``1:02:03``, ``2:03`` or, under ten, ``4.5 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def check_folder(out: Path | None) -> None:
    """Refuse, before any work, a file to write whose folder is not there."""
    if out is not None and not out.absolute().parent.is_dir():
        raise SettingsError(f"{out} cannot be written: there is no folder {out.parent}; make it first.")


class _Bar:
    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: Progress) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=1.0, file=sys.stderr, leave=False, bar_format=BAR_FORMAT)
        self._bar.n = progress.fraction
        self._bar.set_description_str(progress.stage, refresh=False)
        self._bar.set_postfix_str(_details(progress), refresh=True)


class _Lines:
    """For a log: a line at each new stage and every half minute."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._last = 0.0

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage == self._stage and now - self._last < LOG_SECONDS:
            return
        self._stage, self._last = progress.stage, now
        details = _details(progress)
        click.echo(f"{progress.stage}: {progress.fraction:.0%}{', ' + details if details else ''}", err=True)


def _details(progress: Progress) -> str:
    parts = [f"{clock(progress.eta)} left"] if progress.eta else []
    return ", ".join([*parts, *(f"{key} {value:.4g}" for key, value in progress.values.items())])


def _fractions(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != 3:
        raise SettingsError(f"--fractions is '{text}'; give three shares that make 1, such as 0.8,0.1,0.1.")
    return shares


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _file_fault(error: OSError) -> str:
    """Return what is wrong with a user's file or disk, "" where the error is not the user's."""
    if error.errno in _NO_ROOM:
        place = error.filename or "A result"
        return f"{place} cannot be written: {error.strerror}; make room, or choose another place, and start again."
    if error.errno in _USERS_FAULTS and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return ""


def _is_stopped() -> bool:
    """Return whether a signal has asked to stop; the worker of a job tells of that itself."""
    return bool(stopping.asked()) and PROGRESS_VARIABLE not in os.environ


def _stopped(number: int, sentence: str) -> SystemExit:
    """Say that the command was stopped; return what ends it, with the code that shells know."""
    # A terminal has written ^C in front.
    click.echo("\n" * sys.stderr.isatty() + sentence, err=True)
    return SystemExit(128 + number)


def _failure(sentence: str, error: str = "") -> click.ClickException:
    give_reason(sentence, error)
    failure = click.ClickException(sentence)
    failure.exit_code = USER_ERROR
    return failure
