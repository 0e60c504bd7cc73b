"""A federated round in fedjax, whose clients run our own compiled step.

`fedjax.for_each_client` with its default backend calls a jitted step client by client; the mean is
fedjax's. So what it measures beside the others is the framework. fedjax 0.0.17, the last one, calls
`jax.tree_map`, which JAX has since removed: it is put back here.
"""

import importlib.metadata

import fedjax
import jax
import jax.numpy as jnp

from benchmarks.bench_round import Rounds, initial_model, make_program, model_change, read_setting
from benchmarks.ours import peak_device_memory
from benchmarks.timing import Prepared, serve

jax.tree_map = jax.tree.map


def prepare(name: str, problem):
    """One round."""
    setting = read_setting(problem)
    program, data = make_program(setting), Rounds(problem)
    clients, steps = range(setting.clients), range(setting.steps)
    batches = [[jax.device_put(data.batch(c, k)) for k in steps] for c in clients]
    model = initial_model(problem)

    train = fedjax.for_each_client(
        lambda server, key: program.begin(server, None, jax.random.key(0), jnp.int32(0)),
        lambda state, batch: program.step(state, batch, {})[0],
        lambda server, state: program.model(state),
    )
    key, first = jax.random.PRNGKey(0), {}

    def run():
        nonlocal model
        cohort = [(c, batches[c], key) for c in clients]
        models = [(output, 1.0) for _, output in train(model, cohort)]
        model = jax.block_until_ready(fedjax.tree_util.tree_mean(models))
        if not first:
            first.update(model_change(problem, model))

    version = importlib.metadata.version("fedjax")
    return Prepared(run, lambda: first, {"version": f"fedjax {version}"}, peak_device_memory)


if __name__ == "__main__":
    serve(prepare)
