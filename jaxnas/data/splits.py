"""Dividing volumes into groups: no volume, hence no neighbouring slice, is in two of them."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.source import Source

Groups = Mapping[str, Sequence[str] | float]


def split_volumes(
    names: Iterable[str], *, groups: Groups, seed: int = 0
) -> dict[str, tuple[str, ...]]:
    """Volumes of every group, each tuple sorted; the volumes of no group are left out.

    A group is a list of shell patterns (`siat_s5_*`), or a fraction of the volumes that no
    pattern takes, drawn at random from `seed`; it has at least one of them. A pattern that matches
    nothing, a volume in two groups, fractions above 1 in sum and more fractions than volumes raise
    UserError.
    """
    names = tuple(dict.fromkeys(names))
    chosen = {g: _matching(names, g, p) for g, p in groups.items() if not _is_fraction(p)}
    _check_disjoint(chosen)
    taken = {name for group in chosen.values() for name in group}
    rest = tuple(name for name in names if name not in taken)
    fractions = {g: f for g, f in groups.items() if _is_fraction(f)}
    drawn = _shares(rest, fractions, seed)
    return {g: tuple(sorted(chosen.get(g) or drawn[g])) for g in groups}


def halve(names: Iterable[str], seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two random halves, for network weights and architecture; the first takes an odd one.

    Fewer than two volumes raise UserError.
    """
    names = sorted(set(names))
    if len(names) < 2:
        raise UserError(
            f"training data has {len(names)} volume; expected at least 2, one half for the "
            "weights and one for the architecture, add volumes to the training group"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    middle = (len(names) + 1) // 2
    return tuple(tuple(sorted(names[i] for i in half)) for half in (order[:middle], order[middle:]))


def slice_indices(source: Source, names: Iterable[str]) -> tuple[int, ...]:
    """Positions in `source.slices` of the slices of the named volumes, in order."""
    wanted = set(names)
    return tuple(i for i, ref in enumerate(source.slices) if ref.volume in wanted)


def _is_fraction(value: Sequence[str] | float) -> bool:
    return isinstance(value, int | float)


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


def _shares(names: tuple[str, ...], fractions: Mapping[str, float], seed: int):
    """Consecutive parts of a random order; cumulative rounding makes the parts fit exactly."""
    total = sum(fractions.values())
    if any(f <= 0 for f in fractions.values()) or total > 1 + 1e-9:
        raise UserError(
            f"fractions {dict(fractions)} sum to {total:g}; "
            "expected positive numbers of sum at most 1, lower them"
        )
    order = np.random.default_rng(seed).permutation(sorted(names))
    ends = np.rint(np.cumsum([0.0, *fractions.values()]) * len(names)).astype(int)
    parts = {g: order[a:b].tolist() for g, a, b in zip(fractions, ends, ends[1:])}
    for group, part in parts.items():
        if not part:  # rounded away: the largest part can spare one
            largest = max(parts.values(), key=len)
            part += _spared(largest, group, fractions[group], len(names))
    return parts


def _spared(part: list[str], group: str, fraction: float, volumes: int) -> list[str]:
    """One volume taken from `part`, unless it is the only one there."""
    if len(part) < 2:
        raise UserError(
            f"group {group!r}: a fraction of {fraction:g} of {volumes} volumes is none; expected "
            "at least one, raise the fraction or add volumes"
        )
    return [part.pop()]


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
