"""The names of the networks that a config trains, whatever its setting."""

from jaxnas.core.sections import Experiment

DERIVED = "derived"  # the network of the genotype that was found or given


def model_names(config: Experiment) -> tuple[str, ...]:
    """The networks that a config trains, at one site or across clients, each once."""
    if config.federated is None:
        return config.train.models
    return tuple(dict.fromkeys(method.model for method in config.federated.methods))


def models_key(config: Experiment) -> str:
    """The key that names them."""
    return "train.models" if config.federated is None else "federated.methods"
