"""One iteration: forwards, backwards, update; on a GPU as one captured graph."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config import ScheduleConfig
from resnet_study.system.errors import warn
from resnet_study.training.optimizers import OPTIMIZERS
from resnet_study.training.state import TrainingState

Tensors = tuple[torch.Tensor, ...]
# Before a capture, libraries must be initialised, and the optimiser must have its tensors.
EAGER_ITERATIONS = 3


def build_optimizer(network: nn.Module, schedule: ScheduleConfig) -> torch.optim.Optimizer:
    """The schedule's optimiser, for a network that is on its device.

    A CUDA graph fixes a rate that is a number, but reads one that is a tensor. So on a GPU a
    rate that changes in every iteration is a tensor, in float32, which is what torch's fused
    kernels take. Any other rate is a number, which loses nothing to rounding.
    """
    parameters = list(network.parameters())
    device = parameters[0].device
    rate: float | torch.Tensor = schedule.learning_rate
    if schedule.changes_each_iteration and device.type == "cuda":
        rate = torch.tensor(rate, device=device)
    return OPTIMIZERS[schedule.optimizer].build(parameters, rate, schedule)


def forward(network: nn.Module, images: torch.Tensor, precision: str) -> torch.Tensor:
    """Logits in float32, computed under bf16 autocast where `precision` is "bf16"."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits: torch.Tensor = network(images)
    return logits.float()


@dataclass(eq=False)
class Step:
    """Carries out one iteration, operation by operation.

    Attributes:
        network: In training mode, on the device.
        optimizer: Its learning rate is set in each iteration.
        precision: "fp32" or "bf16".
        state: Its sums of losses and errors stay on the device, so that nothing waits for them.
        assemble: Makes images `(N, 3, H, W)` and labels `(N,)` from the tensors of a batch; by
            default the batch consists of these two.
        share: This process's share of a mini-batch, 1 over the number of processes.
        ahead: Largest number of iterations that may wait for a GPU; None for no limit. Only with
            a limit does the time until the next batch show whether the GPU waits for it.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    precision: str
    state: TrainingState
    assemble: Callable[..., Tensors] | None = None
    share: float = 1
    ahead: int | None = None
    _launched: deque[torch.cuda.Event] = field(default_factory=deque, init=False)

    def __call__(self, batch: Tensors, rate: float) -> None:
        """Trains on one batch at a learning rate."""
        self._set(rate)
        self._iterate(batch)

    def hold_back(self) -> None:
        """Waits until at most `ahead` iterations are left for a GPU to do."""
        if self.ahead is None or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            return
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._launched.append(event)
        if len(self._launched) > self.ahead:
            self._launched.popleft().synchronize()

    def _set(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _iterate(self, batch: Tensors) -> None:
        images, labels = self.assemble(*batch) if self.assemble else batch
        logits = forward(self.network, images, self.precision)
        loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.state.loss_sum += loss.detach() if self.share == 1 else self.share * loss.detach()
        self.state.wrong += (logits.detach().argmax(dim=1) != labels).sum()


class CapturedStep(Step):
    """Carries out one iteration, augmentation included, as a CUDA graph that is replayed.

    These networks consist of hundreds of small kernels, and a GPU finishes one before the CPU
    has launched the next; a graph launches them all at once. The kernels are those of eager
    training, and so is the curve. A graph fixes a learning rate that is a number, so that each of
    a schedule's few changes needs a new capture; a rate that is a tensor is filled before each
    replay. If a capture fails, training continues eagerly with a warning.
    """

    eager_left: float = EAGER_ITERATIONS
    inputs: Tensors | None = None
    held: float | torch.Tensor | None = None
    replay: Callable[[], None] | None = None

    def __call__(self, batch: Tensors, rate: float) -> None:
        """Trains on one batch at a learning rate; batches must not change their shapes."""
        if self.eager_left > 0:
            self.eager_left -= 1
            super().__call__(batch, rate)
            return
        if self.inputs is None:
            self.inputs = tuple(tensor.clone() for tensor in batch)
        for place, tensor in zip(self.inputs, batch, strict=True):
            place.copy_(tensor)
        self._set(rate)
        rate_now = self.optimizer.param_groups[0]["lr"]
        if rate_now is not self.held and rate_now != self.held:
            self.replay, self.held = None, rate_now
            try:
                self.replay = self._capture()
            except RuntimeError as error:
                warn(f"no CUDA graph ({str(error).splitlines()[0]}); training goes on eagerly")
        if self.replay is None:
            # Outside the handler, whose traceback would keep the memory of the capture.
            self.eager_left, self.inputs = float("inf"), None
            self.optimizer.zero_grad(set_to_none=True)
            super().__call__(batch, rate)
            return
        self.replay()

    def _capture(self) -> Callable[[], None]:
        """Records an iteration on `inputs` for replay; recording itself trains nothing."""
        assert self.inputs is not None
        graph = torch.cuda.CUDAGraph()
        former = torch.cuda.current_stream()
        try:
            # Other runs may share this process; their calls must not disturb the capture.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._iterate(self.inputs)
        finally:
            # Older versions of torch stay on the capture's stream after a failure.
            torch.cuda.set_stream(former)
        return graph.replay


def step_class(device: torch.device, processes: int = 1) -> type[Step]:
    """The kind of step for a device and a number of processes that train together."""
    # A graph holds no communication between processes.
    return CapturedStep if device.type == "cuda" and processes == 1 else Step
