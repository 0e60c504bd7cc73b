"""The operations with a normalisation, by name; those without one are in `ops.candidates`."""

from jaxnas.core.registry import Entry, Registry

# A chain of `Separable` and `Standard` layers, or a pooling (B, H, W, C) → (B, H, W, C).
NORM_OPERATIONS = Registry(
    "operation",
    {
        "skip_connect": Entry("jaxnas.ops.candidates:SKIP"),
        "sep_conv_3x3": Entry("jaxnas.ops.norm_operations:SEPARABLE_3"),
        "sep_conv_5x5": Entry("jaxnas.ops.norm_operations:SEPARABLE_5"),
        "dil_conv_3x3": Entry("jaxnas.ops.norm_operations:DILATED_3"),
        "dil_conv_5x5": Entry("jaxnas.ops.norm_operations:DILATED_5"),
        "conv_3x3": Entry("jaxnas.ops.norm_operations:STANDARD_3"),
        "max_pool_3x3": Entry("jaxnas.ops.resample:max_pool3"),
        "avg_pool_3x3": Entry("jaxnas.ops.resample:avg_pool3"),
    },
    group="jaxnas.norm_operations",
)
