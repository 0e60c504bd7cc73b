"""`jaxnas data make|check|info`: data sets on disk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxnas.core.console import show, show_table
from jaxnas.core.errors import UserError
from jaxnas.core.files import check_output_folder
from jaxnas.core.notices import warn
from jaxnas.data.annotation import LabeledSource, annotated, describe_absent, require_foreground
from jaxnas.data.check import Problem, summarise_volumes
from jaxnas.data.check import check_source as find_problems
from jaxnas.data.open import check_fields, open_source
from jaxnas.data.readers import open_labeled
from jaxnas.data.registry import LABELED_LAYOUTS, LABELED_READERS, LAYOUTS, READERS
from jaxnas.data.section import DataConfig
from jaxnas.data.source import Source
from jaxnas.data.survey import LabeledRow, check_labeled, summarise_labeled
from jaxnas.data.synthetic import SyntheticSource


class Labeled(NamedTuple):
    """A labelled data set: what it is, where, and what its labels are called if it does not say."""

    kind: str
    paths: tuple[str, ...]
    labels: tuple[str, ...] | None = None

    def open(self) -> LabeledSource:
        """The source of its volumes."""
        return open_labeled(self.kind, self.paths, labels=self.labels)


# The embedded volumes with labels, and the layout they are written in.


def make(
    out: Path,
    *,
    layout: str,
    volumes: int,
    slices: int,
    size: tuple[int, int],
    coils: int,
    seed: int,
) -> None:
    """Writes synthetic volumes in a public layout, beating hearts in that of ACDC and bellies in
    that of nnU-Net, and names what it wrote."""
    check_output_folder(out)
    if layout in LABELED_LAYOUTS:
        open_phantoms, write = LABELED_LAYOUTS[layout]
        phantoms = open_phantoms(patients=volumes, slices=slices, size=size, seed=seed)
        write(out, phantoms, on_file=_name)
        return
    source = SyntheticSource(volumes=volumes, slices=slices, size=size, coils=coils, seed=seed)
    LAYOUTS[layout](out, source, on_file=_name)


def _name(path: Path) -> None:
    show(str(path))


def section(
    inputs: Sequence[Path],
    *,
    source: str,
    domain: str,
    dataset: str | None,
    axes: str | None,
    sens: str | None,
    origin: str,
    labels: str | None,
) -> DataConfig | Labeled:
    """The data that the options of `check_data` and `info` make up."""
    paths = tuple(str(path) for path in inputs)
    if source in LABELED_READERS:
        names = tuple(name.strip() for name in labels.split(",")) if labels else None
        return Labeled(source, paths, names)
    config = DataConfig.model_validate(
        {
            "source": source,
            "path": paths,
            "domain": domain,
            "dataset": dataset,
            "axes": axes,
            "sens": sens,
            "origin": origin,
        }
    )
    check_fields(config)
    return config


def check_data(config: DataConfig | Labeled) -> None:
    """Reads every file whole; UserError with one line per problem if there is any."""
    if isinstance(config, Labeled):
        _check_labeled(config)
        return

    def reader(path: Path) -> Source:
        return _open(config.model_copy(update={"path": str(path)}))

    problems = find_problems(config.files, reader=reader, suffixes=READERS[config.source].suffixes)
    doubts = _sorted_out(problems)
    rows = summarise_volumes(_open(config))
    slices = sum(row.slices for row in rows)
    show(f"{len(rows)} volumes, {slices} slices, {_outcome(doubts)}")


def _check_labeled(config: Labeled) -> None:
    doubts = _sorted_out(check_labeled(config.kind, config.paths, labels=config.labels))
    source, where = config.open(), ", ".join(config.paths)
    rows = summarise_labeled(source)
    known = [row.millilitres for row in rows if row.millilitres is not None]
    names = annotated(source)
    present = [{names[name] for name, ml in each.items() if ml} for each in known]
    require_foreground(present, names, what=where)
    absent = describe_absent(present, names, what=where)
    for sentence in absent:
        warn(sentence)
    bare = len(rows) - len(known)
    rest = f", {bare} volumes without labels" if bare else ""
    patients = len({row.patient for row in rows})
    outcome = _outcome([*doubts, *absent, *getattr(source, "remarks", ())])
    show(f"{patients} patients, {len(known)} labelled volumes{rest}, {outcome}")


def _sorted_out(problems: Sequence[Problem]) -> list[Problem]:
    """Warns of the problems that are not certain and returns them; UserError for the others."""
    doubts = [problem for problem in problems if not problem.certain]
    for problem in doubts:
        warn(problem.message)
    certain = [problem.message for problem in problems if problem.certain]
    if certain:
        raise UserError("\n".join([f"{len(certain)} problem(s) found", *certain]))
    return doubts


def _outcome(doubts: Sequence[object]) -> str:
    return f"{len(doubts)} warning(s)" if doubts else "no problem found"


def info(config: DataConfig | Labeled, *, as_json: bool) -> None:
    """One row per volume; JSON also tells all labels."""
    if isinstance(config, Labeled):
        _labeled_info(config, as_json=as_json)
        return
    rows = summarise_volumes(_open(config))
    if as_json:
        show(json.dumps([row._asdict() for row in rows], indent=2))
        return
    show_table(
        ["volume", "slices", "k-space", "coils", "contrast", "undersampled"],
        [
            [
                row.volume,
                str(row.slices),
                "×".join(map(str, row.shape)),
                str(row.coils),
                row.labels.get("contrast", ""),
                str(row.masked),
            ]
            for row in rows
        ],
    )


def _labeled_info(config: Labeled, *, as_json: bool) -> None:
    rows = summarise_labeled(config.open())
    if as_json:
        show(json.dumps([row._asdict() for row in rows], indent=2))
        return
    columns = {
        "volume": [row.name for row in rows],
        "patient": [row.patient for row in rows],
        "phase": [row.phase for row in rows],
        "group": [row.group or "" for row in rows],
        "shape": ["×".join(map(str, row.shape)) for row in rows],
        "spacing (mm)": ["×".join(f"{step:g}" for step in row.spacing) for row in rows],
        "volumes (ml)": [_millilitres(row) for row in rows],
    }
    told = {head: column for head, column in columns.items() if any(column)}
    show_table([*told], [list(row) for row in zip(*told.values())])


def _millilitres(row: LabeledRow) -> str:
    return ", ".join(f"{name} {ml:.0f}" for name, ml in (row.millilitres or {}).items())


def _open(config: DataConfig) -> Source:
    return open_source(config, seed=0)  # files have no seed
