"""Multi-distribution TabSyn: synthetic tables whose every column keeps its own distribution and support.

The package is a library of its own: it imports no Prefect, DVC, MLflow or Great Expectations.
"""

import os

# Waiting threads sleep instead of spinning: beside a busy process a training step is at least twice as fast, on an
# idle machine about a tenth slower (benchmarks/waiting.py). Read by OpenMP when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# cuBLAS is deterministic only with a workspace of its own; read when CUDA is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
