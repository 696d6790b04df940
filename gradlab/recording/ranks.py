"""Handing the sums of steps over from each rank of a job to rank 0, through the store of the job.

Nothing is a collective: a rank writes a key and goes on; rank 0 asks whether a key is there, reads and deletes it. The
keys, in the store of the default process group, below `gradlab`:

    open                the folder that rank 0 is writing or about to write
    <folder>/begun      that rank 0 writes this folder and where its steps begin, or why it cannot
    <folder>/heard      how many other ranks have read that
    <folder>/joined     how many other ranks hand over
    <folder>/<rank>     that this one does
    <folder>/<rank>/<n> some steps of it
    <folder>/<rank>/end how many of these there are, when the rank has ended

Where a rank is told a folder several times, each time has keys of its own.
"""

import json
import struct
from collections import Counter, deque
from collections.abc import Sequence
from time import perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np
from torch import distributed

from gradlab.recording.data_parallel import is_distributed
from gradlab.recording.parameter_sums import OF_PARAMETERS
from gradlab.recording.step_sums import WIDTH, Share
from gradlab.recording.torch_private import job_store

PATIENCE = 20.0
"""Seconds that a rank waits on entering to hear what rank 0 writes, …"""
HEARD = 2.0
"""… and that rank 0 waits until all have heard that it cannot, before it raises an error and its store may be gone."""
LARGEST = 2**20
"""Bytes that are put under one key at most, if it is more than one step: a store takes 8 MiB."""
UNREAD = 2**28
"""Bytes of all ranks that wait in the store at most. Where rank 0 is slow, or reads nothing, the rest is left out."""

_named: Counter[str] = Counter()
"""How often this process was told to write each folder."""


class Begun(NamedTuple):
    """What rank 0 says of its folder.

    Attributes:
        first: the number of the first step.
        error: why it cannot be written; empty where it can.
        busy: whether that is because another process writes it.
    """

    first: int
    error: str = ""
    busy: bool = False


class Job:
    """This process among the others of its job, told to write a folder.

    Args:
        path: where this rank was told to write.

    Attributes:
        rank: its number.
        world: how many there are.
    """

    def __init__(self, path: str) -> None:
        self.rank, self.world = distributed.get_rank(), distributed.get_world_size()
        self._path = path
        prefixed: Any = distributed.PrefixStore  # type: ignore[attr-defined]
        # A connection of its own: the training's is not waited for, and its settings stay.
        self._all = prefixed("gradlab", job_store().clone())
        self._store = prefixed(f"{path}/{_named[path]}", self._all)
        if self.rank == 0:
            self._all.set("open", path)
        _named[path] += 1

    def begin(self, begun: Begun) -> None:
        """On rank 0: tell the others how it begins."""
        self._store.set("begun", json.dumps(begun))
        until = perf_counter() + HEARD
        while begun.error and self._store.add("heard", 0) < self.world - 1 and perf_counter() < until:
            sleep(0.01)

    def end(self) -> None:
        """On rank 0: the folder is written."""
        self._all.set("open", "")

    def wait_for_rank_0(self) -> Begun | None:
        """On the others: what rank 0 says; None where it writes another folder, or does not come."""
        until = perf_counter() + PATIENCE
        while not self._store.check(["begun"]):
            if self._is_writing_another() or perf_counter() > until:
                return None
            sleep(0.01)
        self._store.add("heard", 1)
        return Begun(*json.loads(self._store.get("begun")))

    def _is_writing_another(self) -> bool:
        """Whether rank 0 is writing a folder that this rank was never told: they are told different ones."""
        path = self._all.get("open").decode() if self._all.check(["open"]) else ""
        return path != "" and path not in _named

    def sender(self) -> "Sender":
        """What hands steps over."""
        return Sender(self._store, self.rank, UNREAD // self.world)

    def receiver(self) -> "Receiver":
        """What takes them."""
        return Receiver(self._store, self.world)


def this_job(path: str) -> Job | None:
    """This process among the others of its job; None where it is alone, or has no store to reach the others."""
    if not is_distributed() or distributed.get_world_size() == 1:
        return None
    try:
        return Job(path)
    except Exception:  # a backend without a store: `mpi`
        return None


class Sender:
    """Hands the shares of a rank over.

    Args:
        store: of the watch.
        rank: the rank.
        room: bytes that may wait in the store.
    """

    def __init__(self, store: Any, rank: int, room: int) -> None:
        self._store = store
        self._rank = rank
        self._room = room
        self._sent = 0
        self._unread: deque[tuple[int, int]] = deque()
        self._store.set(f"{rank}", "")
        self._store.add("joined", 1)

    def send(self, shares: Sequence[Share]) -> bool:
        """Put some shares into the store; False where there is no room, because rank 0 has not read what is there."""
        waiting = list(shares)
        while waiting:
            size = waiting[0].numbers_RQ.nbytes + waiting[0].states_RQ.nbytes
            number = max(1, LARGEST // max(size, 1))
            data = encode(waiting[:number])
            while self._unread and not self._store.check([f"{self._rank}/{self._unread[0][0]}"]):
                self._unread.popleft()
            if self._unread and sum(size for _, size in self._unread) + len(data) > self._room:
                return False
            self._store.set(f"{self._rank}/{self._sent}", data)
            self._unread.append((self._sent, len(data)))
            self._sent += 1
            waiting = waiting[number:]
        return True

    def end(self) -> None:
        """Say that no more will come."""
        self._store.set(f"{self._rank}/end", str(self._sent))


class Receiver:
    """Takes the shares of the other ranks.

    Args:
        store: of the watch.
        world: how many ranks there are.

    Attributes:
        expected: the ranks that hand over and have not ended.
    """

    def __init__(self, store: Any, world: int) -> None:
        self._store = store
        self._unknown = set(range(1, world))
        self._read: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self.expected: set[int] = set()

    def receive(self, until: int) -> list[tuple[int, Share]]:
        """The shares that are there, each with its rank; of a rank that is ahead, not many beyond a step."""
        if self._unknown and self._store.add("joined", 0) > len(self._read):
            new = {rank for rank in self._unknown if self._store.check([f"{rank}"])}
            self._unknown -= new
            self._read.update(dict.fromkeys(new, 0))
            self.expected |= new
        return [(rank, share) for rank in sorted(self.expected) for share in self._receive_from(rank, until)]

    def _receive_from(self, rank: int, until: int) -> list[Share]:
        ended = self._store.check([f"{rank}/end"])
        shares: list[Share] = []
        while self._last.get(rank, -1) < until and self._store.check([key := f"{rank}/{self._read[rank]}"]):
            shares += decode(bytes(self._store.get(key)))
            self._store.delete_key(key)
            self._read[rank] += 1
            self._last[rank] = shares[-1].step
        if ended and int(self._store.get(f"{rank}/end")) == self._read[rank]:
            self.expected.discard(rank)
        return shares


# ------------------------------------------------------------------------------------------------- shares as bytes


def encode(shares: Sequence[Share]) -> bytes:
    """Shares as bytes: the length of a text, the text, which is JSON, and the arrays. All numbers stay as they are."""
    texts: list[dict[str, Any]] = []
    arrays: list[bytes] = []
    last: Any = None
    for share in shares:
        text = share._asdict()
        columns = text.pop("columns")
        arrays += [np.ascontiguousarray(text.pop(name)).tobytes() for name in ("numbers_RQ", "states_RQ")]
        if columns != last:
            text["columns"] = last = columns
        texts.append({**text, "rows": len(share.numbers_RQ)})
    head = json.dumps(texts).encode()
    return b"".join([struct.pack("<Q", len(head)), head, *arrays])


def decode(data: bytes) -> list[Share]:
    """The shares that `encode` was given."""
    (length,) = struct.unpack_from("<Q", data)
    start, columns = 8 + length, None
    shares: list[Share] = []

    def take(dtype: Any, rows: int, width: int) -> Any:
        nonlocal start
        array = np.frombuffer(data, dtype, rows * width, start).reshape(rows, width)
        start += array.nbytes
        return array

    for text in json.loads(data[8:start]):
        rows, columns = text.pop("rows"), tuple(text.pop("columns", columns))
        numbers, states = take(np.float64, rows, WIDTH), take(np.int8, rows, 2 * len(OF_PARAMETERS))
        squares = tuple(text.pop("gradient_squares"))
        shares.append(Share(columns=columns, numbers_RQ=numbers, states_RQ=states, gradient_squares=squares, **text))
    return shares
