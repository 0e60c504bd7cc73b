"""Optimisers and their schedules, built from a config section."""

import jax
import jax.numpy as jnp
import optax

from jaxnas.core.errors import UserError
from jaxnas.engine.section import OptimConfig


def make_optimizer(config: OptimConfig, steps: int) -> optax.GradientTransformation:
    """The optimiser of `config` for a run of `steps` steps.

    Gradients are clipped to a global norm, then go through Adam or momentum, then are scaled by
    the rate. `weight_decay` times the parameters is added before Adam or momentum (the L2 penalty,
    as in torch.optim), in `adamw` after it (decoupled, as in torch.optim.AdamW).
    Raises UserError if the warm-up does not fit into the run.
    """
    clip = optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip)
    decay = optax.add_decayed_weights(config.weight_decay)
    adam, momentum = optax.scale_by_adam(*config.betas), optax.trace(config.momentum)
    rules = {"adam": (decay, adam), "adamw": (adam, decay), "sgd": (decay, momentum)}
    rate = make_schedule(config, steps)
    return optax.chain(clip, *rules[config.name], optax.scale_by_learning_rate(rate))


def check_schedule(config: OptimConfig, steps: int, *, key: str) -> None:
    """UserError, naming the `key` of the section, where its schedule does not fit into `steps`."""
    try:
        make_schedule(config, steps)
    except UserError as error:
        raise UserError(f"{key}.{error}") from None


def make_schedule(config: OptimConfig, steps: int) -> optax.Schedule:
    """The learning rate as a function of the step t = 0 … steps − 1, a float32 scalar.

    rate · min(1, (t + 1) / warmup) · shape(t), where shape is 1 (constant) or a tenth for every
    drop passed (step). With f = final / rate and s = t / steps the others end at f:
    f + (1 − f)(1 + cos πs) / 2 (cosine), f + (1 − f)(1 − s) (linear), f^s (exponential).
    """
    if config.warmup >= steps > 0 and config.warmup > 0:
        raise UserError(
            f"warmup: {config.warmup} steps do not fit into a run of {steps} steps; "
            f"make warmup smaller than steps"
        )
    drops = [round(fraction * steps) for fraction in config.drops]
    f = (config.final or 0.0) / config.rate

    def shape(t: jax.Array) -> jax.Array | float:
        if config.schedule == "step":
            return 0.1 ** sum((t >= drop).astype(jnp.float32) for drop in drops)
        if config.schedule == "cosine":
            return f + (1.0 - f) * 0.5 * (1.0 + jnp.cos(jnp.pi * t / steps))
        if config.schedule == "linear":
            return f + (1.0 - f) * (1.0 - t / steps)
        if config.schedule == "exponential":
            return f ** (t / steps)
        return jnp.ones(())

    def schedule(t: jax.typing.ArrayLike) -> jax.Array:
        t = jnp.asarray(t)
        warm = jnp.minimum(1.0, (t + 1) / max(config.warmup, 1))
        return config.rate * warm * shape(t)

    return schedule
