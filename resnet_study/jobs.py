"""A run as a job of a sweep, in a worker process of any launcher."""

import csv
import functools
import math
import multiprocessing
import os
import signal
import threading

from resnet_study.config import RunConfig
from resnet_study.store.folder import RunFolder
from resnet_study.sweep import handed_down
from resnet_study.system.errors import StudyError, warn
from resnet_study.system.interruption import Interrupted, NotDone, StopRequest, leave_with_parent

# Held while a job runs: a worker whose parent is gone saves its run before it ends.
_BUSY = threading.Lock()


def run_job(job: str | RunConfig, sweeper: str) -> float:
    """Trains a run as a job of a sweep.

    Args:
        job: The run, or the argument that `sweep.hand_down` encoded it in.
        sweeper: Name of the sweeper that gets the result.

    Returns:
        What a sweeper minimises, in percent: the last error on held-out images, or on the test
        set where none are held out; infinity for a run that diverged.

    Raises:
        NotDone: The job was stopped.
        StudyError: The run cannot be trained.
        RuntimeError: It failed; its folder holds the traceback.
    """
    # Before torch is imported, so that a stop is heard meanwhile.
    stop = worker_stop()
    from resnet_study.experiment import run

    restore_process_starts()
    if isinstance(job, str):
        folder, config = handed_down(job)
        os.chdir(folder)
    else:
        config = job
    if stop.requested:
        raise NotDone(stop.signal_number or signal.SIGTERM)
    try:
        with _BUSY:
            record = run(config, stop=stop)
    except Interrupted as request:
        raise NotDone(request.signal_number or signal.SIGTERM) from None
    except StudyError:
        raise
    except Exception as error:
        # This error can be sent to another process, whatever its cause holds.
        raise RuntimeError(f"{type(error).__name__}: {error}") from error
    if record.state != "finished":
        return math.inf
    # These two sweepers ignore a job's result.
    if not config.data.validation_images and sweeper not in ("study", "basic"):
        _warn_of_test_errors()
    rows = list(csv.DictReader(RunFolder(record.folder).read_metrics().splitlines()))
    return float(rows[-1]["test_error"])


@functools.cache
def _warn_of_test_errors() -> None:
    """Warns, once, that a sweeper optimises the test error."""
    warn("the sweeper optimises the test error; hold images out: data.validation_images=5000")


@functools.cache
def worker_stop() -> StopRequest:
    """The stop request of all jobs in this process: once stopped, it takes no further job.

    A launcher that runs jobs in the sweep's own process shares the sweep's request.
    """
    if StopRequest.active is not None:
        return StopRequest.active
    stop = StopRequest(worker=True).__enter__()
    leave_with_parent(stop, _BUSY)
    return stop


def restore_process_starts() -> None:
    """Restores the system's way of starting processes in a worker of joblib.

    loky sets its own, with which the workers of a DataLoader fail ("'Process' object has no
    attribute 'env'"), as do those of a context named "spawn".
    """
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)
