"""One value for every volume, by which data are divided among clients."""

import re

from jaxnas.core.errors import UserError
from jaxnas.data.source import Source, labels_of, volume_names


def volume_labels(source: Source, by: str) -> dict[str, str]:
    """The value of every volume of `source`, in order.

    `by` is the name of a label that the source knows (contrast, subject, scanner), or a regular
    expression with one group, searched for in the volume's name. An unknown label, a volume without
    a value and an expression without exactly one group raise UserError.
    """
    names, labels = volume_names(source), labels_of(source)
    known = sorted({label for name in names for label in labels.get(name, ())})
    if by in known:
        values = {name: labels.get(name, {}).get(by) for name in names}
        missing = f"has no label {by!r}; expected one for every volume, divide by a pattern"
    else:
        pattern = _pattern(by, known)
        found = {name: pattern.search(name) for name in names}
        values = {name: match and match[1] for name, match in found.items()}
        missing = f"does not match {by!r}; expected a value for every volume, widen the pattern"
    for name, value in values.items():
        if value is None:
            raise UserError(f"volume {name!r} {missing}")
    return values


def _pattern(by: str, known: list[str]) -> re.Pattern[str]:
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise UserError(
            f"{by!r} is not a regular expression ({error}); expected a pattern over volume names "
            "with one group, correct it"
        ) from None
    if pattern.groups != 1:
        raise UserError(
            f"{by!r} is no label of these volumes (they have: {', '.join(known) or 'none'}) and "
            f"a pattern of {pattern.groups} groups; expected a label or a pattern with one group"
        )
    return pattern
