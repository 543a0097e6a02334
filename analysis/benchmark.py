"""Command line: `python -m analysis.benchmark runs/benchmark` draws what was measured."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures.files import rendered, write_pictures
from analysis.figures.throughput import throughput
from analysis.tables import text_as_markdown
from resnet_study.system.command import command
from resnet_study.system.errors import StorageError
from resnet_study.system.files import expanded, reason, write_text

FILE = "benchmark.json"


@command
def main(arguments: list[str] | None = None) -> None:
    """Draws the figure of a benchmark next to its file."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.benchmark",
        description="Draws figures and a table of what python -m resnet_study.benchmark measured.",
    )
    parser.add_argument(
        "folder", type=expanded, help=f"the folder of {FILE}, such as runs/benchmark"
    )
    options = parser.parse_args(arguments)
    print(*draw(options.folder), sep="\n")


def draw(folder: Path) -> list[Path]:
    """Writes a figure and a table of the measurements into their folder.

    Returns:
        The paths written.

    Raises:
        StorageError: The folder holds no measurements, or cannot be written.
    """
    result = read(folder / FILE)
    machine = result["machine"]
    about = (
        f"{machine['device_name']}, {machine['cores']} cores, "
        f"torch {machine['versions']['torch']}, kernels: {machine['kernels']}."
    )
    measurements = pd.DataFrame(result["measurements"])
    write_text(folder / "speeds.md", text_as_markdown(speeds(measurements)))
    drawn = write_pictures(rendered(throughput(measurements, about)), folder / "throughput")
    return [folder / "speeds.md", *drawn]


def speeds(measurements: pd.DataFrame) -> pd.DataFrame:
    """Images per second of each recipe, as text, and the last recipe's share of the ceiling.

    Args:
        measurements: One row per network and recipe, as in benchmark.json.

    Returns:
        One row per network.
    """
    rows = []
    for network, part in measurements.groupby("network", sort=False):
        row = {"network": str(network)}
        for record in part.to_dict("records"):
            speed = f"{record['images_per_second']:,.0f}"
            if record["recipe"] == "conventional":
                row["conventional"] = speed
            else:
                title = f"{record['recipe']}, {record['precision']}"
                row[title] = f"{speed} ({record['times_conventional']:.1f}×)"
        # Of the last recipe.
        row[f"of the {record['precision']} ceiling"] = f"{100 * record['share_of_ceiling']:.0f} %"
        rows.append(row)
    return pd.DataFrame(rows)


def read(path: Path) -> dict[str, Any]:
    """Reads the file of a benchmark.

    Raises:
        StorageError: The file cannot be read, or is not a benchmark's.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not result["measurements"] or "device_name" not in result["machine"]:
            raise ValueError
    except OSError as error:
        raise StorageError("benchmark", path, f"cannot be read ({reason(error)})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            "benchmark", path, "must be a file of python -m resnet_study.benchmark"
        ) from error
    return result


if __name__ == "__main__":
    sys.exit(main())
