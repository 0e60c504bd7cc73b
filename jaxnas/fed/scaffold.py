"""SCAFFOLD: control variates against the drift of clients whose data differ.

Karimireddy et al., "SCAFFOLD: stochastic controlled averaging for federated learning" (ICML 2020),
Algorithm 1 with option II. Every local step of client i follows g − c_i + c, where c_i is the mean
gradient of its last steps and c that of all clients. After K steps with the rate η from x to y_i

    c_i⁺ = c_i − c + (x − y_i) / (K η),
    x ← x + η_g avg_S(y_i − x),    c ← c + |S|/N avg_S(c_i⁺ − c_i),

where S are those of the N clients who take part; all others keep their c_i.

* With a learning-rate schedule K η is the sum of the rates of the local steps, Σ_k η_k: then c_i⁺
  is the mean of their gradients with the weights η_k, as x − y_i = Σ_k η_k (g_k − c_i + c).
* Both averages have the weights p_i of the clients, and |S|/N is Σ_S p_i / Σ_N p_i: so c stays
  Σ p_i c_i, and p_i-weighted corrections c − c_i sum to zero, as the paper's do with equal ones.
* All this holds for plain SGD, as in the paper. Adam divides by moments, momentum adds gradients of
  steps before, and clipping shortens what was corrected: x − y_i over the rates is no mean gradient
  then. A config that asks for one of them is refused (`fed.section.check_plain_sgd`).
"""

import jax
import jax.numpy as jnp

from jaxnas.core.trees import add_up
from jaxnas.fed import section as schema
from jaxnas.fed.state import ModelTree
from jaxnas.fed.strategy import Broadcast, RoundAverage, Strategy


def scaffold(method: schema.Scaffold) -> Strategy:
    """The strategy with the server's rate η_g; its memory is c, a client's own state c_i, both like
    the shared leaves and 0 before the first round. c goes down beside the model, c_i⁺ − c_i up."""
    rate = method.server_rate

    def broadcast(control: ModelTree, server: ModelTree, round: jax.Array) -> ModelTree:
        return control

    def penalty(model: ModelTree, own: ModelTree, broadcast: Broadcast) -> jax.Array:
        # ⟨c − c_i, ω − x⟩, whose gradient is the correction and which is 0 where a client begins
        products = jax.tree.map(
            lambda c, c_i, w, x: jnp.sum((c - c_i) * (w - x)),
            broadcast.extra,
            own,
            model,
            broadcast.model,
        )
        return add_up(jax.tree.leaves(products))

    def client_update(
        own: ModelTree, broadcast: Broadcast, model: ModelTree, rates: jax.Array
    ) -> tuple[ModelTree, ModelTree]:
        change = jax.tree.map(
            lambda c, x, y: (x - y) / rates.astype(x.dtype) - c,
            broadcast.extra,
            broadcast.model,
            model,
        )
        return jax.tree.map(jnp.add, own, change), change

    def server_update(
        control: ModelTree, server: ModelTree, average: RoundAverage, round: jax.Array
    ) -> tuple[ModelTree, ModelTree]:
        control = jax.tree.map(
            lambda c, d: c + average.share.astype(c.dtype) * d, control, average.extra
        )
        # x + η_g (avg − x) as avg + (1 − η_g)(x − avg): exact where η_g is 1
        server = jax.tree.map(lambda x, avg: avg + (1 - rate) * (x - avg), server, average.model)
        return control, server

    return Strategy(
        init_server=lambda shared, clients: jax.tree.map(jnp.zeros_like, shared),
        init_client=lambda shared: jax.tree.map(jnp.zeros_like, shared),
        broadcast=broadcast,
        penalty=penalty,
        client_update=client_update,
        server_update=server_update,
    )
