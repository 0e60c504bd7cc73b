"""The sections of a config on data: its source, what is kept of it, and who is in which group."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from jaxnas.core.registry import OneOf
from jaxnas.core.sections import Free, MatrixSize, Patterns, Positive, Section
from jaxnas.data.registry import HEART, LABELED_READERS, MEMORY, READERS, SYNTHETIC


class SyntheticConfig(Section):
    """The embedded source: anatomy-like phantoms, a pure function of the seed."""

    volumes: Positive = 12
    slices: Positive = 8
    size: MatrixSize = (128, 128)
    coils: Positive = 1


class SplitConfig(Section):
    """The volumes that train, validate and test: name patterns, or fractions when none is given.

    `by` says what must not stand on two sides, nor at two clients or in both halves of a search:
    a subject, as the files name it, with all its volumes, or a volume alone.
    """

    by: Literal["subject", "volume"] = "subject"
    train: Patterns | None = None
    valid: Patterns | None = None
    test: Patterns | None = None
    valid_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2

    @property
    def by_fractions(self) -> bool:
        """True where groups are drawn by fractions: then a client is split by itself."""
        return self.train is None

    @model_validator(mode="after")
    def _train_and_test_together(self):
        if (self.train is None) != (self.test is None):
            raise ValueError("train and test patterns must be given together, or neither")
        return self

    @model_validator(mode="after")
    def _something_to_train_on(self):
        if self.valid_fraction + self.test_fraction >= 1.0:
            raise ValueError(
                f"valid_fraction {self.valid_fraction} and test_fraction {self.test_fraction} "
                f"leave nothing to train on"
            )
        return self


class DataConfig(Section):
    """The source of the volumes, and the crop of their slices.

    `origin` says where files of k-space, fastMRI's or plain arrays, have the zero frequency.
    `domain`, `dataset`, `axes` and `sens` describe plain arrays: what the numbers are, the name of
    the array in its file (`*`: every array is a volume), its axes in letters (S slice, C coil, H,
    W) and the name of the coil sensitivities in the same file. `slices` keeps start:stop:step of
    every volume. `coils: combined` makes emulated single-coil slices of multi-coil ones. Images are
    first padded with zeros, then cropped.
    """

    source: Annotated[str, OneOf(READERS, besides=(SYNTHETIC, MEMORY))] = SYNTHETIC
    path: Annotated[str | Patterns | None, Free.PLACE] = None
    origin: Literal["center", "corner"] = "center"
    domain: Literal["kspace", "image", "magnitude"] = "kspace"
    dataset: str | None = None
    axes: str | None = None
    sens: str | None = None
    slices: Annotated[str, Field(pattern=r"^-?\d*:-?\d*(:[1-9]\d*)?$")] | None = None
    coils: Literal["all", "combined"] = "all"
    pad: MatrixSize | None = None
    crop: MatrixSize | None = None
    synthetic: SyntheticConfig = SyntheticConfig()
    split: SplitConfig = SplitConfig()

    @model_validator(mode="after")
    def _path_where_needed(self):
        if self.source not in (SYNTHETIC, MEMORY) and not self.path:
            raise ValueError(f"path is required for source {self.source!r}")
        return self

    @property
    def files(self) -> str | Patterns:
        """The `path`; ValueError for a source without."""
        if self.path is None:
            raise ValueError(f"source {self.source!r} has no path")
        return self.path

    @property
    def place(self) -> tuple:
        """Equal for sections whose volumes of one name are the same, however they are cut."""
        return (self.source, self.path, self.dataset)


class HeartConfig(Section):
    """The embedded source: beating-heart phantoms, a pure function of the seed."""

    patients: Positive = 20
    slices: Positive = 6
    frames: Positive = 8
    size: MatrixSize = (96, 96)


class PatientSplitConfig(Section):
    """The patients that train, validate and test.

    `fractions` draws them at random; `nnunet` tests on fold `fold` of the five that nnU-Net has for
    ACDC, `kfold` of those that it makes of any other data set, `modulo` on the patients whose
    number is `fold` modulo five. `valid_fraction` is of those that train.
    """

    method: Literal["fractions", "nnunet", "kfold", "modulo"] = "fractions"
    fold: Annotated[int, Field(ge=0, le=4)] = 0
    valid_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2

    @property
    def by_fractions(self) -> bool:
        """True where groups are drawn by fractions: then a client is split by itself."""
        return self.method == "fractions"


LabelName = Annotated[str, Field(min_length=1, max_length=100)]
HEART_KEYS = ("phases", "heart")  # say nothing about other organs


class LabeledDataConfig(Section):
    """The source of images and labels, and the preparation of their slices.

    `spacing` is the in-plane pixel size in mm after resampling (null: as in the file), `size` the
    centre crop, `clip` the percentiles of a volume between which intensities are kept. `phases:
    ed_es` leaves out all labelled frames but end-diastole and end-systole. `labels` are the names
    of the labels 0, 1, … of a nifti_folder, background first (null: as its dataset.json says).
    """

    source: Annotated[str, OneOf(LABELED_READERS, besides=(HEART, MEMORY))] = HEART
    path: Annotated[str | None, Free.PLACE] = None
    labels: Annotated[tuple[LabelName, ...], Field(min_length=2)] | None = None
    phases: Literal["all", "ed_es"] = "all"
    heart: HeartConfig = HeartConfig()
    split: PatientSplitConfig = PatientSplitConfig()
    spacing: Annotated[float, Field(gt=0.0)] | None = 1.5
    size: MatrixSize = (160, 160)
    clip: tuple[float, float] = (1.0, 99.0)

    @model_validator(mode="after")
    def _path_where_needed(self):
        if self.source not in (HEART, MEMORY) and not self.path:
            raise ValueError(f"path is required for source {self.source!r}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _without_keys_of_hearts(cls, values: Any) -> Any:
        """They may come from the base of a config, whose source is another one."""
        if not isinstance(values, dict) or values.get("source") != "nifti_folder":
            return values
        return {key: value for key, value in values.items() if key not in HEART_KEYS}

    @model_serializer(mode="wrap")
    def _without_keys_of_other_sources(self, dump: Any) -> dict[str, Any]:
        hidden = HEART_KEYS if self.source == "nifti_folder" else ()
        if self.labels is None:
            hidden = (*hidden, "labels")
        return {key: value for key, value in dump(self).items() if key not in hidden}

    @property
    def place(self) -> tuple:
        """Equal for sections whose patients of one name are the same."""
        return (self.source, self.path)

    @model_validator(mode="after")
    def _percentiles(self):
        low, high = self.clip
        if not 0.0 <= low < high <= 100.0:
            raise ValueError(f"clip must be two rising percentiles, found {low} and {high}")
        return self
