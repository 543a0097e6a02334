"""The tables that a run writes as it goes: metrics.csv row by row, probes.csv whole."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from resnet_study.store.folder import METRICS, PROBES
from resnet_study.system.errors import StorageError
from resnet_study.system.files import reason, write_text


class MetricsLog:
    """metrics.csv, written row by row at full precision.

    Args:
        path: The file; it is begun anew.
        text: What it begins with, from a checkpoint; the header if empty.
    """

    def __init__(self, path: Path, text: str = "") -> None:
        self.path = path
        self.text = text or ",".join(METRICS) + "\n"
        write_text(path, self.text)

    def append(self, row: Mapping[str, float | int | None]) -> None:
        """Appends a row; columns that it lacks stay empty, what is no column is left out.

        Raises:
            StorageError: The file cannot be written, or has been removed or changed.
        """
        stream = io.StringIO()
        writer = csv.DictWriter(stream, METRICS, extrasaction="ignore", lineterminator="\n")
        writer.writerow(row)
        line = stream.getvalue().encode()
        try:
            # Not O_CREAT: a file that was removed under way must not come back without
            # its first rows. One write per row: a reader sees a row whole or not at all.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                size = os.fstat(descriptor).st_size
                if size != len(self.text):
                    raise StorageError("metrics", self.path, "was changed by someone else")
                if os.write(descriptor, line) != len(line):
                    os.ftruncate(descriptor, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                "metrics", self.path, f"cannot be written ({reason(error)})"
            ) from error
        self.text += line.decode()

    def seal(self) -> dict[str, int | str]:
        """Length and checksum of what has been written, for the manifest."""
        content = self.text.encode()
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


class ProbeLog:
    """probes.csv, one row per number that a probe found; written whole each time.

    Args:
        path: The file.
        iteration: Rows of later iterations are left out: the run goes on from here.

    Attributes:
        recorded: Iteration and measure of the rows there are.

    Raises:
        StorageError: The file is damaged.
    """

    def __init__(self, path: Path, iteration: int) -> None:
        self.path = path
        self.lines: dict[int, str] = {}
        self.recorded: set[tuple[int, str]] = set()
        try:
            text = path.read_text(encoding="ascii")
            for line in text[: text.rfind("\n") + 1].splitlines(keepends=True)[1:]:
                at, measure = line.split(",")[:2]
                if int(at) <= iteration:
                    self.lines[int(at)] = self.lines.get(int(at), "") + line
                    self.recorded.add((int(at), measure))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise StorageError(
                "probes", path, "is damaged; delete the run's folder to train it anew"
            ) from error

    def write(self, iteration: int, rows: Iterable[tuple[str, int, str, float]]) -> None:
        """Writes the rows of an iteration, in place of those it had.

        Args:
            iteration: Iterations completed.
            rows: Measure, position, name and value.
        """
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows((iteration, *row) for row in rows)
        self.lines[iteration] = stream.getvalue()
        header = ",".join(PROBES) + "\n"
        write_text(self.path, header + "".join(self.lines[at] for at in sorted(self.lines)))
