"""Molecules in, results out, over a process pool: RDKit holds the interpreter lock, so threads do not help."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, TypeVar

from rdkit import rdBase
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from tabsyn_core.errors import TabsynError
from tabsyn_core.progress import Progress, ProgressCallback, silent

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 64
_WORTH_A_POOL = 512  # a fresh process imports RDKit for about a second, in which one core does 200 molecules


def map_molecules(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int = 0,
    phase: str = "",
    progress: ProgressCallback = silent,
) -> list[Result]:
    """Apply ``function`` to every item, in order; the result does not depend on ``workers``.

    RDKit's own log is silent meanwhile: what is wrong with a molecule belongs into the result.

    Args:
        function: A module-level function or a ``partial`` of one, so that other processes can import it.
        items: One entry a molecule.
        workers: Processes; 0 is one for each core this process may use. A short list is done in this process.
        phase: Named in the progress reports, which count molecules.
        progress: Called after every chunk.

    Raises:
        TabsynError: A worker process died, most likely for want of memory.
    """
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    results: list[Result] = []
    with _mapper(workers or usable_cores(), len(items)) as mapper:
        for done in mapper(partial(_apply, function), chunks):
            results.extend(done)
            progress(Progress(done=len(results), total=len(items), unit="molecules", phase=phase))
    return results


def usable_cores() -> int:
    """The cores this process may use: a container or a batch system often gives it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _mapper(workers: int, num_items: int) -> Iterator[Callable[..., Iterator[Any]]]:
    if workers == 1 or num_items < _WORTH_A_POOL:
        yield map
        return
    # spawn: a fork of a process that holds polars' or torch's threads can hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield pool.map
        except BrokenProcessPool as error:
            raise TabsynError(
                "a worker process died: for want of memory (use fewer workers), or because the script that calls this "
                'lacks `if __name__ == "__main__":` (or use workers=1).'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _apply(function: Callable[[Item], Result], chunk: Sequence[Item]) -> list[Result]:
    # One BLAS thread: more would compete with the other workers, and round Ipc's large sums differently.
    with rdBase.BlockLogs(), _thread_pools().limit(limits=1):
        return [function(item) for item in chunk]


@cache  # finding the libraries takes longer than describing a molecule; numpy's, which is meant, is loaded by now
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()
