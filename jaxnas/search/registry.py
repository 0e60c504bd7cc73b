"""The methods of a search, and the ways to make networks of its paths, by name."""

from jaxnas.core.registry import Entry, Registry

# method(section `search`, problem, history) → a `SearchMethod`.
METHODS = Registry(
    "method",
    {
        "darts": Entry("jaxnas.search.methods:Darts", "DARTS"),
        "milenas": Entry("jaxnas.search.methods:MiLeNAS", "MiLeNAS"),
        "random": Entry("jaxnas.search.methods:Random", "random search"),
    },
    group="jaxnas.methods",
)
RANDOM = "random"  # draws networks instead of decoding what was searched
CONSTRAINED = "constrained"  # takes a budget instead of a number of paths
# decode(section `decode`, pool, count, predict, seed) → `Decoded`, but for these two.
DECODERS = Registry(
    "decoder",
    {
        "dijkstra": Entry("jaxnas.search.decode:heaviest", "Dijkstra"),
        "ga": Entry("jaxnas.search.genetic:evolved", "Genetic"),
        "exhaustive": Entry("jaxnas.search.decode:fastest", "Exhaustive"),
        CONSTRAINED: Entry("jaxnas.search.constrained:constrained", "Constrained"),
        RANDOM: Entry("jaxnas.segmentation.derive:draw_networks", "Random"),
    },
)
