"""The command line. Each command imports what it needs when it is called, so --help is instant."""

import sys
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from jaxnas.cli.exits import exit_code, print_anything
from jaxnas.cli.options import (
    AsJson,
    AxesOption,
    ClientName,
    CompareBy,
    DatasetOption,
    DecoderOption,
    Domain,
    DomainOption,
    Files,
    FoldOption,
    Fresh,
    GenotypeOption,
    LabelsOption,
    LayoutName,
    ModelOption,
    Origin,
    OriginOption,
    Overrides,
    PrecisionOption,
    Quiet,
    RunDirectory,
    Seed,
    SensOption,
    SourceKind,
    SourceOption,
    StrategyOption,
    Target,
    Workdir,
)
from jaxnas.core.runtime import keep_compiled_programs, keep_freed_memory

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Neural architecture search for MRI: search, train, compare and apply networks.",
)
data_app = typer.Typer(no_args_is_help=True, help="Make, check and describe data on disk.")
app.add_typer(data_app, name="data")


def _add_stage(name: str, help_text: str) -> None:
    """Registers a command that runs one stage of a config."""

    def command(
        target: Target,
        overrides: Overrides = [],  # noqa: B006 (typer copies it)
        workdir: Workdir = None,
        fresh: Fresh = False,
        seed: Seed = None,
        quiet: Quiet = False,
    ):
        _run(name, target, overrides, workdir, fresh, seed, quiet, None)

    app.command(name, help=help_text)(command)


def _add_training(name: str, help_text: str) -> None:
    """Registers a command that runs stages and may be given a genotype."""

    def command(
        target: Target,
        overrides: Overrides = [],  # noqa: B006 (typer copies it)
        workdir: Workdir = None,
        fresh: Fresh = False,
        seed: Seed = None,
        quiet: Quiet = False,
        genotype: GenotypeOption = None,
    ):
        _run(name, target, overrides, workdir, fresh, seed, quiet, genotype)

    app.command(name, help=help_text)(command)


def _run(name, target, overrides, workdir, fresh, seed, quiet, genotype) -> None:
    from jaxnas.engine.run import open_run
    from jaxnas.stages import run as stages

    overrides = list(overrides)
    if seed is not None:
        overrides.append(f"seed={seed}")
    if genotype is not None:
        overrides.append(f"genotype={dumps(str(genotype))}")  # quoted: a name, whatever it is
    run = open_run(target, overrides=overrides, workdir=workdir, quiet=quiet)
    stages.run_stages(run, stages.named_stages(run, name), fresh=fresh)


_add_training("run", "All stages of a config: search, derive, select, train, evaluate, report.")
_add_stage("search", "Search an architecture and derive its genotype.")
_add_training("train", "Train the networks of a config.")
_add_stage("evaluate", "Evaluate the trained networks of a config or a run.")
_add_stage("report", "Write figures and report.html of a config or a run.")


@app.command()
def inspect(
    target: Target,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    genotype: GenotypeOption = None,
    supernet: Annotated[bool, typer.Option(help="The supernet, not the derived network.")] = False,
    json: AsJson = False,
):
    """Structure, parameters and MACs of the networks of a config; trains nothing."""
    from jaxnas.cli import inspect as command

    command.inspect_target(
        target, overrides=overrides, genotype=genotype, supernet=supernet, as_json=json
    )


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished run directories.")],
    by: Annotated[CompareBy, typer.Option(help="Table II (nodes) or Table III (space).")],
):
    """The derived networks of several runs as one table, in Markdown."""
    from jaxnas.core.console import show
    from jaxnas.report.tables import compare_runs, to_markdown

    show(to_markdown(compare_runs(runs, by=by.value)))


@app.command()
def reconstruct(
    run: RunDirectory,
    inputs: Files,
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: ModelOption = "derived",
    strategy: StrategyOption = None,
    client: ClientName = None,
    acceleration: Annotated[
        float | None, typer.Option(min=1.0, help="Undersample fully sampled files first.")
    ] = None,
    precision: PrecisionOption = None,
    origin: Annotated[
        Origin | None,
        typer.Option("--origin", help="Where k-space has its zero frequency. Default: as the run."),
    ] = None,
):
    """Apply a trained run to HDF5 files; writes `reconstruction` per file."""
    from jaxnas.cli import reconstruct as command
    from jaxnas.engine.networks import Choice

    choice = Choice(model, strategy, client)
    command.reconstruct_files(
        run,
        inputs,
        out,
        choice,
        acceleration=acceleration,
        precision=precision and precision.value,
        origin=origin and origin.value,
    )


@app.command()
def export(
    run: RunDirectory,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    model: Annotated[
        str | None,
        typer.Option(help="Which of the run's networks. Default: derived, or the only one."),
    ] = None,
    strategy: StrategyOption = None,
    client: ClientName = None,
    fold: FoldOption = None,
):
    """Write a trained network as a jax.export artefact with a JSON side-car."""
    from jaxnas.cli import export as command
    from jaxnas.engine.networks import Choice

    command.export_run(run, out, Choice(model, strategy, client, fold))


@app.command()
def segment(
    run: RunDirectory,
    inputs: Files,
    out: Annotated[Path, typer.Option(help="Folder for the labels.")],
    model: Annotated[str | None, typer.Option(help="Which network, where there are more.")] = None,
    fold: FoldOption = None,
    strategy: StrategyOption = None,
    client: ClientName = None,
):
    """Apply a trained run to NIfTI volumes and cines; writes labels with the source affine."""
    from jaxnas.cli import segment as command
    from jaxnas.engine.networks import Choice

    command.segment_files(run, inputs, out, Choice(model, strategy, client, fold))


@app.command()
def profile(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML config.")],
    out: Annotated[Path, typer.Option(help="The table to write.")],
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
):
    """Measure every operation that a config's networks may have on this device."""
    from jaxnas.cli import profile as command

    command.profile_config(config, out=out, overrides=overrides)


@app.command()
def decode(
    run: RunDirectory,
    method: Annotated[DecoderOption, typer.Option(help="How paths are chosen.")],
    paths: Annotated[list[int], typer.Option(min=1, help="How many paths; repeatable.")] = [],  # noqa: B006
    budgets: Annotated[
        list[float], typer.Option("--budget", help="Of constrained: ms; repeatable.")
    ] = [],  # noqa: B006
    draws: Annotated[int | None, typer.Option(min=1, help="Of random: how many networks.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the genotypes.")] = None,
):
    """Networks out of a finished search, each measured on this device."""
    from jaxnas.cli import decode as command

    command.decode_run(run, method=method.value, paths=paths, budgets=budgets, draws=draws, out=out)


@data_app.command("make")
def data_make(
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    volumes: Annotated[int, typer.Option(min=1)] = 4,
    slices: Annotated[int, typer.Option(min=1)] = 8,
    size: Annotated[tuple[int, int], typer.Option(help="Height and width.")] = (320, 320),
    coils: Annotated[int, typer.Option(min=1)] = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    layout: Annotated[LayoutName, typer.Option(help="The public data set to imitate.")] = (
        LayoutName.fastmri
    ),
):
    """Write synthetic volumes in a public layout: beating hearts in acdc's, bellies in nnunet's."""
    from jaxnas.cli import data

    data.make(
        out,
        layout=layout.value,
        volumes=volumes,
        slices=slices,
        size=size,
        coils=coils,
        seed=seed,
    )


@data_app.command("check")
def data_check(
    inputs: Files,
    source: SourceOption = SourceKind.fastmri,
    domain: DomainOption = Domain.kspace,
    dataset: DatasetOption = None,
    axes: AxesOption = None,
    sens: SensOption = None,
    origin: OriginOption = Origin.center,
    labels: LabelsOption = None,
):
    """Read every file whole and name each one a run would stumble over."""
    from jaxnas.cli import data

    config = data.section(
        inputs,
        source=source.value,
        domain=domain.value,
        dataset=dataset,
        axes=axes,
        sens=sens,
        origin=origin.value,
        labels=labels,
    )
    data.check_data(config)


@data_app.command("info")
def data_info(
    inputs: Files,
    source: SourceOption = SourceKind.fastmri,
    domain: DomainOption = Domain.kspace,
    dataset: DatasetOption = None,
    axes: AxesOption = None,
    sens: SensOption = None,
    origin: OriginOption = Origin.center,
    labels: LabelsOption = None,
    json: AsJson = False,
):
    """One line per volume: slices, shape, coils, contrast; as JSON also every label."""
    from jaxnas.cli import data

    config = data.section(
        inputs,
        source=source.value,
        domain=domain.value,
        dataset=dataset,
        axes=axes,
        sens=sens,
        origin=origin.value,
        labels=labels,
    )
    data.info(config, as_json=json)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and leaves with its exit code: 0, 2, 3 or 130."""
    print_anything()
    keep_freed_memory()
    keep_compiled_programs()
    sys.exit(exit_code(lambda: app(arguments, standalone_mode=True)))
