"""The arguments and options that commands share, and the values that options may have."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxnas.core.registry import Registry
from jaxnas.data.registry import LABELED_LAYOUTS, LABELED_READERS, LAYOUTS, READERS
from jaxnas.search.registry import DECODERS

Target = Annotated[
    Path, typer.Argument(metavar="CONFIG|RUN", help="A YAML config, or a run directory.")
]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="A finished run directory.")]
Files = Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Files or folders.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a config value.")
]
Workdir = Annotated[
    Path | None, typer.Option(help="Run directory. Default: runs/NAME-FINGERPRINT.")
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh/--resume",
        help="Delete what the run holds and start over, or go on with it (default).",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Override the config's seed.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar; only warnings and errors.")]
GenotypeOption = Annotated[Path | None, typer.Option("--genotype", help="A genotype JSON file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelOption = Annotated[str, typer.Option(help="Which of the run's networks.")]
StrategyOption = Annotated[
    str | None, typer.Option(help="Which of its methods, in a federated run, by its label.")
]
ClientName = Annotated[
    str | None, typer.Option("--client", help="Whose weights, where every client has its own.")
]
FoldOption = Annotated[int | None, typer.Option(help="Of which fold, where there are more.")]


class Precision(StrEnum):
    """The dtypes that a network may compute in."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class CompareBy(StrEnum):
    """The settings that tell compared runs apart."""

    nodes = "nodes"
    space = "space"


def _choice(label: str, *registries: Registry) -> Any:
    """The names of registries as the values of an option; nothing is imported for it."""
    found: Any = StrEnum(label, {name: name for registry in registries for name in registry.names})
    found.__doc__ = f"The names of every {registries[0].kind}."
    return found


if TYPE_CHECKING:

    class SourceKind(StrEnum):
        """The names of a registry, which are known when it runs, and one of its own."""

        fastmri = "fastmri"

    DecoderOption = SourceKind
    LayoutName = SourceKind
else:
    DecoderOption = _choice("DecoderOption", DECODERS)
    LayoutName = _choice("LayoutName", LAYOUTS, LABELED_LAYOUTS)
    SourceKind = _choice("SourceKind", READERS, LABELED_READERS)


class Origin(StrEnum):
    """The places where files have the zero frequency."""

    center = "center"  # pyright: ignore[reportAssignmentType]  # no one centres its text
    corner = "corner"


class Domain(StrEnum):
    """The kinds of numbers in plain arrays."""

    kspace = "kspace"
    image = "image"
    magnitude = "magnitude"


PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        help="What to compute in; bfloat16 only where the PSNR of the run's test slices stays.",
    ),
]
SourceOption = Annotated[SourceKind, typer.Option("--source", help="The layout of the files.")]
DomainOption = Annotated[Domain, typer.Option("--domain", help="Of arrays: what they hold.")]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="Of arrays: the name in the file; '*' for all.")
]
AxesOption = Annotated[
    str | None, typer.Option("--axes", help="Of arrays: the axes in letters of SCHW.")
]
OriginOption = Annotated[
    Origin, typer.Option("--origin", help="Of k-space: where the zero frequency is.")
]
SensOption = Annotated[
    str | None, typer.Option("--sens", help="Of arrays: the name of the coil maps in the file.")
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels", help="Of nifti_folder without dataset.json: background, and all names in order."
    ),
]
