"""Run ids are stable, and wrong values are named."""

import pytest

from resnet_study.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    StartConfig,
    WarmupConfig,
)


def test_ids_of_known_runs_do_not_change():
    """These ids stand in recorded folders: a change here orphans them."""
    assert RunConfig().canonical() == {}
    assert RunConfig().run_id == "residual-A-020-s0-44136f"
    quick = RunConfig(
        model=ModelConfig(kind="plain", depth=56, width=8, shortcut="B"),
        data=DataConfig(name="shapes", resolution=16, augment=AugmentConfig(padding=2)),
        seed=1,
    )
    assert quick.canonical() == {
        # A plain network has no shortcut, whatever is given.
        "model": {"kind": "plain", "depth": 56, "shortcut": None, "width": 8},
        "data": {"name": "shapes", "resolution": 16, "augment": {"padding": 2}},
        "seed": 1,
    }
    assert quick.run_id == "plain-056-w8-shapes-r16-s1-e0f470"


def test_a_leading_tilde_is_the_users_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    data, start = DataConfig(root="~/data", cache="~/c"), StartConfig(run="~/a/b")
    config = RunConfig(runs_dir="~/runs", data=data, start=start)
    paths = config.runs_dir, config.data.root, config.data.cache, config.start.run
    assert paths == ("/home/me/runs", "/home/me/data", "/home/me/c", "/home/me/a/b")
    assert RunConfig(runs_dir="./~", data=DataConfig(root="a~")).runs_dir == "./~"
    # There is no such user, so this is a folder's name.
    assert RunConfig(runs_dir="~nobody-has-this/x").runs_dir == "~nobody-has-this/x"


ELSEWHERE = [
    {"runs_dir": "elsewhere", "experiment_name": "other", "device": "cpu", "threads": 2},
    {"data": DataConfig(root="elsewhere", cache="elsewhere")},
]
OTHERWISE = [
    {"seed": 1},
    {"precision": "bf16"},
    {"model": ModelConfig(init="xavier")},
    {"model": ModelConfig(head_std=0.01)},
    {"schedule": ScheduleConfig(eval_statistics="recomputed")},
    {"data": DataConfig(augment=AugmentConfig(flip=False))},
    {"schedule": ScheduleConfig(warmup=WarmupConfig(iterations=7))},
    {"schedule": ScheduleConfig(weight_decay=0.0)},
]


@pytest.mark.parametrize("change", [*ELSEWHERE, *OTHERWISE])
def test_an_id_tells_what_moves_a_curve_and_not_where_it_is_trained(change):
    assert (RunConfig(**change).run_id == RunConfig().run_id) == (change in ELSEWHERE)


def test_an_image_folder_is_known_by_its_name_not_its_place():
    def of(root, label=None):
        return RunConfig(data=DataConfig(name="image_folder", root=root, label=label)).run_id

    assert of("/a/photos") == of("/b/photos") != of("/a/paintings")
    assert of("/a/photos", "paintings") == of("/a/paintings")


def test_warmup_needs_an_end_and_depth_to_apply():
    assert not WarmupConfig(until_error=None).applies_to(110)
    assert [WarmupConfig().applies_to(depth) for depth in (56, 110, 1202)] == [False, True, True]
