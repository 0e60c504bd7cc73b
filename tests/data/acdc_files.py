"""Patients in the ACDC layout, written with nibabel alone."""

import nibabel
import numpy as np

# Oblique, with voxels of 1.4 × 1.6 × 9 mm: nothing may depend on axes being the scanner's.
AFFINE = np.array(
    [[1.2, 0.5, -2.0, -31.0], [0.6, -1.5, 1.0, 62.5], [0.4, 0.3, 8.7, -18.0], [0, 0, 0, 1]]
)
SHAPE = (13, 10, 3)  # (X, Y, Z)
INFO = "ED: 1\nES: 4\nGroup: HCM\nHeight: 184.0\nNbFrame: 5\nWeight: 95.0\n"


def save(path, voxels, dtype, *, affine=AFFINE, code=1):
    """One NIfTI file whose affine is in its sform."""
    image = nibabel.Nifti1Image(np.asarray(voxels).astype(dtype), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code)
    nibabel.save(image, path)
    return path


def random_image(seed, shape=SHAPE):
    """int16 voxels."""
    return np.random.default_rng(seed).integers(0, 900, size=shape)


def random_labels(seed, shape=SHAPE):
    """All of 0 to 3."""
    labels = np.random.default_rng(seed).integers(0, 4, size=shape)
    labels.flat[:4] = range(4)
    return labels


def write_patient(folder, number, *, shape=SHAPE, frames=(1, 4), labelled=(1, 4), info=INFO):
    """A patient of single-frame files; image and labels of frame t have the seeds t and 100 + t."""
    name = f"patient{number:03d}"
    path = folder / name
    path.mkdir(parents=True)
    (path / "Info.cfg").write_text(info)
    for t in frames:
        save(path / f"{name}_frame{t:02d}.nii.gz", random_image(t, shape), np.int16)
    for t in labelled:
        save(path / f"{name}_frame{t:02d}_gt.nii.gz", random_labels(100 + t, shape), np.uint8)
    return path


def write_cines(path, *, labels):
    """The cine of five frames of a patient's folder and, with `labels`, its labels."""
    frames = np.stack([random_image(t) for t in range(1, 6)], axis=-1)
    save(path / f"{path.name}_4d.nii.gz", frames, np.int16)
    if labels:
        every = np.stack([random_labels(100 + t) for t in range(1, 6)], axis=-1)
        save(path / f"{path.name}_4d_gt.nii.gz", every, np.uint8)
