"""A run as an event file of TensorBoard.

The messages and the record writer are TensorBoard's own. Its `EventFileWriter` is not used, because it imports all of
TensorFlow where that is installed, and reports a full disk from a thread. Scalars have 32 bits, because TensorBoard's
data server leaves out scalars of 64 bits: numbers below 1e-45 become 0, numbers above 3e38 infinite. Histograms have 64
bits.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradlab import run_folder
from gradlab.errors import UserError
from gradlab.tables import Tables
from gradlab.views.export.steps import Histogram, id_of, recorded_steps
from gradlab.views.export.text import texts
from gradlab.writing import replacing


def write_tensorboard(run: Tables, folder: Path) -> Path:
    """Write all that a run has recorded as one event file, which replaces those of earlier exports of this run.

    Raises:
        UserError: TensorBoard is not installed.
    """
    try:
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise UserError("--to tensorboard needs TensorBoard", fix="pip install 'gradlab[tensorboard]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    ours = f".gradlab-{re.sub('[^0-9A-Za-z]', '-', id_of(run))}"  # foreign event files stay
    old = {file for file in folder.glob("events.out.tfevents.*") if file.name.endswith(ours)}
    new = folder / f"events.out.tfevents.{time.time_ns():020d}{ours}"
    with replacing(new) as temporary:
        with temporary.open("wb") as file:
            records = RecordWriter(file)
            for event in _events(run):
                records.write(event.SerializeToString())
        for file_of_before in old - {new}:
            file_of_before.unlink(missing_ok=True)
    return folder


def _events(run: Tables) -> Iterator[Any]:
    """The events of a file in their order: one for each step, at the time when the step ended."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary

    start = run_folder.started(run.path)
    yield Event(wall_time=start, file_version="brain.Event:2")
    # A TensorBoard that shows the previous export then forgets its points instead of drawing both.
    yield Event(wall_time=start, step=0, session_log=SessionLog(status=SessionLog.START))
    values = _Values()
    words = [values.text(name, text) for name, text in texts(run).items()]
    yield Event(wall_time=start, step=0, summary=Summary(value=words))
    for recorded in recorded_steps(run):
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in recorded.scalars.items()]
        histograms = [values.histogram(name, histogram) for name, histogram in recorded.histograms.items()]
        summary = Summary(value=[*scalars, *histograms])
        yield Event(wall_time=start + recorded.seconds, step=recorded.step, summary=summary)


class _Values:
    """Makes summary values. The first tensor of a name says what kind of tensor the name has."""

    def __init__(self) -> None:
        from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
        from tensorboard.plugins.histogram import metadata as histogram
        from tensorboard.plugins.text import metadata as text

        self._value, self._tensor = summary_pb2.Summary.Value, tensor_pb2.TensorProto
        self._shape, self._types = tensor_shape_pb2.TensorShapeProto, types_pb2
        self._kinds = {"histogram": histogram, "text": text}
        self._known: set[str] = set()

    def histogram(self, name: str, histogram: Histogram) -> Any:
        """A distribution: for each bucket a row of left limit, right limit and count."""
        rows = zip(histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=True)
        shape = self._shape(dim=[self._shape.Dim(size=len(histogram.counts)), self._shape.Dim(size=3)])
        numbers = [float(number) for row in rows for number in row]
        tensor = self._tensor(dtype=self._types.DT_DOUBLE, tensor_shape=shape, double_val=numbers)
        return self._make("histogram", name, tensor)

    def text(self, name: str, text: str) -> Any:
        """Markdown."""
        tensor = self._tensor(dtype=self._types.DT_STRING, tensor_shape=self._shape(), string_val=[text.encode()])
        return self._make("text", name, tensor)

    def _make(self, kind: str, name: str, tensor: Any) -> Any:
        if name in self._known:
            return self._value(tag=name, tensor=tensor)
        self._known.add(name)
        metadata = self._kinds[kind].create_summary_metadata(display_name="", description="")
        return self._value(tag=name, tensor=tensor, metadata=metadata)
