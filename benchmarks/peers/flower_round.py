"""A federated round in Flower's in-process simulation, whose clients run our own compiled step.

So what it measures beside the others is the framework: actors of ray, messages, the average in
NumPy. Every actor keeps its compiled step from round to round, and starting ray is not timed.
"""

import functools
import logging
import os
import queue
import sys
import threading

import numpy as np

from benchmarks.bench_round import (
    Rounds,
    initial_model,
    make_local,
    make_program,
    model_change,
    read_setting,
)
from benchmarks.suite import SUITE, processors
from benchmarks.timing import Prepared, peak_memory, serve


@functools.lru_cache(maxsize=1)
def local_training(path: str):
    """Returns fit(arrays, client) → arrays, compiled once in every actor."""
    import jax

    problem = dict(np.load(path))
    setting = read_setting(problem)
    program, data, (begin, step) = make_program(setting), Rounds(problem), make_local(setting)
    structure = jax.tree.structure(initial_model(problem))

    def fit(arrays, client):
        state = begin(jax.tree.unflatten(structure, arrays))
        for number in range(setting.steps):
            state = step(state, data.batch(client, number))
        return [np.asarray(leaf) for leaf in jax.tree.leaves(program.model(state))]

    return fit


def simulate(path: str, rounds: "Turns", arrays: list[np.ndarray], clients: int) -> None:
    """Runs Flower's rounds, each when it is asked for; one client at a time has every processor,
    as the compiled step uses all of them."""
    from flwr.client import ClientApp, NumPyClient
    from flwr.common import Context, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server import ServerApp, ServerAppComponents, ServerConfig
    from flwr.server.strategy import FedAvg
    from flwr.simulation import run_simulation

    class Client(NumPyClient):
        def __init__(self, number: int) -> None:
            self.number = number

        def fit(self, parameters, config):
            # By its name: an actor keeps what a module holds, not what comes with a message.
            from benchmarks.peers.flower_round import local_training

            return local_training(path)(parameters, self.number), 1, {}

    class Strategy(FedAvg):
        def configure_fit(self, server_round, parameters, client_manager):
            rounds.wait()
            return super().configure_fit(server_round, parameters, client_manager)

        def aggregate_fit(self, server_round, results, failures):
            if failures or len(results) != clients:
                raise RuntimeError(f"expected {clients} results, found {len(results)}: {failures}")
            mean, metrics = super().aggregate_fit(server_round, results, failures)
            rounds.finish(parameters_to_ndarrays(mean))
            return mean, metrics

    def client_fn(context: Context):
        return Client(int(context.node_config["partition-id"])).to_client()

    def server_fn(context: Context):
        strategy = Strategy(
            fraction_evaluate=0.0,
            min_fit_clients=clients,
            min_available_clients=clients,
            initial_parameters=ndarrays_to_parameters(arrays),
        )
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=10**6))

    run_simulation(
        ServerApp(server_fn=server_fn),
        ClientApp(client_fn=client_fn),
        num_supernodes=clients,
        backend_config={
            "client_resources": {"num_cpus": processors(), "num_gpus": float(SUITE == "gpu")}
        },
    )


class Turns:
    """Rounds that begin when they are asked for."""

    def __init__(self) -> None:
        self._asked: queue.Queue = queue.Queue()
        self._done: queue.Queue = queue.Queue()

    def run(self) -> list[np.ndarray]:
        """One round; returns the averaged arrays."""
        self._asked.put(None)
        return self._done.get()

    def wait(self) -> None:
        """The server's side: returns when the next round may begin."""
        self._asked.get()

    def finish(self, arrays: list[np.ndarray]) -> None:
        """The server's side: the round is over."""
        self._done.put(arrays)


def main() -> None:
    """The simulation holds the main thread; the benchmark is answered by another."""
    import flwr
    import jax

    logging.getLogger("flwr").setLevel(logging.ERROR)
    path = sys.argv[2]
    problem = dict(np.load(path))
    leaves, structure = jax.tree.flatten(initial_model(problem))
    rounds, first = Turns(), {}

    def prepare(name, problem):
        def run():
            after = rounds.run()
            if not first:
                first.update(model_change(problem, jax.tree.unflatten(structure, after)))

        return Prepared(run, lambda: first, {"version": f"flwr {flwr.__version__}"}, peak_memory)

    def answer():
        serve(prepare)
        os._exit(0)  # the simulation would wait for its next round

    threading.Thread(target=answer, daemon=True).start()
    clients = read_setting(problem).clients
    simulate(path, rounds, [np.asarray(leaf) for leaf in leaves], clients)


if __name__ == "__main__":
    main()
