"""The models that there are: built-in ones and the user's own, by name.

Built-in bundles lie in ``assets/models``, the user's in the workspace. What a bundle is and how one is
read and written stands in :mod:`genolm.bundles`.
"""

import dataclasses
import difflib
import glob
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genolm import workspace
from genolm.bundle_config import FORMAT_VERSION, BundleConfig, check_name, config_facts
from genolm.bundles import (
    BUNDLE_FILES,
    ModelBundle,
    file_sha256,
    read_bundle,
    read_description,
    replaced_folder,
    save_bundle,
    write_description,
)
from genolm.cards import headline
from genolm.errors import BundleError, SettingsError, first_names
from genolm.jobs import Job, list_jobs

__all__ = [
    "FORMAT_VERSION",
    "BundleConfig",
    "BundleInfo",
    "ModelBundle",
    "check_name",
    "check_removal",
    "config_facts",
    "export_bundle",
    "file_sha256",
    "find_bundle",
    "import_bundle",
    "jobs_with",
    "list_bundles",
    "load_bundle",
    "remove_bundle",
    "save_bundle",
]

# How tempfile ends the names of folders, as bundles.replaced_folder has them: no hyphen, so that no other model's fits.
_DRAFT = "[a-z0-9_]" * 8

_MODEL_OPTIONS = ("--model", "--base")


@dataclass(frozen=True)
class BundleInfo:
    """One line of the list of models.

    Attributes
    ----------
    name : str
        Name of the bundle's folder.
    size : int
        Bytes on disk.
    config, card
        None and empty for a broken bundle.
    error : str or None
        Why the bundle cannot be used.
    """

    name: str
    path: Path
    builtin: bool
    size: int
    config: BundleConfig | None = None
    card: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def headline(self) -> str:
        """The score to show beside the name, see :func:`genolm.cards.headline`."""
        return headline(self.card)


def list_bundles(*, kind: str | None = None) -> list[BundleInfo]:
    """Return all models, built-in ones first, then by name; a broken one is there with its error.

    With ``kind`` ("classifier" or "language-model") only the usable ones of that kind.
    """
    found: dict[str, BundleInfo] = {}
    for root, builtin in ((workspace.builtin_models_dir(), True), (workspace.models_dir(), False)):
        folders = sorted(item for item in root.iterdir() if item.is_dir()) if root.is_dir() else []
        for folder in folders:
            if not folder.name.startswith(".") and folder.name not in found:
                found[folder.name] = _describe(folder, builtin)
    return [info for info in found.values() if kind is None or (info.config and info.config.kind == kind)]


def find_bundle(name: str | os.PathLike[str]) -> BundleInfo:
    """Return the model called ``name``; the message of the error lists what there is."""
    name = os.fspath(name)
    bundles = {info.name: info for info in list_bundles()}
    if name in bundles:
        return bundles[name]
    drafts = f".{glob.escape(Path(name).name)}-{_DRAFT}/old"
    if old := next(workspace.models_dir().glob(drafts), None):
        raise BundleError(
            f"The model '{name}' was being replaced when that was cut off. What it was lies in {old}; import that "
            "folder to have it back."
        )
    close = difflib.get_close_matches(name, bundles, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise BundleError(f"There is no model '{name}'; there are: {', '.join(bundles) or 'none'}.{hint}")


def load_bundle(name_or_path: str | os.PathLike[str]) -> ModelBundle:
    """Return the model with this name, or the bundle in this folder or zip, after checking that it is whole.

    A plain word is a model's name, a path of one word too where there is no such folder; write ``./word`` for a
    folder of that name.

    Raises
    ------
    BundleError
        See :func:`genolm.bundles.read_bundle`.
    """
    text = os.fspath(name_or_path)
    is_place = isinstance(name_or_path, Path) and name_or_path.exists()
    if is_place or Path(text).name != text or text.endswith(".zip"):
        return read_bundle(text)
    info = find_bundle(text)
    bundle = read_bundle(info.path)
    return dataclasses.replace(bundle, config=dataclasses.replace(bundle.config, name=info.name))


def import_bundle(
    path: str | os.PathLike[str], *, name: str | None = None, replace: bool = False
) -> BundleInfo:
    """Take a bundle, folder or zip, into the workspace after building its model once as a check.

    Parameters
    ----------
    path : path
    name : str, optional
        What to call it; by default what it calls itself.
    replace : bool
        Whether it may take the place of a model of the same name; never of a built-in one, nor of one that a waiting
        or running job needs.
    """
    bundle = read_bundle(path)
    bundle.build()
    name = check_new_name(name or bundle.name, replace=replace)
    _check_unused(name, "; or import by another name")
    target = workspace.models_dir() / name
    with replaced_folder(target) as work:
        for item in BUNDLE_FILES:
            if (bundle.path / item).exists():
                shutil.copyfile(bundle.path / item, work / item)
        config = dataclasses.replace(bundle.config, name=name)
        write_description(work, config, bundle.card, read_description(bundle.path).weights)
    return find_bundle(name)


def check_new_name(name: str, *, replace: bool = False) -> str:
    """Return ``name`` if a new model of the user's may be called so.

    A model of the user's that has the name already is in the way unless ``replace``; a built-in one
    always is.
    """
    check_name(name)
    if (workspace.builtin_models_dir() / name).exists():
        raise BundleError(f"'{name}' is a built-in model; choose another name.")
    if (workspace.models_dir() / name).exists() and not replace:
        raise BundleError(f"There already is a model '{name}'; choose another name, or remove or replace it.")
    return name


def new_folder(name: str, out_dir: str | os.PathLike[str] | None) -> Path:
    """Return where a new model goes, ``out_dir`` or ``name`` among the user's; refuse a bad or taken name."""
    folder = workspace.models_dir() / check_new_name(name) if out_dir is None else Path(out_dir)
    check_name(folder.name)
    check_free(folder)
    return folder


def check_free(folder: Path) -> None:
    """Refuse the folder of a new model when something is there already."""
    if folder.exists():
        raise SettingsError(f"There is a model in {folder} already; choose another name or remove it.")


def export_bundle(name: str, zip_path: str | os.PathLike[str]) -> Path:
    """Write the model called ``name`` as one zip, whole or not at all, and return its path."""
    bundle, target = load_bundle(name), Path(zip_path)
    if not target.parent.is_dir():
        raise BundleError(f"There is no folder {target.parent} to write {target.name} into.")
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    os.close(handle)
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for item in BUNDLE_FILES:
                if (bundle.path / item).exists():
                    archive.write(bundle.path / item, f"{bundle.name}/{item}")
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def jobs_with(name: str) -> list[Job]:
    """Return the jobs that wait or run and need the model called ``name``: they fail without it."""
    return [job for job in list_jobs() if not job.is_over and name in _models_of(job)]


def _models_of(job: Job) -> list[str]:
    """Return the models that a job's command names, by option or, in compare and evaluate, by place."""
    words = list(job.arguments)
    places = {"compare": (1, 2), "evaluate": (1,)}.get(words[0] if words else "", ())
    places += tuple(place + 1 for place, word in enumerate(words) if word in _MODEL_OPTIONS)
    return [words[place] for place in places if place < len(words)]


def check_removal(name: str | os.PathLike[str], *, force: bool = False) -> BundleInfo:
    """Return the user's model called ``name`` if it may be deleted, see :func:`remove_bundle`."""
    name = os.fspath(name)
    info = find_bundle(name)
    if info.builtin:
        raise BundleError(f"'{name}' is a built-in model and cannot be removed.")
    if not force:
        _check_unused(name, "; --force removes it all the same, and what needs it fails")
    return info


def _check_unused(name: str, otherwise: str) -> None:
    if jobs := jobs_with(name):
        told = first_names([f"{job.kind} {job.id[:12]} ({job.state})" for job in jobs])
        raise BundleError(
            f"The model '{name}' is in use by {len(jobs)} open job{'s' * (len(jobs) > 1)}: {told}. Wait for the end, "
            f"or cancel with 'genolm jobs cancel JOB'{otherwise}."
        )


def remove_bundle(name: str | os.PathLike[str], *, force: bool = False) -> None:
    """Delete the user's model called ``name``, also a broken one; a built-in one stays.

    One that a waiting or running job needs stays too, unless ``force``. Of a link to a folder the link is deleted.
    """
    path = check_removal(name, force=force).path
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def _describe(folder: Path, builtin: bool) -> BundleInfo:
    size = sum(item.stat().st_size for item in folder.iterdir() if item.is_file())
    try:
        check_name(folder.name)
        found = read_description(folder)
    except BundleError as error:
        return BundleInfo(folder.name, folder, builtin, size, error=str(error))
    config = dataclasses.replace(found.config, name=folder.name)
    return BundleInfo(folder.name, folder, builtin, size, config, found.card)
