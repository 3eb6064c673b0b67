"""The same bits every time: a fixed number of threads and deterministic kernels."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_SETTINGS = RLock()


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Hold torch to a fixed number of threads and deterministic kernels; both are as they were afterwards."""
    with _SETTINGS:  # they belong to the process: a server that samples in two threads takes turns
        before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])
