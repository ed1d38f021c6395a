"""Where genolm keeps its files: the user's workspace, and what is shipped with the package."""

import os
import secrets
import sysconfig
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from genolm.errors import SettingsError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

HOME_VARIABLE = "GENOLM_HOME"
LOCK_FILE = "running.lock"


def home() -> Path:
    """Return the workspace folder, made if it is missing: ``GENOLM_HOME``, else ``~/.genolm``."""
    chosen = os.environ.get(HOME_VARIABLE, "").strip()
    return _made(Path(chosen).expanduser().absolute() if chosen else Path.home() / ".genolm")


def models_dir() -> Path:
    """Return the folder of the user's own model bundles, made if it is missing."""
    return _made(home() / "models")


def index_dir() -> Path:
    """Return the folder of FASTA indexes and normalised copies, made if it is missing."""
    return _made(home() / "index")


def jobs_dir() -> Path:
    """Return the folder of running and finished jobs, made if it is missing."""
    return _made(home() / "jobs")


def uploads_dir() -> Path:
    """Return the folder of what users uploaded and pasted, made if it is missing; other accounts cannot open it."""
    folder = _made(home() / "uploads", mode=0o700)
    if folder.stat().st_mode & 0o077:
        with suppress(OSError):  # some drives know no modes
            folder.chmod(0o700)
    return folder


def builtin_models_dir() -> Path:
    """Return the folder of the model bundles that are shipped with genolm; nothing is made."""
    return _shipped("models")


def samples_dir() -> Path:
    """Return the folder of the sample data that are shipped with genolm; nothing is made."""
    return _shipped("samples")


def results_dir() -> Path:
    """Return the folder of the recipes' results that are shipped with genolm; nothing is made."""
    return _shipped("results")


def recipes_dir() -> Path:
    """Return the folder of the recipes in a checkout, beside the shipped data; nothing is made."""
    return samples_dir().parents[1] / "recipes"


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete.

    Parameters
    ----------
    path : path-like
        The file to make or to replace; its folder must exist.

    Yields
    ------
    BinaryIO
        A temporary file in the same folder. When the block ends without an error it replaces
        ``path`` in one step; after an error it is removed and ``path`` stays as it was.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as stream:
            yield stream
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def room_asked_for(folder: Path, what: str = "What the training has learned") -> Iterator[None]:
    """Say where ``what`` long work has finished cannot be kept, a :class:`SettingsError`, and that it goes on."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{what} cannot be kept in {folder} ({error.strerror or error}); make room there and start the same "
            "again: it goes on from what was kept before."
        ) from error


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the lock that a file is, made if it is missing; whoever else wants it waits.

    The file stays when the block ends. On systems without such locks nothing is held.
    """
    with path.open("ab") as handle:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def lock_beside(path: Path) -> AbstractContextManager[None]:
    """Return the lock of a file that several processes add to, a hidden file beside it; see :func:`waiting_lock`."""
    return waiting_lock(path.with_name(f".{path.name}.lock"))


def report_folder(path: str | os.PathLike[str], what: str = "the report") -> Path:
    """Return the folder for a report, or for ``what``, made before the long work and not after it."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The folder {folder} for {what} cannot be made ({error.strerror}); name another."
        ) from error
    return folder


@contextmanager
def exclusive(folder: Path, what: str, *, taken: str | None = None) -> Iterator[None]:
    """Keep other processes out of a training's scratch folder; its end, however it comes, lets them in.

    Parameters
    ----------
    folder : Path
        Made if it is missing, and removed again if the block leaves nothing in it; the block may remove it.
    what : str
        Name of the model that is trained.
    taken : str, optional
        What to say to one who is kept out, where the folder is of something else than a model.

    Raises
    ------
    SettingsError
        If another process, or another thread of this one, is in it.
    """
    taken = taken or f"A training of '{what}' is running already; wait for its end or choose another name."
    with _locked(folder, taken):
        try:
            yield
        finally:
            with suppress(OSError):
                if [item.name for item in folder.iterdir()] == [LOCK_FILE]:
                    (folder / LOCK_FILE).unlink()
                    folder.rmdir()


def _locked(folder: Path, taken: str) -> BinaryIO:
    """Return the open lock file; one that its last holder removed in the meantime is no lock."""
    path = folder / LOCK_FILE
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stream = open(path, "ab")
        except OSError as error:
            raise SettingsError(f"{folder} cannot be written ({error.strerror or error}).") from error
        try:
            if fcntl:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.close()
            raise SettingsError(taken) from error
        except OSError:
            return stream  # some network drives know no locks
        with suppress(OSError):
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        stream.close()


def _made(folder: Path, *, mode: int = 0o777) -> Path:
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The workspace folder {folder} cannot be made ({error.strerror}); "
            f"set {HOME_VARIABLE} to a folder that can be written."
        ) from error
    return folder


def _asset_roots() -> list[Path]:
    package = Path(__file__).resolve().parent
    installed = Path(sysconfig.get_path("data")) / "share" / "genolm" / "assets"
    return [package / "assets", package.parent / "assets", installed]


def _shipped(kind: str) -> Path:
    candidates = [root / kind for root in _asset_roots()]
    return next((folder for folder in candidates if folder.is_dir()), candidates[1])
