"""Dividing volumes into groups: no volume, hence no neighbouring slice, is in two of them, nor is a
subject, whose volumes show the same anatomy; and the values by which they are divided among
clients.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NoReturn

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import LabeledSource
from jaxnas.data.source import Source, labels_of, volume_names

Groups = Mapping[str, Sequence[str] | float]
Subjects = Mapping[str, str]  # volume to subject
NOBODY: Subjects = MappingProxyType({})


def split_volumes(
    names: Iterable[str],
    *,
    groups: Groups,
    seed: int = 0,
    subjects: Subjects = NOBODY,
) -> dict[str, tuple[str, ...]]:
    """Volumes of every group, each tuple sorted; the volumes of no group are left out.

    A group is a list of shell patterns (`siat_s5_*`), or a fraction of the volumes that no
    pattern takes, drawn at random from `seed`; it has at least one of them. All volumes of one
    subject, `subjects` {volume: subject}, are drawn together, and the fractions are those of
    subjects; a volume that is not in there is a subject of its own. A pattern that matches
    nothing, a volume or a subject in two groups, fractions above 1 in sum and more fractions than
    subjects raise UserError.
    """
    names = tuple(dict.fromkeys(names))
    chosen = {
        g: _matching(names, g, p) for g, p in groups.items() if not isinstance(p, int | float)
    }
    _check_disjoint(chosen)
    taken = {name for group in chosen.values() for name in group}
    units = together((name for name in names if name not in taken), subjects=subjects)
    fractions = {g: f for g, f in groups.items() if isinstance(f, int | float)}
    drawn = _shares(units, fractions, seed)
    found = {g: tuple(sorted(chosen.get(g) or drawn[g])) for g in groups}
    check_subjects(found, subjects=subjects, kind="group")
    return found


def halve(
    names: Iterable[str], seed: int, *, subjects: Subjects = NOBODY
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two random halves, for network weights and architecture; the first takes an odd one.

    A subject, as in `split_volumes`, is in one of them. Fewer than two raise UserError.
    """
    units = together(names, subjects=subjects)
    if len(units) < 2:
        volumes = sum(map(len, units.values()))
        raise UserError(
            f"training data has {_counted(len(units), volumes)}; expected at least 2, one half for "
            f"the weights and one for the architecture, add volumes to the training group"
            f"{_remedy(len(units), volumes)}"
        )
    keys = sorted(units)
    order = np.random.default_rng(seed).permutation(len(keys))
    middle = (len(keys) + 1) // 2
    first, second = (
        tuple(sorted(name for i in half for name in units[keys[i]]))
        for half in (order[:middle], order[middle:])
    )
    return first, second


def together(names: Iterable[str], *, subjects: Subjects) -> dict[str, tuple[str, ...]]:
    """The volumes of every subject, in order, by the first of them."""
    found: dict[str | tuple[str], list[str]] = {}
    for name in sorted(set(names)):
        # A volume of no known subject cannot share its key with a subject's name.
        found.setdefault((subjects[name],) if name in subjects else name, []).append(name)
    return {own[0]: tuple(own) for own in found.values()}


def subjects_of(source: Source, *, by: str) -> dict[str, str]:
    """The subject of every volume whose source tells it; none where `by` is `volume`."""
    labels = {} if by == "volume" else labels_of(source)
    return {name: own["subject"] for name, own in labels.items() if "subject" in own}


def check_subjects(parts: Mapping[str, Iterable[str]], *, subjects: Subjects, kind: str) -> None:
    """UserError for a subject with volumes in two of `parts`; `kind` is what a part is."""
    owner: dict[str, tuple[str, str]] = {}
    for part, names in parts.items():
        for name in filter(subjects.__contains__, names):
            first, other = owner.setdefault(subjects[name], (part, name))
            if first != part:
                raise UserError(
                    f"subject {subjects[name]!r} is in {kind} {first!r} with volume {other!r} and "
                    f"in {kind} {part!r} with {name!r}; expected every subject in one {kind}, "
                    f"change the patterns, or set data.split.by=volume where these are not one "
                    f"person"
                )


def slice_indices(source: Source, names: Iterable[str]) -> tuple[int, ...]:
    """Positions in `source.slices` of the slices of the named volumes, in order."""
    wanted = set(names)
    return tuple(i for i, ref in enumerate(source.slices) if ref.volume in wanted)


def volume_labels(source: Source, by: str) -> dict[str, str]:
    """The value of every volume of `source`, in order.

    `by` is the name of a label that the source knows (contrast, subject, scanner), or a regular
    expression with one group, searched for in the volume's name. An unknown label, a volume without
    a value and an expression without exactly one group raise UserError.
    """
    labels = labels_of(source)
    return label_values({name: labels.get(name, {}) for name in volume_names(source)}, by)


def patient_labels(source: LabeledSource, by: str) -> dict[str, str]:
    """The same of every patient of a labelled source, whose label `group` is the diagnosis."""
    groups = {ref.patient: {"group": ref.group} if ref.group else {} for ref in source.volumes}
    return label_values(groups, by, kind="patient")


def label_values(
    labels: Mapping[str, Mapping[str, str]], by: str, *, kind: str = "volume"
) -> dict[str, str]:
    """The value of every name of `labels` {name: {label: value}}; `kind` is what is named."""
    known = sorted({label for own in labels.values() for label in own})
    if by in known:
        found = {name: own.get(by) for name, own in labels.items()}
        missing = f"has no label {by!r}; expected one for every {kind}, divide by a pattern"
    else:
        pattern = _pattern(by, known, kind)
        matches = {name: pattern.search(name) for name in labels}
        found = {name: match and match[1] for name, match in matches.items()}
        missing = f"does not match {by!r}; expected a value for every {kind}, widen the pattern"
    values = {name: value for name, value in found.items() if value is not None}
    for name in found:
        if name not in values:
            raise UserError(f"{kind} {name!r} {missing}")
    return values


def _matching(names: tuple[str, ...], group: str, patterns: Sequence[str]) -> tuple[str, ...]:
    if not patterns:
        raise UserError(
            f"group {group!r} lists no pattern; expected at least one, add one or drop the group"
        )
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"group {group!r}: pattern {pattern!r} matches none of the {len(names)} volumes "
                f"({_some(names)}); expected at least one, correct the pattern"
            )
    return tuple(n for n in names if any(fnmatchcase(n, pattern) for pattern in patterns))


def _check_disjoint(chosen: Mapping[str, tuple[str, ...]]) -> None:
    owner: dict[str, str] = {}
    for group, members in chosen.items():
        for name in members:
            if name in owner:
                raise UserError(
                    f"volume {name!r} is in group {owner[name]!r} and in group {group!r}; "
                    "expected every volume in one group, make the patterns exclusive"
                )
            owner[name] = group


def _shares(units: Mapping[str, tuple[str, ...]], fractions: Mapping[str, float], seed: int):
    """Consecutive parts of a random order; cumulative rounding makes the parts fit exactly."""
    total = sum(fractions.values())
    if any(f <= 0 for f in fractions.values()) or total > 1 + 1e-9:
        raise UserError(
            f"fractions {dict(fractions)} sum to {total:g}; "
            "expected positive numbers of sum at most 1, lower them"
        )
    order = np.random.default_rng(seed).permutation(sorted(units))
    ends = np.rint(np.cumsum([0.0, *fractions.values()]) * len(units)).astype(int)
    parts = {g: order[a:b].tolist() for g, a, b in zip(fractions, ends, ends[1:])}
    for group, part in parts.items():
        if not part:  # rounded away: the largest part can spare one
            largest = max(parts.values(), key=len)
            if len(largest) < 2:
                _refuse_share(group, fractions[group], units)
            part.append(largest.pop())
    return {g: [name for key in part for name in units[key]] for g, part in parts.items()}


def _refuse_share(group: str, fraction: float, units: Mapping[str, tuple[str, ...]]) -> NoReturn:
    volumes = sum(map(len, units.values()))
    raise UserError(
        f"group {group!r}: a fraction of {fraction:g} of {_counted(len(units), volumes)} is none; "
        f"expected at least one, raise the fraction or add volumes{_remedy(len(units), volumes)}"
    )


def _counted(subjects: int, volumes: int) -> str:
    held = f"{volumes} volume{'s' if volumes != 1 else ''}"
    if subjects == volumes:
        return held
    return f"{subjects} subject{'s' if subjects != 1 else ''} with {held}"


def _remedy(subjects: int, volumes: int) -> str:
    same = ", or set data.split.by=volume where the volumes are not of one person"
    return "" if subjects == volumes else same


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _pattern(by: str, known: list[str], kind: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise UserError(
            f"{by!r} is not a regular expression ({error}); expected a pattern over {kind} names "
            "with one group, correct it"
        ) from None
    if pattern.groups != 1:
        raise UserError(
            f"{by!r} is no label of these {kind}s (they have: {', '.join(known) or 'none'}) and "
            f"a pattern of {pattern.groups} groups; expected a label or a pattern with one group"
        )
    return pattern
