"""Launchers of the study on submitit: a Slurm cluster, or processes of this machine."""

from __future__ import annotations

from contextlib import suppress

from hydra.core.config_store import ConfigStore

with suppress(ImportError):
    from hydra_plugins.hydra_submitit_launcher.config import LocalQueueConf, SlurmQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import (
        LocalLauncher,
        SlurmLauncher,
    )
    from omegaconf import OmegaConf

    class StudySlurm(SlurmLauncher):
        """Each run a job of a Slurm array."""

    class StudyLocal(LocalLauncher):
        """Each run a process of this machine, so many at a time."""

    _local = OmegaConf.structured(LocalQueueConf(_target_=f"{__name__}.StudyLocal"))
    OmegaConf.set_struct(_local, False)
    _local.update({"array_parallelism": -1, "max_num_timeout": 0})
    for _name, _node in (
        ("study_slurm", SlurmQueueConf(_target_=f"{__name__}.StudySlurm")),
        ("study_local", _local),
    ):
        ConfigStore.instance().store(
            group="hydra/launcher", name=_name, node=_node, provider="resnet_study"
        )
