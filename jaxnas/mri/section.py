"""The section of a config on the simulated acquisition."""

from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, model_validator

from jaxnas.core.sections import Fraction, Section

ColumnMask = Literal["random", "equispaced", "equispaced_fraction", "magic", "magic_fraction"]


PointMask = Literal["random_2d", "poisson"]


class AcquisitionConfig(Section):
    """The simulated acquisition: one mask kind, accelerations drawn with equal probability.

    Kinds sample whole columns of k-space, or single points of it (`random_2d` denser towards the
    centre, `poisson` evenly). A centre fraction is that of the width, for points the diameters of
    an ellipse as fractions of height and width. `noise` is the standard deviation of complex
    Gaussian noise on every sample of k-space, relative to the largest magnitude of the slice.
    """

    mask: Literal[ColumnMask, PointMask] = "random"
    accelerations: Annotated[tuple[Annotated[float, Field(ge=1.0)], ...], Field(min_length=1)] = (
        4.0,
        8.0,
    )
    center_fractions: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.08, 0.04)
    noise: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    peak: Annotated[float, Field(gt=0.0)] = 6.0

    if TYPE_CHECKING:

        def __hash__(self) -> int:
            """As pydantic makes it for what is frozen."""
            ...

    @property
    def whole_columns(self) -> bool:
        """True if masks sample whole columns of k-space, not single points."""
        return self.mask in get_args(ColumnMask)

    @model_validator(mode="after")
    def _pairs(self):
        if len(self.accelerations) != len(self.center_fractions):
            raise ValueError(
                f"one centre fraction per acceleration is needed, got "
                f"{len(self.accelerations)} accelerations and "
                f"{len(self.center_fractions)} center_fractions"
            )
        return self
