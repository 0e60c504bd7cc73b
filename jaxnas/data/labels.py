"""One value for every volume, by which data are divided among clients."""

import re
from collections.abc import Mapping

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import LabeledSource
from jaxnas.data.source import Source, labels_of, volume_names


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
