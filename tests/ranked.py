"""Processes of one job, for tests of distributed training: `with Ranks(2) as ranks: ranks(function)`."""

import faulthandler
import multiprocessing
import os
import socket
import traceback
import warnings

TIMEOUT = 120.0
"""Seconds that a function may take on any rank; then all are killed."""
IMPORTED = ["torch.distributed.fsdp", "gradlab.watch_ranks", "gradlab.diagnosis", "tests.ranked"]
"""What is imported once, by the process from which the ranks are forked."""


class Ranks:
    """Processes that have formed a group, and call functions at the same time.

    Args:
        world: how many.
    """

    def __init__(self, world):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if forks else "spawn")
        context.set_forkserver_preload(IMPORTED)
        self._pipes, self._processes = [], []
        for rank in range(world):
            own, other = context.Pipe()
            process = context.Process(target=_work, args=(rank, world, port, other), daemon=True)
            process.start()
            other.close()
            self._pipes.append(own)
            self._processes.append(process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __call__(self, function, *arguments, only=None):
        """What a function of a module returns on each rank (None where it died); its error is raised here."""
        ranks = range(len(self._pipes)) if only is None else only
        for rank in ranks:
            self._pipes[rank].send((function, arguments))
        answers = [self._answer(rank) for rank in ranks]
        for rank, (failed, answer) in zip(ranks, answers, strict=True):
            assert not failed, f"rank {rank}:\n{answer}"
        return [answer for _, answer in answers]

    def _answer(self, rank):
        if not self._pipes[rank].poll(TIMEOUT):
            self.close()
            raise TimeoutError(f"rank {rank} has not answered")
        try:
            return self._pipes[rank].recv()
        except EOFError:
            return False, None

    def close(self):
        """End all processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.kill()
            process.join()


def _work(rank, world, port, pipe):
    import torch
    from torch import distributed

    from gradlab.results import Run

    Run.save_plots = lambda run: None  # takes longer than all the rest
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world))
    warnings.simplefilter("ignore")
    distributed.init_process_group("gloo")
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        faulthandler.dump_traceback_later(0.8 * TIMEOUT)
        try:
            pipe.send((False, function(*arguments)))
        except BaseException:
            pipe.send((True, traceback.format_exc()))
        faulthandler.cancel_dump_traceback_later()
