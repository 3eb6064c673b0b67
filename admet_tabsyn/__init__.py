"""The command line: what a person types, and the tables they read.

.. include:: ../docs/architecture.md
"""

# First of all: importing tasks switches telemetry off before any library looks.
import tasks as tasks
