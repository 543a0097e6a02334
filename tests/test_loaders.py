"""A DataLoader with processes of its own, in a run that is itself a worker of joblib's."""

import joblib
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from resnet_study.jobs import restore_process_starts


def loaded(context: str | None, as_elsewhere: bool) -> float | str:
    if as_elsewhere:
        restore_process_starts()
    options = {"batch_size": 10, "num_workers": 2, "multiprocessing_context": context}
    try:
        loader = DataLoader(TensorDataset(torch.arange(100.0)), **options)
        return sum(float(batch.sum()) for (batch,) in loader)
    except AttributeError as error:
        return str(error)


def in_a_worker(*arguments):
    # Workers that other tests have left would be used again, and may be about to stop.
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
    with joblib.parallel_config("loky", n_jobs=2):
        return joblib.Parallel(timeout=120)([joblib.delayed(loaded)(*arguments)] * 2)


@pytest.mark.slow
def test_a_loader_has_processes_in_a_worker():
    for context in (None, "fork", "spawn"):
        assert in_a_worker(context, True) == [4950.0] * 2
    # Where this fails loky has mended it, and what stands against it can go.
    assert "no attribute 'env'" in in_a_worker(None, False)[0]
