import json

import pytest

from jaxnas.core.errors import UserError
from jaxnas.core.schema import NetworkConfig
from jaxnas.spaces.csmri import SPACES
from jaxnas.spaces.genotype import Genotype, from_json, load_genotype, save_genotype
from jaxnas.spaces.supernet import example_genotype, fit_genotype

NODE = (("sep_conv_3x3", 0), ("skip_connect", 1))
GENOTYPE = Genotype("csmri_a", (("normal", (NODE, (("dil_3_conv_3x3", 2), ("sep_conv_3x3", 1)))),))


def test_json_round_trip(tmp_path):
    path = save_genotype(tmp_path / "g.json", GENOTYPE)
    assert load_genotype(path) == GENOTYPE
    assert json.loads(path.read_text()) == {
        "space": "csmri_a",
        "cells": {
            "normal": [
                [["sep_conv_3x3", 0], ["skip_connect", 1]],
                [["dil_3_conv_3x3", 2], ["sep_conv_3x3", 1]],
            ]
        },
        "paths": None,
    }


def test_equal_genotypes_hash_equal():
    assert hash(from_json(GENOTYPE.to_json())) == hash(GENOTYPE)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_example_fits(space, nodes):
    config = NetworkConfig(space=space, nodes=nodes)
    assert fit_genotype(config, example_genotype(config)).space == space


def bad(cells=None, space="csmri_a"):
    return {"space": space, "cells": {"normal": cells}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected an object"),
        ({"space": "csmri_a"}, "expected an object"),
        ({"space": "csmri_a", "cells": []}, "cell name"),
        (bad([[["sep_conv_3x3"]]]), "list of .operation, input. pairs"),
        (bad([[["sep_conv_3x3", "x"]]]), "list of .operation, input. pairs"),
        (bad([[["sep_conv_3x3", 0]]] * 2, space="csmri_b"), "space 'csmri_b'.*asks for 'csmri_a'"),
        ({"space": "csmri_a", "cells": {"keep": []}}, "has cells .'keep'."),
        (bad([]), "has no nodes"),
        (bad([[], []]), "no picks"),
        (bad([[["sep_conv_3x4", 0]]] * 2), "did you mean 'sep_conv_3x3'"),
        (bad([[["none", 0]]] * 2), "'none' is not in this space"),
        (bad([[["sep_conv_3x3", 2]]] * 2), "node 0: input 2 does not exist; expected 0 to 1"),
        (bad([[["sep_conv_3x3", 0]]]), "1 nodes, network.nodes is 2"),
    ],
)
def test_bad_genotype_is_explained(value, message, tmp_path):
    path = tmp_path / "g.json"
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=message) as caught:
        fit_genotype(NetworkConfig(nodes=2), load_genotype(path), where=str(path))
    assert str(path) in str(caught.value)


def test_broken_file_is_named(tmp_path):
    path = tmp_path / "g.json"
    path.write_text('{"space": ')
    with pytest.raises(UserError, match=r"g.json:1: not valid JSON"):
        load_genotype(path)
    with pytest.raises(UserError, match="no such file"):
        load_genotype(tmp_path / "absent.json")
