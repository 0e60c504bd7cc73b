"""The federated strategies by name."""

from jaxnas.core.registry import Entry, Registry

# build(section of the method) → a `Strategy`; a third party's is its section, see `MethodConfig`.
STRATEGIES = Registry(
    "strategy",
    {
        "non_fed": Entry("jaxnas.fed.strategies:non_fed", "Non-Fed"),
        "fedavg": Entry("jaxnas.fed.strategies:fedavg", "FedAvg"),
        "fedprox": Entry("jaxnas.fed.strategies:fedprox", "FedProx"),
        "fedmri": Entry("jaxnas.fed.strategies:fedmri", "FedMRI"),
        "fedautomri": Entry("jaxnas.fed.strategies:fedautomri", "FedAutoMRI"),
        "fedavgm": Entry("jaxnas.fed.strategies:fedavgm", "FedAvgM"),
        "fedadam": Entry("jaxnas.fed.strategies:fedadam", "FedAdam"),
        "scaffold": Entry("jaxnas.fed.scaffold:scaffold", "SCAFFOLD"),
    },
    group="jaxnas.strategies",
)
