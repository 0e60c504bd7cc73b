"""What a config of either task, at one site or across clients, may say of lengths and moves."""

import pytest

from jaxnas.core.config import dump_config, load_config
from jaxnas.core.errors import UserError

FILES = {
    ("reconstruction", "site"): "",
    ("reconstruction", "clients"): "federated: {partition: {}, local_steps: 1}",
    ("segmentation", "site"): "task: segmentation",
    ("segmentation", "clients"): "task: segmentation\nfederated: {partition: {}, local_steps: 1}",
}


@pytest.fixture(params=FILES, ids="-".join)
def load(request, tmp_path):
    """Loads the config of a task and setting, with lines of the file or with `--set`."""

    def load(*settings, written=""):
        path = tmp_path / "config.yaml"
        path.write_text(f"{FILES[request.param]}\n{written}\n")
        return load_config(path, overrides=settings)

    load.setting = request.param[1]
    return load


def test_milenas_without_a_loss_is_refused(load):
    message = r"search: w_train and w_val are both 0"
    with pytest.raises(UserError, match=message):
        load("search.method=milenas", "search.w_train=0", "search.w_val=0", "search.steps=500")
    with pytest.raises(UserError, match=message):
        load(written="search: {method: milenas, w_train: 0, w_val: 0, steps: 500, warmup: 0}")
    assert load("search.w_train=0", "search.w_val=0").search.method == "darts"


@pytest.mark.parametrize("warmup", [7, 8])
def test_alphas_that_would_never_move_are_refused(load, warmup):
    key = {"site": "search.steps", "clients": "federated.search_rounds"}[load.setting]
    with pytest.raises(UserError, match=f"search.warmup is {warmup} and {key} is 7, so the alphas"):
        load(f"{key}=7", f"search.warmup={warmup}")
    assert load(f"{key}=9", f"search.warmup={warmup}").search.warmup == warmup
    trained = load(f"{key}=7", f"search.warmup={warmup}", "stages=[train, evaluate]")
    assert trained.search.warmup == warmup


def test_a_warm_up_is_a_quarter_of_the_search_or_as_said(load):
    assert load("search.warmup=null").search.held(50) == 12
    assert load("search.warmup=3").search.held(50) == 3


@pytest.mark.parametrize("section", ["search", "train"])
def test_a_length_is_in_steps_or_in_epochs(load, section):
    epochs = getattr(load(written=f"{section}: {{epochs: 40}}"), section)
    assert (epochs.steps, epochs.epochs, epochs.in_steps(7)) == (None, 40, 280)
    steps = getattr(load(written=f"{section}: {{steps: 400}}"), section)
    assert (steps.steps, steps.epochs, steps.in_steps(7)) == (400, None, 400)
    with pytest.raises(UserError, match=f"{section}: give either steps or epochs"):
        load(written=f"{section}: {{epochs: 40, steps: 400}}")
    config = load(
        f"{section}.epochs=40", f"{section}.steps=null", written=f"{section}: {{steps: 9}}"
    )
    assert getattr(config, section).in_steps(2) == 80
    if load.setting == "site":
        with pytest.raises(UserError, match=f"{section}: give either steps or epochs, found neit"):
            load(f"{section}.steps=null")


def test_a_length_survives_being_written(load, tmp_path):
    config = load("search.epochs=40", "search.steps=null", "train.epochs=3", "train.steps=null")
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config.model_copy(update={"name": "config"})


@pytest.mark.parametrize("method", ["milenas", "random"])
def test_a_second_order_that_there_is_not_is_refused(method, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"search: {{steps: 9, method: {method}, order: second}}")
    with pytest.raises(UserError, match="order second is that of method darts"):
        load_config(path)
    assert load_config(path, overrides=["search.method=darts"]).search.order == "second"


def test_random_search_has_no_alphas_to_keep_still(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("search: {method: random, steps: 5, warmup: 5}")
    assert load_config(path).search.warmup == 5
