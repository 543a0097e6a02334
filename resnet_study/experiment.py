"""One run, from its description to its finished folder."""

from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

from resnet_study.config import RunConfig
from resnet_study.progress import Reporter
from resnet_study.store.finished import check_finished
from resnet_study.store.folder import RunFolder, RunRecord
from resnet_study.store.journal import Journal, open_journal
from resnet_study.store.loggers import check_loggers
from resnet_study.store.space import check_space
from resnet_study.store.start import check_start, put_start
from resnet_study.system.errors import ConfigError, DataError
from resnet_study.system.files import check_writable
from resnet_study.system.interruption import Interrupted, StopRequest
from resnet_study.training.events import Begun, Completed, Ended, Row
from resnet_study.training.loop import train
from resnet_study.training.session import Session
from resnet_study.training.trainer import Trainer
from resnet_study.training.world import World


def run(
    config: RunConfig, reporter: Reporter | None = None, stop: StopRequest | None = None
) -> RunRecord:
    """Trains one run to its end, from its last checkpoint if there is one.

    A run that is finished already is not trained again.

    Args:
        config: The run's description.
        reporter: Is called for each iteration and row as they come, in every process.
        stop: Checked after each iteration and within evaluations. By default SIGINT, SIGTERM,
            SIGUSR2 and SIGHUP (unless ignored, as with nohup) stop the run.

    Returns:
        The record of the run's folder: finished, or diverged.

    Raises:
        StudyError: The run cannot be trained here (then nothing has been created), or a file
            cannot be read or written.
        Interrupted: A stop was requested, and the state has been saved.
    """
    world, folder, reporter = World.here(), RunFolder.of(config), reporter or Reporter()
    with world.connected(config.device):
        if record := world.from_rank0(folder.completed):
            check_finished(config)
            return record
        session = world.on_rank0_first(partial(prepare, config, world))
        check_space([config])
        request = stop or StopRequest(worker=world.size > 1)
        with nullcontext() if stop else request:
            train_source(config, reporter, request, world)

            def wait() -> bool:
                reporter.waiting()
                return not request.requested

            with world.held_by_rank0(folder.lock(wait)) as held:
                if not held:
                    raise request.interrupted(0, config.schedule.iterations)
                if record := world.from_rank0(folder.completed):
                    return record
                with open_journal(folder, session) as journal, session.enough_memory():
                    _train(session, journal, reporter, request)
                return RunRecord(folder.path, journal.manifest)


def _train(session: Session, journal: Journal, reporter: Reporter, stop: StopRequest) -> None:
    """Trains a run whose folder this process, or rank 0, holds."""
    config = session.config
    session.prepare()
    trainer = Trainer(session)
    if saved := journal.last_checkpoint():
        trainer.resume(saved)
    start = None if saved else put_start(trainer)
    journal.begin(trainer, saved, start)
    reporter.start(config, trainer.reported)
    with closing(train(trainer, stop)) as events:
        try:
            for event in events:
                match event:
                    case Row():
                        journal.row(event)
                        reporter.row(event)
                    case Begun() if trainer.probes_due:
                        journal.probe(trainer)
                    case Completed(iteration):
                        reporter.iteration(iteration)
                        if trainer.probes_due:
                            journal.probe(trainer)
                        if iteration % config.checkpoint.every == 0:
                            journal.save(trainer)
                    case Ended(diverged=True):
                        journal.finish(diverged=True)
                    case Ended():
                        if trainer.state.iteration % config.checkpoint.every:
                            journal.save(trainer)
                        journal.finish(evaluation=trainer.evaluate_views(stop))
        except (Interrupted, DataError) as error:
            # Other processes do not know of data that one of them cannot read.
            together = isinstance(error, Interrupted) or session.world.size == 1
            if trainer.state.iteration and together:
                journal.save(trainer)
            raise


def prepare(config: RunConfig, world: World) -> Session:
    """Checks that a run can be trained here, before anything is created.

    Raises:
        StudyError: A device, a package, data or a place to write is missing.
    """
    check_loggers(config)
    check_start(config)
    check_writable(Path(config.runs_dir))
    session = Session.open(config, world)
    images = len(session.dataset.train_labels)
    if config.schedule.batch_size > images:
        allowed = f"must be at most the {images} training images"
        raise ConfigError("schedule.batch_size", config.schedule.batch_size, allowed)
    return session


def train_source(config: RunConfig, reporter: Reporter, stop: StopRequest, world: World) -> None:
    """Trains the shallower run that a run starts from, unless it is finished."""
    source = config.shallower()
    if source is None or world.from_rank0(RunFolder.of(config).checkpoint_file.exists):
        return
    # Another worker may be training it; either way it is finished before this run begins.
    record = world.from_rank0(RunFolder.of(source).completed) or run(source, reporter, stop)
    if record.state != "finished":
        allowed = f"{record.folder} {record.state}; a finished run is needed"
        raise ConfigError("start.depth", config.start.depth, allowed)
