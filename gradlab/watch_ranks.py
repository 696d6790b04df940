"""Where the records of a watched training are kept that has several ranks and writes one run folder.

Rank 0 writes: `RecordsOfRanks` puts the shares of all ranks together. The others have `RecordsHandedOver`: each keeps
the rows of its own share in memory, too.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from torch import distributed

from gradlab import interrupts
from gradlab.errors import GradlabError, RunBusyError, RunFolderError
from gradlab.recording.data_parallel import is_distributed
from gradlab.recording.guard import Guard
from gradlab.recording.ranks import Begun, Job, Receiver, Sender, this_job
from gradlab.recording.step_record import StepRecord
from gradlab.recording.step_sums import Share, merge
from gradlab.run_folder.writing import FLUSH_ROWS
from gradlab.watch_folder import RecordsInFolder
from gradlab.watch_records import RecordsInMemory

if TYPE_CHECKING:
    from gradlab.tables import Source

TOGETHER = 64
"""Steps that are handed over together at most, …"""
SECONDS = 1.0
"""… and seconds between two times."""
WAITED = 0.01
"""The share of a long step that rank 0 waits after it for the shares of the others."""
PATIENCE = 30.0
"""Seconds after which rank 0 writes a step though shares of it are missing, while the training goes on, …"""
LAST_PATIENCE = 10.0
"""… at its end, …"""
FAILED_PATIENCE = 2.0
"""… and after an error on this rank: the others may wait for this rank, and hand nothing over any more."""


class RecordsHandedOver:
    """Keeps the records of this rank's share of the batch in memory, and hands their sums over to rank 0.

    Args:
        sender: hands them over.
        first: the number of the first step.
        rank: this rank.
        guard: what becomes of errors.
    """

    def __init__(self, sender: Sender, first: int, rank: int, guard: Guard) -> None:
        self.first = first
        self._memory = RecordsInMemory()
        self._sender: Sender | None = sender
        self._where = f"the share of rank {rank} in the run folder"
        self._guard = guard
        self._waiting: list[StepRecord] = []
        self._handed_over = perf_counter()

    def add(self, record: StepRecord, seconds: float, rows: int) -> None:
        """Keep a record; hands those over that wait when it is time."""
        if self._sender is not None:
            record.will_be_shared()
            self._waiting.append(record)
        self._memory.add(record, seconds, rows)
        if len(self._waiting) >= TOGETHER or perf_counter() - self._handed_over > SECONDS:
            self._hand_over()

    def log(self, row: Mapping[str, Any]) -> None:
        """Keep a row of the table `evaluations` of this rank; rank 0 writes its own."""
        self._memory.log(row)

    def _hand_over(self) -> None:
        with interrupts.held_back():
            self._hand_over_undisturbed()

    def _hand_over_undisturbed(self) -> None:
        self._handed_over = perf_counter()
        waiting, self._waiting = self._waiting, []
        if self._sender is None:
            return
        try:
            if not self._sender.send([record.share() for record in waiting]):
                self._guard.warn(
                    f"gradlab leaves out {self._where} for a while: rank 0 does not read what waits there."
                )
        except Exception as error:
            self._sender = None
            self._guard.failed(self._where, error)

    def end(self, summary: Mapping[str, Any], begun: float, *, plots: bool) -> None:
        """The training has ended: hand the rest over. Rank 0 says how it has ended."""
        self._hand_over()
        if self._sender is not None:
            with suppress(Exception):  # rank 0 may have ended, and the store with it: all is there that it waited for
                self._sender.end()

    def source(self) -> "Source":
        """The rows of this rank's share."""
        return self._memory.source()

    @property
    def last(self) -> StepRecord | None:
        """The last record that is kept."""
        return self._memory.last

    def in_memory(self) -> RecordsInMemory:
        """The records that are kept, for a process that does not belong to the job."""
        return self._memory


class _Waiting(NamedTuple):
    """A step of this rank that waits for the shares of others."""

    record: StepRecord
    share: Share
    seconds: float
    rows: int
    since: float


class RecordsOfRanks:
    """Puts the shares of all ranks together, and writes them into a run folder.

    Args:
        inner: writes them.
        job: the ranks.
        guard: what becomes of errors.

    Attributes:
        last: the last record.
    """

    def __init__(self, inner: RecordsInFolder, job: Job, guard: Guard) -> None:
        self._inner = inner
        self._job = job
        self._receiver: Receiver | None = job.receiver()
        self._world = job.world
        self._pause = max(SECONDS, job.world / 100)
        self._guard = guard
        self._new: list[tuple[StepRecord, float, int, float]] = []
        self._waiting: list[_Waiting] = []
        self._shares: dict[int, dict[int, Share]] = {}
        self._missed: set[int] = set()
        self._written, self._incomplete = -1, 0
        self._looked = perf_counter()
        self.last: StepRecord | None = None

    @property
    def first(self) -> int:
        """The number of the first step."""
        return self._inner.first

    def add(self, record: StepRecord, seconds: float, rows: int) -> None:
        """Keep a record; writes those whose shares are all there when it is time."""
        self.last = record
        record.will_be_shared()
        now = perf_counter()
        self._new.append((record, seconds, rows, now))
        if len(self._new) >= TOGETHER or now - self._looked > self._pause:
            self._write(PATIENCE)
            until = now + seconds * WAITED if seconds > self._pause else now
            while self._waiting and perf_counter() < until:  # otherwise this record would wait for the next step
                sleep(0.001)
                self._write(PATIENCE)
            self._inner.write_if_due(seconds + self._pause)

    def log(self, row: Mapping[str, Any]) -> None:
        """Keep a row of the table `evaluations`."""
        self._inner.log(row)

    def _write(self, patience: float) -> None:
        """Write the steps whose shares are all there, and those that have waited too long or need too much memory."""
        with interrupts.held_back():
            self._write_undisturbed(patience)

    def _write_undisturbed(self, patience: float) -> None:
        now = self._looked = perf_counter()
        for record, seconds, rows, since in self._new:
            try:
                self._waiting.append(_Waiting(record, record.share(), seconds, rows, since))
            except Exception as error:
                self._guard.failed(f"step {record.step}", error)
        self._new.clear()
        self._receive()
        while self._waiting and (
            self._is_complete(self._waiting[0])
            or now - self._waiting[0].since > patience
            or sum(waiting.rows for waiting in self._waiting) > FLUSH_ROWS
        ):
            self._write_first()

    def _receive(self) -> None:
        """Take the shares that are there."""
        if self._receiver is None or not self._waiting:
            return
        try:
            for rank, share in self._receiver.receive(self._waiting[-1].share.step):
                if share.step > self._written:
                    self._shares.setdefault(share.step, {})[rank] = share
                    self._missed.discard(rank)
        except Exception as error:
            self._receiver = None
            self._guard.failed("the shares of other ranks", error)

    def _is_complete(self, waiting: _Waiting) -> bool:
        there = self._shares.get(waiting.share.step, {}).keys()
        return (
            waiting.share.ranks != self._world
            or self._receiver is None
            or self._receiver.expected - self._missed <= there
        )

    def _write_first(self) -> None:
        """Write the step that waits longest, with the shares that are there."""
        waiting = self._waiting.pop(0)
        share, self._written = waiting.share, waiting.share.step
        others = self._shares.pop(share.step, {})
        for step in [step for step in self._shares if step < share.step]:
            del self._shares[step]
        if share.ranks != self._world:
            others = {}
            self._guard.warn(
                "gradlab writes the rows of rank 0 only: nothing averages the gradients of the watched model over all "
                "ranks of this job. Watch the model that DistributedDataParallel or fully_shard has wrapped."
            )
        elif len(others) < self._world - 1:
            self._say_what_is_missing(share.step, set(range(1, self._world)) - others.keys())
        complete = len(others) == self._world - 1
        waiting.record.become(merge([share, *(others[rank] for rank in sorted(others))], complete=complete))
        self._inner.add(waiting.record, waiting.seconds, waiting.rows, waiting.since)

    def _say_what_is_missing(self, step: int, ranks: set[int]) -> None:
        self._incomplete += 1
        self._missed |= ranks
        which = f"rank {min(ranks)}" if len(ranks) == 1 else f"{len(ranks)} of {self._world} ranks"
        self._guard.warn(
            f"gradlab writes step {step} without the share of {which}: nothing came from there in time. Outputs and δ "
            "are those of the other ranks; numbers of sharded parameters are null. `incomplete_steps` in summary.json "
            "counts such steps.",
            once_for="missing shares",
        )

    def end(self, summary: Mapping[str, Any], begun: float, *, plots: bool) -> None:
        """The training has ended: wait a little for shares, write everything, and end the run folder."""
        until = perf_counter() + (LAST_PATIENCE if summary["status"] in ("completed", "diverged") else FAILED_PATIENCE)
        try:
            self._write(PATIENCE)
            while self._waiting and perf_counter() < until:
                sleep(0.02)
                self._write(PATIENCE)
        finally:
            self._write(-1.0)
            about = {"ranks": self._world, "incomplete_steps": self._incomplete}
            self._inner.end({**summary, **about}, begun, plots=plots)
        self._guard.closed(self._job.end, "the end of the run folder")()

    def source(self) -> "Source":
        """The folder as it stands when all steps have been written whose shares are there."""
        self._write(PATIENCE)
        return self._inner.source()

    def in_memory(self) -> RecordsInMemory:
        """The records that are not written yet, for a process to which the folder does not belong."""
        memory = self._inner.in_memory()
        for record, seconds, rows, _ in [*((w.record, w.seconds, w.rows, 0.0) for w in self._waiting), *self._new]:
            memory.add(record, seconds, rows)
        return memory


Records: TypeAlias = RecordsInFolder | RecordsOfRanks | RecordsHandedOver
"""Where the records are kept of a process that was told to write a run folder."""


def records_of(path: Path, take: Callable[[], RecordsInFolder], guard: Guard) -> Records | None:
    """Where this process keeps its records, when it was told to write a folder.

    Args:
        path: the folder.
        take: takes it.
        guard: what becomes of errors.

    Returns:
        None where the rows stay in memory, because another process of this job writes the folder.

    Raises:
        RunFolderError: the folder holds a finished run or another model, or it cannot be written.
        RunBusyError: a process outside of this job is writing it.
    """
    job = this_job(str(path.absolute()))
    if job is None:
        return _take_unless_busy(path, take, guard)
    return _records_of_rank_0(job, path, take, guard) if job.rank == 0 else _records_of_others(job, path, take, guard)


def _records_of_rank_0(job: Job, path: Path, take: Callable[[], RecordsInFolder], guard: Guard) -> Records | None:
    begun = Begun(0, "its watch was interrupted")
    try:
        records = _take_unless_busy(path, take, guard)
        begun = Begun(0, "busy", busy=True) if records is None else Begun(records.first)
    except GradlabError as error:
        begun = Begun(0, error.message)
        raise
    finally:
        guard.closed(job.begin, "the shares of other ranks")(begun)
        if begun.error:
            guard.closed(job.end, "the shares of other ranks")()
    return None if records is None else RecordsOfRanks(records, job, guard)


def _records_of_others(job: Job, path: Path, take: Callable[[], RecordsInFolder], guard: Guard) -> Records | None:
    try:
        begun = job.wait_for_rank_0()
        if begun is not None and not begun.error:
            return RecordsHandedOver(job.sender(), begun.first, job.rank, guard)
    except Exception as error:
        guard.failed(f"the share of rank {job.rank} in the run folder", error)
        return None
    if begun is not None and not begun.busy:
        raise RunFolderError(f"rank 0 says: {begun.error}")
    return _take_unless_busy(path, take, guard)


def _take_unless_busy(path: Path, take: Callable[[], RecordsInFolder], guard: Guard) -> RecordsInFolder | None:
    """Take the folder, unless another process of the same job may have it."""
    try:
        return take()
    except RunBusyError:
        if not is_distributed() or distributed.get_world_size() == 1:
            raise
        guard.warn(f"another process of this job writes {path}; the rows of this one stay in memory")
        return None
