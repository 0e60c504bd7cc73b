import json

import pytest

from jaxnas.core.errors import UserError
from jaxnas.spaces.genotype import Genotype, genotype_from_json, load_genotype, save_genotype
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.section import NetworkConfig
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


def test_weights_round_trip(tmp_path):
    genotype = example_genotype(NetworkConfig(space="fedautomri", nodes=1))
    path = save_genotype(tmp_path / "g.json", genotype)
    assert load_genotype(path) == genotype
    assert json.loads(path.read_text()) == {
        "space": "fedautomri",
        "cells": {
            "normal": [
                [["std_conv_3x3", 0], ["sep_conv_5x5", 0], ["std_conv_3x3", 1], ["sep_conv_5x5", 1]]
            ]
        },
        "paths": None,
        "weights": {"normal": [[0.5, 0.5, 0.5, 0.5]]},
    }


def test_equal_genotypes_hash_equal():
    weighted = example_genotype(NetworkConfig(space="fedautomri"))
    for genotype in (GENOTYPE, weighted):
        assert hash(genotype_from_json(genotype.to_json())) == hash(genotype)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize("edges", ["sum", "weighted"])
def test_example_fits(space, nodes, edges):
    config = NetworkConfig(space=space, nodes=nodes, edges=edges)
    assert fit_genotype(config, example_genotype(config)).space == space


def bad(cells=None, space="csmri_a"):
    return {"space": space, "cells": {"normal": cells}}


SEP, DIL, STD = "sep_conv_3x3", "dil_2_conv_3x3", "std_conv_3x3"
NODES = [[[SEP, 0], [DIL, 1]], [[SEP, 1], [DIL, 2]]]


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
        (bad(NODES[:1]), "cell 'normal' has 1 nodes, network.nodes is 2"),
        (bad([NODES[0], [[SEP, 1]]]), "keeps two operations a node, from two different inputs"),
        (bad([NODES[0], [[SEP, 1], [DIL, 1]]]), "from two different inputs"),
        (bad([NODES[0], [[SEP, 0], [DIL, 1], [SEP, 2]]]), "from two different inputs"),
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


EDGES = [[[SEP, 0], [STD, 0], [SEP, 1], [STD, 1]]]


def fedautomri(cells=EDGES, **more):
    return {"space": "fedautomri", "cells": {"normal": cells}} | more


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (fedautomri([EDGES[0][:2]]), "two different operations on every edge, all edges"),
        (fedautomri([[[SEP, 0], [SEP, 0], *EDGES[0][2:]]]), "two different operations"),
        (fedautomri([[[STD, 0], *EDGES[0]]]), "two different operations"),
        (fedautomri([[["skip_connect", 0], *EDGES[0][1:]]]), "'skip_connect' is not in this space"),
        (fedautomri(), "network.edges is weighted, but the genotype has no weights"),
        (fedautomri(weights=[]), "weights: expected an object"),
        (fedautomri(weights={"keep": []}), "weights: expected an object"),
        (fedautomri(weights={"normal": [["much"] * 4]}), "weights: expected an object"),
        (fedautomri(weights={"normal": [[0.5] * 3]}), "one number for every pick"),
        (fedautomri(weights={"normal": [[0.5] * 4] * 2}), "one number for every pick"),
        (fedautomri(weights={"normal": [[0.5, 0.5, 0.5, 0.6]]}), "input 1: .*add up to 1"),
        (fedautomri(weights={"normal": [[1.5, -0.5, 1, 0]]}), "input 0: .*not negative"),
        (fedautomri(weights={"normal": [[float("nan")] * 4]}), "add up to 1"),
    ],
)
def test_two_operations_an_edge_and_their_weights_are_checked(value, message, tmp_path):
    path = tmp_path / "g.json"
    path.write_text(json.dumps(value))
    config = NetworkConfig(space="fedautomri", nodes=1, edges="weighted")
    with pytest.raises(UserError, match=message) as caught:
        fit_genotype(config, load_genotype(path), where=str(path))
    assert str(path) in str(caught.value)
