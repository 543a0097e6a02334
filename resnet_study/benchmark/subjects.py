"""What the benchmark measures: networks at the paper's scale and at the quick one."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_study.config import (
    AugmentConfig,
    CheckpointConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    WarmupConfig,
)
from resnet_study.system.errors import ConfigError

NEVER = 10**7


@dataclass(frozen=True)
class Subject:
    """A residual network with option A, on the embedded shapes, at one of two scales.

    Plain networks differ from it by additions, and take the same time to a few percent.

    Attributes:
        depth: Weighted layers.
        scale: "paper" (width 16, 32×32 pixels, batches of 128, a row each 100 and a
            checkpoint each 1,000 iterations) or "quick" (8, 16×16, 64, 50, 250).
    """

    depth: int
    scale: str = "paper"

    @property
    def name(self) -> str:
        return f"{'ResNet' if self.scale == 'paper' else 'quick'}-{self.depth}"

    @property
    def checkpoint_every(self) -> int:
        """Iterations between two checkpoints, at the subject's scale."""
        return 1000 if self.scale == "paper" else 250

    @classmethod
    def named(cls, name: str) -> Subject:
        """The subject of a name such as "ResNet-56" or "quick-20".

        Raises:
            ConfigError: There is none of this name.
        """
        family, _, digits = name.partition("-")
        depth = int(digits) if digits.isdecimal() else 0
        if family not in ("ResNet", "quick") or depth < 8 or (depth - 2) % 6:
            allowed = "allowed are ResNet-DEPTH and quick-DEPTH, depth 6n+2"
            raise ConfigError("networks", name, allowed)
        return cls(depth, "paper" if family == "ResNet" else "quick")

    def config(
        self,
        runs_dir: str,
        precision: str,
        device: str,
        threads: int | None,
        seed: int = 0,
    ) -> RunConfig:
        """A run of this network without an end, evaluations and checkpoints: it is stopped."""
        paper = self.scale == "paper"
        return RunConfig(
            model=ModelConfig("residual", self.depth, "A", width=16 if paper else 8),
            data=DataConfig(
                name="shapes",
                resolution=None if paper else 16,
                augment=AugmentConfig(padding=4 if paper else 2),
            ),
            schedule=ScheduleConfig(
                iterations=NEVER,
                batch_size=128 if paper else 64,
                learning_rate=0.01,
                milestones=(),
                log_every=100 if paper else 50,
                eval_every=NEVER,
                eval_train_images=1000,
                warmup=WarmupConfig(iterations=None, until_error=None),
            ),
            checkpoint=CheckpointConfig(every=NEVER),
            precision=precision,
            device=device,
            threads=threads,
            seed=seed,
            runs_dir=runs_dir,
            experiment_name="benchmark",
        )


DEFAULT = tuple(Subject(depth, scale) for scale in ("paper", "quick") for depth in (20, 56, 110))
