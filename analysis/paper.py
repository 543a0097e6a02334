"""The published numbers of He et al. 2015 (arXiv:1512.03385), as facts with their source.

Figure 6 is decoded from the paper's vector graphics, good to about ±0.1 points. Its axis is
cut at 20 %, so each curve begins where it falls below that; plain-110 stays above 60 % and
is not in it.
"""

from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parent / "data"

# Table 6, CIFAR-10 with augmentation, test error (%). ResNet-110: the mean of the paper's
# five runs (± 0.16), since ours are means over seeds, too; the best of the five is 6.43.
TABLE6_TEST_ERROR = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}

# Training and validation images and classes of ILSVRC 2012 (§4.1).
IMAGENET = {"train_images": 1_281_167, "test_images": 50_000, "classes": 1000}

# Iterations after which the paper's learning rate falls to a tenth (§4.2), and its sum over all
# 64,000 iterations.
MILESTONES = (32_000, 48_000)
ITERATIONS = 64_000
RATE_SUM = 3376.0

# The top of Figure 6's error axis, in percent.
FIGURE6_TOP = 20.0


def figure6_curves() -> pd.DataFrame:
    """Figure 6's curves in the form of `load_runs`, one run per network.

    Returns:
        The columns of `load_runs` that have a meaning here: description, `iteration`,
        `train_error` and `test_error` (percent), missing where the other was decoded,
        `learning_rate`, `phase` and `started`.
        `data` is "CIFAR-10" and `schedule` "paper".
    """
    curves = pd.read_csv(DATA / "he2015_figure6_curves.csv").replace(
        {"train": "train_error", "test": "test_error"}
    )
    keys = ["network", "depth", "iteration"]
    wide = curves.pivot_table("error_percent", keys, "split").reset_index()
    runs = wide.rename(columns={"network": "kind"})
    falls = np.searchsorted(MILESTONES, runs["iteration"], side="left")
    return runs.assign(
        run_id="he2015-" + runs["kind"] + "-" + runs["depth"].astype(str),
        shortcut=runs["kind"].map({"residual": "A"}).astype("string"),
        seed=0,
        data="CIFAR-10",
        schedule="paper",
        experiment="He et al. 2015, Figure 6",
        state="finished",
        variant="",
        settings="",
        paper_iterations=ITERATIONS,
        clean_train_error=np.nan,
        learning_rate=0.1 / 10.0**falls,
        phase=falls,
        # Each curve begins after the network has left chance.
        started=True,
    )


def shared_iterations(runs: pd.DataFrame) -> int:
    """Iterations in which all runs follow the paper's protocol; only there do errors compare."""
    return 0 if runs.empty else int(runs["paper_iterations"].min())


def imagenet_errors(source: str) -> pd.DataFrame:
    """Validation errors on ImageNet in percent.

    Args:
        source: "Tables 2 and 3", of 10-crop testing (Table 2, the only one with 18 layers, has no
            top-5 errors), or "Table 4", of images at five scales.

    Returns:
        `family, depth, paper_top1_error, paper_top5_error`.
    """
    errors = pd.read_csv(DATA / "he2015_imagenet_errors.csv")
    return errors[errors["source"] == source].drop(columns="source")


def of_the_papers_protocol(runs: pd.DataFrame) -> bool:
    """Whether runs are of CIFAR-10 at the paper's whole schedule."""
    return shared_iterations(runs) == ITERATIONS
