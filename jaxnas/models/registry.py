"""The hand-made networks by the names that configs use."""

from jaxnas.core.registry import Entry, Registry

# build(section `network`) → a module Measurement → image complex64 (B, H, W).
MODELS = Registry(
    "network",
    {
        "unet": Entry("jaxnas.models.unet:unet"),
        "fastmri_unet": Entry("jaxnas.models.fastmri_unet:fastmri_unet"),
        "dccnn": Entry("jaxnas.models.cascades:dccnn"),
        "dccnn_11": Entry("jaxnas.models.cascades:dccnn_11"),
        "modl": Entry("jaxnas.models.cascades:modl"),
        "modl_11": Entry("jaxnas.models.cascades:modl_11"),
        "rdn": Entry("jaxnas.models.cascades:rdn"),
        "rdn_8": Entry("jaxnas.models.cascades:rdn_8"),
        "fedautomri_baseline": Entry(
            "jaxnas.models.cascades:fedautomri_baseline", "manual baseline"
        ),
    },
    group="jaxnas.models",
)
# build(channels=, classes=, dtype=) → a module images (B, H, W, 1) → logits (B, H, W, classes).
LABEL_MODELS = Registry(
    "network",
    {
        "unet2d": Entry("jaxnas.models.unet2d:unet2d", "U-Net 2D"),
        "bix_unet": Entry("jaxnas.models.bix_unet:bix_unet", "BiX-NAS"),
    },
    group="jaxnas.label_models",
)
