"""Writing labelled volumes in nnU-Net's layout of raw data sets; see jaxnas.data.nifti_folder."""

import json
from pathlib import Path

import numpy as np

from jaxnas.core.files import write_atomic
from jaxnas.data.annotation import LabeledSource
from jaxnas.data.dataset_json import DESCRIPTION
from jaxnas.data.make import OnFile, ignore_file
from jaxnas.data.nifti import write_image
from jaxnas.data.organs import OrganSource


def make_nnunet(
    folder: str | Path, source: LabeledSource, *, on_file: OnFile = ignore_file
) -> list[Path]:
    """Writes every volume of `source` as a case, and dataset.json; returns the images' paths.

    Images are int16, labels uint8. `on_file` hears of each image once both files are whole.
    """
    import nibabel  # takes a while to import

    folder, paths = Path(folder), []
    for i, ref in enumerate(source.volumes):
        volume = source.read(i)
        path = folder / "imagesTr" / f"{ref.name}_0000.nii.gz"
        labels = folder / "labelsTr" / f"{ref.name}.nii.gz"
        for file, voxels, dtype in (
            (labels, volume.truth, np.uint8),
            (path, volume.image, np.int16),
        ):
            image = nibabel.Nifti1Image(voxels.astype(dtype).T, volume.affine)
            image.header.set_xyzt_units("mm")
            write_image(file, image)
        on_file(path)
        paths.append(path)
    # Last, because a folder without it is known to be incomplete.
    write_atomic(folder / DESCRIPTION, json.dumps(_description(source), indent=2) + "\n")
    return paths


ORGAN_PHANTOMS = (OrganSource, make_nnunet)  # as an entry of LABELED_LAYOUTS


def _description(source: LabeledSource) -> dict:
    return {
        "channel_names": {"0": "MRI"},
        "labels": {name: number for number, name in enumerate(source.labels)},
        "numTraining": len(source.volumes),
        "file_ending": ".nii.gz",
    }
