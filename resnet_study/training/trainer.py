"""A network in training: weights, momentum, the loop's state, and the step that updates them."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any, TypeVar

from resnet_study.config import StartConfig
from resnet_study.models.staged import StagedNet
from resnet_study.probes import Measurement, probe
from resnet_study.system.interruption import StopRequest
from resnet_study.training.checkpoint import Checkpoint, restore
from resnet_study.training.events import Row
from resnet_study.training.schedule import ended, learning_rate, row_pending
from resnet_study.training.session import Session
from resnet_study.training.state import TrainingState
from resnet_study.training.step import Tensors, build_optimizer, step_class

T = TypeVar("T")


class Trainer:
    """Trains the network of a session; begins with its initial weights.

    Args:
        session: A prepared session.

    Attributes:
        network: On the device; a caller may put other weights into it before training.
        optimizer: Its optimiser.
        state: What the loop carries along.
        step: Carries out one iteration.
        fresh: Whether nothing is trained yet.
    """

    def __init__(self, session: Session) -> None:
        config, world = session.config, session.world
        self.session = session
        self.world = world
        self.schedule = config.schedule
        self.network = session.build(in_parts=True)
        self.optimizer = build_optimizer(self.network, self.schedule)
        self.state = TrainingState.initial(self.schedule, config.model.depth, session.device)
        self.fresh = True
        self.step = step_class(session.device, world.size)(
            world.data_parallel(self.network),
            self.optimizer,
            config.precision,
            self.state,
            session.data.batches.assemble,
            1 / world.size,
            ahead=session.data.ahead,
        )

    def resume(self, saved: Checkpoint) -> None:
        """Continues from a checkpoint, which all processes are given."""
        self.state = restore(saved, self.network, self.optimizer, self.session.device)
        self.step.state = self.state
        self.fresh = False
        if not self.world.first:
            # A checkpoint holds the sums over all processes; rank 0 carries them on.
            self.state.loss_sum.zero_()
            self.state.wrong.zero_()

    @property
    def train_images(self) -> int:
        """Images in an epoch."""
        return len(self.session.dataset.train_labels)

    @property
    def starts_from_weights(self) -> bool:
        """Whether the run begins with weights that were trained before."""
        return self.session.config.start != StartConfig()

    @property
    def learning_rate(self) -> float:
        """Rate of the next iteration."""
        state = self.state
        return learning_rate(self.schedule, state.iteration, state.warming, state.drops)

    @property
    def reported(self) -> int:
        """Iterations that are complete, with their rows and probes."""
        return self.state.iteration - row_pending(self.schedule, self.state)

    @property
    def probes_due(self) -> bool:
        """Whether to probe the network as it is now."""
        probes, done = self.session.config.probes, self.state.iteration
        # The schedule's last iteration stands for the trained network, also after an early end.
        last = self.schedule.iterations if ended(self.schedule, self.state) else done
        return probes.active and not {done, last}.isdisjoint(probes.at)

    def batches(self) -> Generator[Tensors]:
        """This rank's share of each mini-batch from the next iteration on, without end."""
        return self.session.data.batches.starting_at(self.state.iteration, self.world.share)

    def evaluate(self, row: Row, stop: StopRequest) -> None:
        """Adds losses and errors in evaluation mode to a row.

        Raises:
            Interrupted: A stop was requested; the row is not complete.
        """
        data = self.session.data
        self.average_statistics()
        network = self._evaluated(stop)
        clean = data.clean_train.chunks(data.chunk, self.world.shard)
        scores = self.session.evaluate(network, self._stop_checked(clean, stop))
        row.clean_train_loss, row.clean_train_error = scores.loss, scores.error
        test = data.test.chunks(data.chunk, self.world.shard)
        scores = self.session.evaluate(network, self._stop_checked(test, stop))
        row.test_loss, row.test_error = scores.loss, scores.error

    def evaluate_views(self, stop: StopRequest) -> dict[str, dict[str, Any]]:
        """Scores of the trained network by view, such as "ten_crop"; empty without views.

        Raises:
            Interrupted: A stop was requested.
        """
        found, views = {}, self.session.data.views
        network = self._evaluated(stop) if views else self.network
        for view, chunks in views.items():
            batches = self._stop_checked(chunks(self.world.shard), stop)
            found[view] = asdict(self.session.evaluate(network, batches))
        self.merge_skipped()
        return found

    def _evaluated(self, stop: StopRequest) -> StagedNet:
        """The network as it is evaluated, with statistics of the next mini-batches if recomputed.

        What is drawn for these follows from seed and iteration, so training goes on unchanged.
        """
        return self.session.evaluated(self.network, self._stop_checked(self.batches(), stop))

    def _stop_checked(self, batches: Generator[T], stop: StopRequest) -> Generator[T]:
        """Checks for a stop request between batches; several processes agree on it.

        So one that has run out of batches keeps answering until all have.
        """
        with closing(batches):
            while True:
                batch = next(batches, None)
                stopped, left = self.world.any_of(stop.requested, batch is not None)
                if stopped:
                    raise stop.interrupted(self.state.iteration, self.schedule.iterations)
                if batch is not None:
                    yield batch
                elif not left:
                    return

    def average_statistics(self) -> None:
        """Averages batch norm's running statistics over the processes, which all call this."""
        self.world.average_statistics(self.network, self.session.config.batch_norm_parts)

    def merge_skipped(self) -> None:
        """Shares the paths of images that could not be read; all processes call this."""
        skipped = self.session.dataset.skipped
        skipped[:] = self.world.union(skipped)

    def gathered_state(self) -> TrainingState:
        """The state of all processes as a checkpoint holds it; all call this together."""
        self.merge_skipped()
        self.average_statistics()
        loss_sum, wrong = self.world.total(self.state.loss_sum), self.world.total(self.state.wrong)
        return replace(self.state, loss_sum=loss_sum, wrong=wrong)

    def probe(self) -> Iterator[Measurement]:
        """Applies the configured probes to the network, or to a copy that ignores parts."""
        session, network = self.session, self.network
        if session.in_parts:
            network = session.build()
            network.load_state_dict(self.network.state_dict())
        data, probes = session.data, session.config.probes
        sample = data.clean_train.spread(probes.images)
        yield from probe(probes, network, sample, data.train.chunks(data.chunk))
