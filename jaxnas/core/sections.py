"""What every schema of a config is built from: the section, bounded numbers, and the stages."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Milliseconds = Annotated[float, Field(gt=0.0)]
Size = tuple[Positive, Positive]
Weight = Annotated[float, Field(ge=0.0)]
Patterns = tuple[str, ...]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Stage = Literal["search", "derive", "train", "evaluate", "report"]
STAGES: tuple[Stage, ...] = ("search", "derive", "train", "evaluate", "report")


class Section(BaseModel):
    """A part of a config: immutable, hashable, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def check_order(config: Any) -> Any:
    """The config, whose stages must come in the order they depend on each other, each once."""
    order = [STAGES.index(stage) for stage in config.stages]
    if order != sorted(set(order)):
        raise ValueError(f"stages must follow the order {', '.join(STAGES)}, each once")
    return config
