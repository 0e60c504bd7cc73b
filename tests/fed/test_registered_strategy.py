"""A strategy of somebody else, registered as an entry point would."""

from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from jaxnas.core.identity import fingerprint
from jaxnas.fed.registry import STRATEGIES
from jaxnas.fed.section import MethodConfig, RoundsConfig
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.strategy import Strategy


class Halfway(MethodConfig):
    """FedAvg, of which the server goes a part of the way."""

    title: ClassVar[str] = "Halfway"
    strategy: Literal["halfway"]
    part: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5

    def build(self):
        return Strategy()


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(STRATEGIES.__dict__, "_loaded", {"halfway": Halfway})


def rounds(**method):
    methods = [{"strategy": "fedavg"}, {"strategy": "halfway", **method}]
    values = {"partition": {"method": "even", "clients": 2}, "local_steps": 1, "methods": methods}
    return RoundsConfig.model_validate(values)


def test_it_is_a_method_like_any_other(registered):
    config = rounds(part=0.25)
    method = config.methods[1]
    assert isinstance(method, Halfway) and method.label == "halfway" and method.part == 0.25
    assert isinstance(build_strategy(method), Strategy)
    assert STRATEGIES.title("halfway") == "Halfway"
    dumped = config.model_dump(mode="json")
    assert dumped["methods"][1]["part"] == 0.25
    assert RoundsConfig.model_validate(dumped) == config
    assert fingerprint(config) != fingerprint(rounds(part=0.5))


def test_its_keys_are_checked_in_their_place(registered):
    with pytest.raises(ValidationError) as raised:
        rounds(part=2.0)
    (problem,) = raised.value.errors()
    assert problem["loc"][:2] == ("methods", 1) and problem["loc"][-1] == "part"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        rounds(parts=0.5)


def test_without_it_the_name_is_unknown():
    with pytest.raises(ValidationError, match="Input tag 'halfway'"):
        rounds()
