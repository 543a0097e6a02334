"""The published numbers of He et al. 2015 (arXiv:1512.03385), as facts with their source.

Figure 6 is decoded from the paper's vector graphics, good to about ±0.1 points. Its axis is
cut at 20 %, so each curve begins where it falls below that; plain-110 stays above 60 % and
is not in it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FIGURE6_FILE = Path(__file__).resolve().parent / "data" / "he2015_figure6_curves.csv"

# Table 6, CIFAR-10 with augmentation, test error (%). ResNet-110: the mean of the paper's
# five runs (± 0.16), which compares with means over seeds; the best of them is 6.43.
TABLE6_TEST_ERROR = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}

# Figure 7, standard deviation of layer responses, mean over layers.
FIGURE7_RESPONSES = {
    ("plain", 20): 1.82,
    ("plain", 56): 1.52,
    ("residual-A", 20): 1.62,
    ("residual-A", 56): 1.13,
    ("residual-A", 110): 0.99,
}

# Figure 6 shows errors up to this.
FIGURE6_TOP = 20.0


def figure6_curves() -> pd.DataFrame:
    """Figure 6's curves in the form of `load_runs`, one run per network.

    Returns:
        The columns of `load_runs` that have a meaning here: description, `iteration`,
        `train_error` and `test_error` (percent), missing where the other was decoded.
        `data` is "CIFAR-10" and `schedule` "paper".
    """
    curves = pd.read_csv(FIGURE6_FILE)
    wide = curves.pivot_table(
        index=["network", "depth", "iteration"], columns="split", values="error_percent"
    ).reset_index()
    residual = wide["network"] == "residual"
    shortcut = pd.Series("A", index=wide.index, dtype="string").where(residual)
    return pd.DataFrame(
        {
            "run_id": "he2015-" + wide["network"] + "-" + wide["depth"].astype(str),
            "kind": wide["network"],
            "shortcut": shortcut,
            "depth": wide["depth"],
            "seed": 0,
            "data": "CIFAR-10",
            "schedule": "paper",
            "experiment": "He et al. 2015, Figure 6",
            "state": "finished",
            "variant": "",
            "settings": "",
            "iteration": wide["iteration"],
            "train_error": wide["train"],
            "test_error": wide["test"],
            "clean_train_error": float("nan"),
        }
    )


def of_the_papers_protocol(runs: pd.DataFrame) -> bool:
    """Whether runs may be set beside the paper's: CIFAR-10 and every setting as there."""
    if runs.empty or "settings" not in runs:
        return False
    return set(runs["settings"]) == {""} and set(runs["data"]) == {"CIFAR-10"}
