"""Patients in the ACDC layout: their folders, what is left out, and what Info.cfg says."""

import codecs
import re
from collections.abc import Mapping
from pathlib import Path

from jaxnas.core.errors import UserError
from jaxnas.data.files import PathLike, describe_left_out, listed, some, visible

INFO = "Info.cfg"
FOLDERS = (".", "training", "testing", "database", "database/training", "database/testing")
EXPECTED = "folder patientNNN"


def find_patients(paths: PathLike) -> tuple[Path, ...]:
    """The patients' folders, sorted by name within every path.

    UserError where there is none, and for two of the same name.
    """
    folders = [folder for path in listed(paths) for folder in _expand(Path(path))]
    if not folders:
        raise UserError("no data path given; expected a folder in the ACDC layout, set it")
    seen: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in seen:
            raise UserError(
                f"{folder}: has the same name as {seen[name]}; expected every patient once, "
                "leave one of them out"
            )
        seen[name] = folder
    return tuple(folders)


def left_out_patients(path: Path) -> list[Path]:
    """The entries of a folder of patients that look like one, but are not read.

    Folders that hold an Info.cfg or are almost called patientNNN, and links to nothing.
    """
    if not path.is_dir() or _is_patient(path) or _has_info(path):
        return []
    return [e for e in _entries(path) if not _is_patient(e) and _is_meant(e)]


def left_out_remarks(paths: PathLike) -> list[str]:
    """One sentence per path of which something is left out."""
    remarks = []
    for path in map(Path, listed(paths)):
        if rest := left_out_patients(path):
            names = [str(entry.relative_to(path)) for entry in rest]
            total = len(rest) + len(_expand(path))
            expected = "folders patientNNN"
            remarks.append(describe_left_out(path, names, total=total, expected=expected))
    return remarks


def read_info(folder: str | Path) -> dict[str, str]:
    """The lines `key: value # comment` of a patient's Info.cfg; UserError where there is none."""
    path = Path(folder) / INFO
    try:
        text = _decoded(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; expected the lines 'ED: <frame>' and 'ES: <frame>' there, "
            "restore the file or leave out this patient"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); expected a text file"
        ) from None
    lines = (line.partition("#")[0] for line in text.splitlines())
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _decoded(content: bytes) -> str:
    """The text of a file in whatever encoding an editor saved it; any bytes are some text."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def frame_number(folder: Path, info: Mapping[str, str], phase: str) -> int:
    """The frame, from 1, of `phase` ("ED" or "ES") in `info`; UserError if there is none."""
    value = info.get(phase)
    if value is None or not value.isdecimal() or int(value) < 1:
        found = "no line" if value is None else f"{value!r}"
        raise UserError(
            f"{folder / INFO}: {found} for {phase}; expected '{phase}: <frame, from 1>', "
            "correct the file"
        )
    return int(value)


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        raise UserError(
            f"{path}: no such folder; expected a folder in the ACDC layout, check the path"
        )
    if _is_patient(path) or _has_info(path):
        return [path]
    found = [entry for entry in _entries(path) if _is_patient(entry)]
    if not found:
        rest = left_out_patients(path)
        names = some([entry.name for entry in rest])
        also = f" ({len(rest)} not so called: {names})" if rest else ""
        raise UserError(
            f"{path}: no folder patientNNN here or in training and testing{also}; expected the "
            "ACDC layout, rename the patients or name the folder that holds them"
        )
    return sorted(found, key=lambda folder: folder.name)


def _entries(path: Path) -> list[Path]:
    return [e for place in FOLDERS if (path / place).is_dir() for e in visible(path / place)]


def _is_patient(folder: Path) -> bool:
    return folder.is_dir() and re.fullmatch(r"patient\d+", folder.resolve().name) is not None


def _is_meant(entry: Path) -> bool:
    """True if an entry that is no patient's folder looks like one."""
    if not entry.exists():
        return True
    called = entry.name.lower().startswith("patient")
    return entry.is_dir() and (called or _has_info(entry))


def _has_info(folder: Path) -> bool:
    try:
        return (folder / INFO).is_file()
    except PermissionError:  # who knows
        return True
