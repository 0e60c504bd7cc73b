"""The genotype that a run trains: its own once it has one, else the one that its config gives."""

from collections.abc import Callable
from pathlib import Path

from jaxnas.core.errors import START_OVER, UserError
from jaxnas.engine.rundir import GenotypeFile
from jaxnas.spaces.genotype import Genotype, load_genotype


def settle_genotype(
    own: GenotypeFile,
    given: str | None,
    *,
    check: Callable[..., Genotype],
    fresh: bool = False,
) -> Genotype:
    """The genotype `own` of a run if it exists (unless `fresh`), else of `given`.

    `check(genotype, where=...)` returns a genotype that the config can hold and refuses others.
    UserError then, if there is neither file, or if the two differ.
    """
    kept = own if own.exists() and not fresh else None
    source = kept or (None if given is None else GenotypeFile(Path(given)))
    if source is None:
        raise UserError(
            f"{own.path.parent}: no genotype yet; search first (jaxnas search CONFIG) or give "
            f"--genotype FILE"
        )
    genotype = check(source.read(), where=str(source))
    # A finished run does without the file that it was given.
    if kept and given and Path(given).exists() and load_genotype(given) != genotype:
        raise UserError(
            f"{given}: differs from the genotype already in {own}; leave it out to go on with that "
            f"one, or use another --workdir ({START_OVER})"
        )
    return genotype
