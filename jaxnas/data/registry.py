"""The readers of data sets, and the layouts that synthetic data can be written in, by name."""

from jaxnas.core.registry import Entry, Registry

# A `Reader` of k-space.
READERS = Registry(
    "reader",
    {
        "fastmri": Entry("jaxnas.data.open:FASTMRI"),
        "arrays": Entry("jaxnas.data.open:PLAIN_ARRAYS"),
        "modl_brain": Entry("jaxnas.data.open:MODL_BRAIN"),
        "cc359": Entry("jaxnas.data.open:CALGARY"),
    },
    group="jaxnas.readers",
)
# A `LabeledReader` of images with labels.
LABELED_READERS = Registry(
    "reader",
    {
        "acdc": Entry("jaxnas.data.readers:ACDC"),
        "sunnybrook": Entry("jaxnas.data.readers:SUNNYBROOK"),
        "nifti_folder": Entry("jaxnas.data.readers:NIFTI_FOLDER"),
    },
    group="jaxnas.labeled_readers",
)
SYNTHETIC, HEART = "synthetic", "heart"  # the embedded sources, which read no files
MEMORY = "memory"  # the source of data that are given in Python
# make(folder, source, on_file=) → the paths of the files.
LAYOUTS = Registry(
    "layout",
    {
        "fastmri": Entry("jaxnas.data.make:make_dataset"),
        "modl_brain": Entry("jaxnas.data.layouts:make_modl_brain"),
        "cc359": Entry("jaxnas.data.layouts:make_cc359"),
        "cc359_multi": Entry("jaxnas.data.layouts:make_cc359_multi"),
    },
)
# A source of phantoms, by patients, slices, size and seed, and make(folder, source, on_file=).
LABELED_LAYOUTS = Registry(
    "layout",
    {
        "acdc": Entry("jaxnas.data.layouts:HEART_PHANTOMS"),
        "nnunet": Entry("jaxnas.data.layouts:ORGAN_PHANTOMS"),
    },
)
