"""One thread for every sum: more would change its last bits, and work this small gains nothing from them."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP to one thread, as a ``with`` block or a decorator."""
    with threadpool_limits(limits=1):
        yield
