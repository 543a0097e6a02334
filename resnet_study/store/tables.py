"""The tables that a run writes: metrics.csv row by row, probes.csv whole each time."""

import csv
import errno
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from resnet_study.store.folder import METRICS, PROBES
from resnet_study.system.errors import StorageError
from resnet_study.system.files import storage, write_text
from resnet_study.training.events import Row


class MetricsTable:
    """metrics.csv, written row by row at full precision.

    Args:
        path: The file; an older one is replaced.
        text: Its header and first rows, from a checkpoint; if empty, the header is written.
    """

    def __init__(self, path: Path, text: str = "") -> None:
        self.path = path
        self.text = text or ",".join(METRICS) + "\n"
        write_text(path, self.text)

    def append(self, row: Row) -> None:
        """Appends a row; values that it lacks stay empty.

        Raises:
            StorageError: The file cannot be written, or has been removed or changed.
        """
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(getattr(row, name) for name in METRICS)
        line = text.getvalue().encode()
        # Not opened to append, which would bring a removed file back without its first rows.
        written = storage("metrics", self.path, "cannot be written")
        with written, self.path.open("r+b", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            if size != len(self.text):
                raise StorageError("metrics", self.path, "was changed by another program")
            # One write per row, so that a reader sees a row whole or not at all.
            if stream.write(line) != len(line):
                stream.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.text += line.decode()

    def rows(self) -> Iterator[Row]:
        """The rows so far."""
        for columns in csv.DictReader(io.StringIO(self.text)):
            values = {name: float(value) for name, value in columns.items() if value}
            yield Row(int(values.pop("iteration")), **values)

    def seal(self) -> dict[str, int | str]:
        """Length in bytes and SHA-256 of the rows so far, for the manifest."""
        content = self.text.encode()
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


class ProbesTable:
    """probes.csv, one row per measurement; written whole each time.

    Args:
        path: The file.
        iteration: Rows of later iterations are dropped, as the run resumes here.

    Attributes:
        recorded: Iteration and measure of the existing rows.

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
                "probes", path, "is damaged; delete the run's folder and train again"
            ) from error

    def write(self, iteration: int, rows: Iterable[tuple[str, int, str, float]]) -> None:
        """Writes the rows of an iteration, replacing earlier ones of the same iteration.

        Args:
            iteration: Iterations completed.
            rows: Measure, position, name and value, as in `Measurement`.
        """
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows((iteration, *row) for row in rows)
        self.lines[iteration] = stream.getvalue()
        header = ",".join(PROBES) + "\n"
        write_text(self.path, header + "".join(self.lines[at] for at in sorted(self.lines)))
