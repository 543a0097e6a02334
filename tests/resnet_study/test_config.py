"""Run ids are stable, and wrong values are named."""

import json
from dataclasses import replace

import pytest

from resnet_study.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    WarmupConfig,
)
from resnet_study.errors import ConfigError


def test_ids_of_known_runs_do_not_change():
    """These ids stand in recorded folders: a change here orphans them."""
    assert RunConfig().canonical() == {}
    assert RunConfig().run_id == "residual-A-020-s0-44136f"
    quick = RunConfig(
        model=ModelConfig(kind="plain", depth=56, width=8),
        data=DataConfig(name="shapes", resolution=16, augment=AugmentConfig(padding=2)),
        seed=1,
    )
    assert quick.canonical() == {
        "model": {"kind": "plain", "depth": 56, "shortcut": None, "width": 8},
        "data": {"name": "shapes", "resolution": 16, "augment": {"padding": 2}},
        "seed": 1,
    }
    assert quick.run_id == "plain-056-w8-shapes-r16-s1-e0f470"


def test_a_plain_network_has_no_shortcut_whatever_is_given():
    ids = {
        RunConfig(model=ModelConfig(kind="plain", shortcut=option)).run_id
        for option in ("A", "B", "C", None)
    }
    assert len(ids) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"runs_dir": "elsewhere"},
        {"experiment_name": "other"},
        {"device": "cpu"},
        {"threads": 2},
        {"data": DataConfig(root="elsewhere", cache="elsewhere")},
    ],
)
def test_where_a_run_is_executed_is_not_part_of_its_id(change):
    assert RunConfig(**change).run_id == RunConfig().run_id


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"precision": "bf16"},
        {"model": ModelConfig(init="xavier")},
        {"data": DataConfig(augment=AugmentConfig(flip=False))},
        {"schedule": ScheduleConfig(warmup=WarmupConfig(iterations=7))},
        {"schedule": ScheduleConfig(weight_decay=0.0)},
    ],
)
def test_what_moves_a_curve_is_part_of_the_id(change):
    assert RunConfig(**change).run_id != RunConfig().run_id


def test_an_image_folder_is_known_by_its_name_not_its_place():
    def of(root, label=None):
        return RunConfig(data=DataConfig(name="image_folder", root=root, label=label))

    assert of("/a/photos").run_id == of("/b/photos").run_id
    assert of("/a/photos").run_id != of("/a/paintings").run_id
    assert of("/a/photos", "paintings").run_id == of("/a/paintings").run_id


def test_a_description_survives_the_way_through_text():
    config = RunConfig(schedule=ScheduleConfig(milestones=(10, 20), weight_decay=5e-5))
    again = RunConfig.from_mapping(json.loads(json.dumps(config.to_mapping())))
    assert again == config


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ModelConfig(depth=21), "model.depth=21: allowed is 6n+2"),
        (lambda: ModelConfig(depth=2), "model.depth=2: allowed is an integer >= 8"),
        (lambda: ModelConfig(depth=True), "model.depth=True: allowed is an integer"),
        (lambda: ModelConfig(kind="dense"), "model.kind=dense: allowed are plain, residual"),
        (lambda: ModelConfig(shortcut="D"), "model.shortcut=D: allowed are A, B, C, or null"),
        (lambda: ModelConfig(kind="plain", shortcut="D"), "model.shortcut=D: allowed"),
        (lambda: ModelConfig(shortcut=None), "model.shortcut=null: a residual network needs"),
        (lambda: ModelConfig(layers_per_block=4), "divisors 1, 2, 3, 6"),
        (
            lambda: ScheduleConfig(iterations=100, milestones=(50, 100)),
            "schedule.milestones=[50, 100]: allowed are increasing iterations before the end",
        ),
        (lambda: ScheduleConfig(milestones=(5, 5)), "schedule.milestones=[5, 5]"),
        (lambda: ScheduleConfig(milestones="5"), "schedule.milestones=5: allowed is a list"),
        (lambda: ScheduleConfig(learning_rate=0), "schedule.learning_rate=0: allowed is a"),
        (lambda: ScheduleConfig(learning_rate=float("nan")), "schedule.learning_rate=nan"),
        (lambda: DataConfig(name="image_folder"), "data.root=null: allowed is a folder"),
        (lambda: RunConfig(precision="fp16"), "precision=fp16: allowed are fp32, bf16"),
        (lambda: RunConfig(seed=-1), "seed=-1: allowed is an integer >= 0"),
        (lambda: RunConfig(experiment_name="../up"), "experiment_name=../up: allowed"),
        (lambda: RunConfig.from_mapping({"sede": 1}), "sede=1: unknown; known are model,"),
        (lambda: RunConfig.from_mapping({"model": 3}), "model=3: allowed is a group"),
    ],
)
def test_wrong_values_are_named_in_one_line(build, message):
    with pytest.raises(ConfigError) as caught:
        build()
    assert str(caught.value).startswith(message) or message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_warmup_needs_an_end_and_depth_to_apply():
    assert not WarmupConfig(until_error=None).applies_to(110)
    paper = WarmupConfig()
    assert [paper.applies_to(depth) for depth in (56, 110, 1202)] == [False, True, True]


def test_the_default_description_is_frozen():
    with pytest.raises(AttributeError):
        RunConfig().seed = 3  # type: ignore[misc]
    assert replace(RunConfig(), seed=3).seed == 3
