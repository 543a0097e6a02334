"""Makes the data of the golden tests: `python -m tests.golden.make`, with the code beside it.

They say what this code has done so far, so a test that fails is no reason to make them anew.
Make them anew where a correction is meant to move a curve, in the same commit as the correction,
and say in the CHANGELOG which curves move. Ids of runs are only added: those that are stored
stay, and a new default that would change one is refused.
"""

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from resnet_study.config import RunConfig
from resnet_study.store.folder import RunFolder
from tests.comparison import curve, interrupted_at
from tests.golden import training
from tests.golden.descriptions import GOLDEN

RECORDED = training.HERE.parent.parent / "runs" / "recorded"


def store_ids() -> None:
    """Stores the defaults, and the ids and descriptions of all recorded runs."""
    known = dict(json.loads(line) for line in training.IDS.read_text("utf-8").splitlines())
    for file in RECORDED.glob("*/*/config.yaml"):
        config = RunFolder(file.parent).read_config()
        assert known.setdefault(file.parent.name, config.canonical()) == config.canonical()
    compact = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
    training.IDS.write_text(
        "".join(f"{compact(item)}\n" for item in sorted(known.items())), "utf-8"
    )
    training.DEFAULTS.write_text(json.dumps(RunConfig().to_mapping(), indent=1) + "\n", "utf-8")


def store_interrupted(config: RunConfig) -> None:
    """Stores the folder of an interrupted run, without what is of this machine alone."""
    folder = interrupted_at(config, training.STOPPED_AT)
    manifest = folder.read_manifest() or {}
    folder.write_manifest(manifest | {"host": "anywhere", "hosts": ["anywhere"]})
    shutil.rmtree(training.INTERRUPTED, ignore_errors=True)
    shutil.copytree(folder.path, training.INTERRUPTED, ignore=shutil.ignore_patterns(".lock"))


def main() -> None:
    """Entry point."""
    store_ids()
    with tempfile.TemporaryDirectory() as name:
        # Stored descriptions name no folder of this machine.
        os.chdir(name)
        here, cache = Path(name), Path(name, "cache")
        training.make_pictures(here / "pictures")
        curves = {
            run: curve(training.trained(training.described(run, here, cache), run))
            for run in GOLDEN
        }
        config = replace(training.described("resumed", here, cache), seed=3)
        places = {"data": replace(config.data, cache="cache"), "runs_dir": "runs"}
        store_interrupted(replace(config, **places))
        copy = Path(shutil.copytree(training.INTERRUPTED, here / config.run_id))
        scores = training.evaluated(copy, config)
        curves["from-unfinished"] = curve(training.started_from(copy, config))
        curves["interrupted"] = curve(training.trained(config, "interrupted"))
    numbers = {"draws": training.draws(), "scores": scores, "curves": curves}
    text = json.dumps(numbers).replace("}, ", "},\n").replace("]], ", "]],\n")
    training.NUMBERS.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
