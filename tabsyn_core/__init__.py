"""Multi-distribution TabSyn: synthetic tables whose every column keeps its own distribution and support.

The package is a library of its own: it imports no Prefect, DVC, MLflow or Great Expectations.
"""
