"""The `Evaluator` of a segmentation: networks on the test volumes, and against the clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from flax import linen as nn

from jaxnas.data.annotation import annotated
from jaxnas.engine.run import Run
from jaxnas.engine.rundir import RunDir
from jaxnas.engine.task import Contender, Variables
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.dataset import LabeledDataset
from jaxnas.segmentation.derive import derived_facts
from jaxnas.segmentation.networks import segmentation_cost
from jaxnas.segmentation.rows import segmentation_rows, volumes_csv
from jaxnas.segmentation.scoring import SegmentationEvaluation, evaluate_segmentation
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.segmentation.timing import budgeted, time_predictor
from jaxnas.spaces.rtdnas_network import RtdnasNet

CONVENTION = (
    "dice: 2 TP/(2 TP + FP + FN) of whole volumes on the source grid, mean and standard deviation "
    "over volumes; a class that truth and prediction both lack is left out and counted in "
    "`empty.both`, one that a single side lacks scores 0. hd95: the larger of the two directed "
    "95th percentiles of surface distances in mm (MONAI), left out where either side is empty. "
    "latency_ms: one frame at a time, waited for; throughput_fps: frames submitted without waiting"
)


@dataclass(frozen=True)
class SegmentationEvaluator:
    """Scores of every volume on its own grid, and the latency of every network of a run."""

    run: Run

    untrained: ClassVar[Mapping[str, Predictor]] = {}

    @property
    def config(self) -> SegmentationConfig:
        """The config of the run."""
        return self.run.config

    def predictor(self, net: nn.Module, variables: Variables, dataset: LabeledDataset) -> Predictor:
        """A trained network for volumes that are prepared as those of a dataset."""
        return Predictor(net, variables, dataset.preparation)

    def evaluate(
        self, predictors: Mapping[str, Predictor], dataset: LabeledDataset, *, fold: int | None
    ) -> SegmentationEvaluation:
        """The scores on the test volumes of a dataset."""
        # A stack of so many slices is compiled in any case, because its latency is measured.
        slices = self.config.latency.stack
        return evaluate_segmentation(
            predictors, dataset.source, dataset.volumes("test"), slices=slices, fold=fold
        )

    def rows(self, name: str, found: Sequence[SegmentationEvaluation]) -> list[dict[str, Any]]:
        """The row over all volumes."""
        own = [score for each in found for score in each.scores if score.model == name]
        (row,) = segmentation_rows(own, found[0].part)
        # Scores go by the contender, a row by its model and, across clients, its strategy.
        return [{key: value for key, value in row.items() if key != "model"}]

    def facts(
        self, model: str, net: nn.Module, predictor: Predictor, dataset: LabeledDataset
    ) -> dict[str, Any]:
        """The paths and the decoder of a derived network, the size of any, and its times for frames
        like the first test volume of a dataset."""
        cost = segmentation_cost(net, self.config.data.size)
        timings = time_predictor(
            predictor,
            dataset.source.read(dataset.volumes("test")[0]),
            slices=self.config.latency.stack,
            calls=self.config.evaluate.calls,
            seconds=self.config.evaluate.seconds,
        )
        found = budgeted(timings)
        paths = {"paths": len(net.genotype.drawn_paths())} if isinstance(net, RtdnasNet) else {}
        self.run.log(
            f"{model}: {found['latency_ms']['p50']:.1f} ms for a frame of "
            f"{self.config.latency.stack} slices"
        )
        sizes = {"params": cost.params, "macs": cost.cost.macs}
        return {**paths, **self._derived.get(model, {}), **sizes, "timings": timings, **found}

    def describe(self, datasets: Sequence[LabeledDataset]) -> str:
        """Test volumes and patients, phases, and labels that the data lack."""
        refs = [d.source.volumes[i] for d in datasets for i in d.volumes("test")]
        named = [ref.phase for ref in refs if ref.phase]
        phases = dict.fromkeys("frames" if name.startswith("frame") else name for name in named)
        moments = f" ({', '.join(phases)})" if phases else ""
        patients, source = {ref.patient for ref in refs}, datasets[0].source
        lacking = [name for name in source.labels[1:] if name not in annotated(source)]
        without = f", without labels of {', '.join(lacking)}" if lacking else ""
        return (
            f"{len(refs)} test volumes{moments} of {len(patients)} "
            f"patient{'s' if len(patients) > 1 else ''}{without}"
        )

    def head(self) -> dict[str, Any]:
        """The conventions of the scores, and the limits that a real-time network keeps."""
        asked = self.config.latency
        limits = {"latency_ms": asked.budget_ms, "throughput_fps": asked.min_fps}
        return {"convention": CONVENTION, "limits": limits}

    def write(
        self,
        run_dir: RunDir,
        found: Mapping[str, SegmentationEvaluation],
        contenders: Sequence[Contender],
    ) -> None:
        """Writes volumes.csv, and the overlays of the first member."""
        first, *_ = found.values()
        scores = (score for each in found.values() for score in each.scores)
        run_dir.volumes.write(volumes_csv(scores, first.part.classes))
        run_dir.overlays.write(first.examples, first.pictured)

    @cached_property
    def _derived(self) -> dict[str, dict[str, Any]]:
        return derived_facts(self.run) if self.run.dir.networks.exists() else {}
