"""The building blocks of every config: sections, bounded numbers, stages, the experiment, and the
places of its data, every relative path of which is looked up under one `root`.
"""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(ge=1, lt=2**31)]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Milliseconds = Annotated[float, Field(gt=0.0)]
MatrixSize = tuple[Positive, Positive]
Weight = Annotated[float, Field(ge=0.0)]
Patterns = tuple[str, ...]
Name = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Stage = Literal["search", "derive", "select", "train", "evaluate", "report"]
STAGES: tuple[Stage, ...] = ("search", "derive", "select", "train", "evaluate", "report")
UNSELECTED: tuple[Stage, ...] = ("search", "derive", "train", "evaluate", "report")
HERE = "."  # the current directory, as a root


class Free(Enum):
    """Marks a key that may change while a run goes on, because no result depends on it.

    Another `PLACE` of the same files is another run where none is named, lest two data sets share
    a directory; however the `MACHINE` is used, the run is the same.
    """

    PLACE = "where files are"
    MACHINE = "how it is computed"


class Section(BaseModel):
    """A part of a config: immutable, hashable, closed to unknown keys.

    Defaults belong to the place: a section given in part keeps, key by key and at every depth, the
    defaults of where it stands. Of the keys in one group of `alternatives` only one is said; one
    that is given takes the place of the default of another.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _keep_the_defaults_of_the_place(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kept = {
            name: _in_full(values[name], field.default)
            for name, field in cls.model_fields.items()
            if name in values and isinstance(field.default, Section)
        }
        return values | kept


def _in_full(given: Any, default: Section) -> Any:
    """A mapping given for a section, over what the section is by default; all else as it is."""
    if not isinstance(given, dict):
        return given
    said = {name for name, value in given.items() if value is not None}
    replaced = {
        name for group in default.alternatives if said & set(group) for name in set(group) - said
    }
    full = {name: value for name, value in default if name not in replaced} | given
    return full | {
        name: _in_full(given[name], value)
        for name, value in default
        if name in given and isinstance(value, Section)
    }


def pairs_of(value: Any) -> Any:
    """The (key, value) pairs of a mapping, which a section can hold; any other value as it is."""
    return tuple(value.items()) if isinstance(value, dict) else value


class Experiment(Section):
    """A whole config, of any task. A task adds its sections to what is here; every one has `data`,
    data, also of clients', are looked up under `root`. `kind` is the `module:attribute` of the
    task as the stages see it, a `TaskKind`.

    >>> import jaxnas
    >>> config = jaxnas.make_config({"seed": 3})
    >>> isinstance(config, jaxnas.Experiment), config.task, config.train.models
    (True, 'reconstruction', ('derived',))
    """

    kind: ClassVar[str]
    task: str
    name: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = UNSELECTED
    root: Annotated[str, Free.PLACE] = HERE
    genotype: Annotated[str | None, Free.PLACE] = None
    latency: Any = None
    select: Any = None
    log_every: Positive = 10
    checkpoint_every: Positive = 100

    if TYPE_CHECKING:
        # Each task declares these with classes of its own, which core cannot import.
        data: Any
        network: Any
        latency: Any
        select: Any
        search: Any
        train: Any
        evaluate: Any
        federated: Any

    @model_validator(mode="before")
    @classmethod
    def _selects_where_it_says_how(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("select") is not None:
            return {"stages": STAGES} | values
        return values

    @model_validator(mode="after")
    def _selection_is_a_stage(self):
        if self.select is None and "select" in self.stages:
            raise ValueError(
                "stages has select, but there is no section select; expected one (select: {} takes "
                "its defaults), or stages without it"
            )
        if self.select is not None and "select" not in self.stages and "train" in self.stages:
            raise ValueError(
                "there is a section select, but stages leaves it out; add select to stages before "
                "train, or set select: null"
            )
        return self

    @model_validator(mode="after")
    def _stages_in_order(self):
        order = [STAGES.index(stage) for stage in self.stages]
        if order != sorted(set(order)):
            raise ValueError(f"stages must follow the order {', '.join(STAGES)}, each once")
        return self


AnExperiment = TypeVar("AnExperiment", bound=Experiment)


def placed(config: AnExperiment) -> AnExperiment:
    """The config with the paths of its data, and of its clients' own data, under its root."""
    if config.root == HERE:
        return config
    moved: dict[str, Any] = {"data": _under(config.root, config.data)}
    if config.federated is not None:
        clients = tuple(
            client.model_copy(update={"data": _under(config.root, client.data)})
            for client in config.federated.clients
        )
        moved["federated"] = config.federated.model_copy(update={"clients": clients})
    return config.model_copy(update=moved)


def anchored(config: AnExperiment) -> AnExperiment:
    """The config as a run remembers it: its root is found from any directory."""
    if config.root == HERE:
        return config
    return config.model_copy(update={"root": str(Path(config.root).expanduser().absolute())})


def keepers(config: Any) -> list[str]:
    """The clients whose data have a path of their own, which `data.path` does not change."""
    clients = [] if config.federated is None else config.federated.clients
    return [client.name for client in clients if client.data is not None and client.data.path]


def _under(root: str, data: Any) -> Any:
    if data is None or data.path is None:
        return data
    folder = Path(root).expanduser()
    several = not isinstance(data.path, str)
    path = tuple(str(folder / p) for p in data.path) if several else str(folder / data.path)
    return data.model_copy(update={"path": path})
