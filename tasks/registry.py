"""The MLflow tracking store and model registry: where it is, and whether it answers."""

import logging
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tabsyn_core.errors import TabsynError
from tasks.provenance import project_root, redact

CHAMPION = "champion"
CHALLENGER = "challenger"

_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""While knocking only: an upload that a busy server is slow to confirm deserves MLflow's own patience."""

_QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would print the credentials in the tracking URI
}

_SECONDS_TO_CONNECT = 5.0
_SECONDS_FOR_OTHERS = 300.0
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def tracking_uri(checkout: Path = Path()) -> str:
    """``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in the main checkout, shared by its worktrees."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root(checkout) / 'mlflow.db'}"


def connect(checkout: Path = Path()) -> mlflow.MlflowClient:
    """Point MLflow at the project's store and see that it answers.

    Args:
        checkout: Any checkout of the project.

    Raises:
        TabsynError: It does not answer within about 15 seconds; the message says where it was sought.
    """
    uri = tracking_uri(checkout)
    for name in ("mlflow", "alembic"):  # SQLite's tables appear with fifty lines of migration log
        logging.getLogger(name).setLevel(logging.ERROR)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # set_tracking_uri leaves the URI in the environment, where the next checkout would take it for the user's.
    with registry_errors(uri), one_at_a_time(uri), _environment({**_PATIENCE, "MLFLOW_TRACKING_URI": uri}):
        _knock(uri)
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient()
        client.search_registered_models(max_results=1)
    return client


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Let no other run of this project use an SQLite registry meanwhile; a server looks after itself.

    Two processes that find no tables both create them, and one of them fails (MLflow 3.17 locks the tables of
    the registry, not those of the tracking store). The lock goes when its process does, however it ends.
    """
    database = _sqlite_file(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", is_singleton=True, timeout=_SECONDS_FOR_OTHERS):
        yield


@contextmanager
def registry_errors(uri: str) -> Iterator[None]:
    """Tell a user what MLflow could not do, without its traceback and without the credentials in ``uri``.

    A value that MLflow refuses says so itself: the registry is well then.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ModuleNotFoundError) as error:
        message = redact(str(error)).strip() or type(error).__name__
        if isinstance(error, MlflowException) and error.error_code == "INVALID_PARAMETER_VALUE":
            raise TabsynError(message) from error
        reason = message.splitlines()[0]
        raise TabsynError(
            f"the MLflow registry at {redact(uri)} failed: {reason}. See that it runs (make serve-mlflow starts one) "
            "and that MLFLOW_TRACKING_URI is right; unset it to use mlflow.db in the project."
        ) from error


def artifact_location(checkout: Path, experiment: str) -> str | None:
    """Where an experiment's files go: beside ``mlflow.db``, or where an MLflow server decides."""
    if urlsplit(tracking_uri(checkout)).scheme in ("http", "https", "databricks"):
        return None
    return (project_root(checkout) / "mlartifacts" / experiment).as_uri()


def version_of(client: mlflow.MlflowClient, model_uri: str) -> Any:
    """The version that ``models:/<name>@<alias>`` or ``models:/<name>/<number>`` names.

    Raises:
        TabsynError: The URI has another form, or there is no such version.
    """
    name, at, alias = model_uri.removeprefix("models:/").partition("@")
    name, _, number = (name, "", "") if at else name.rpartition("/")
    if not model_uri.startswith("models:/") or not name or not (alias or number.isdigit()):
        raise TabsynError(f"'{model_uri}' names no version; write models:/<name>@champion or models:/<name>/<number>.")
    try:
        return client.get_model_version_by_alias(name, alias) if at else client.get_model_version(name, number)
    except MlflowException as error:
        raise TabsynError(f"there is no {model_uri} in the registry; run dvc repro to register a model.") from error


@contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Set the variables that the user has not set, for the length of a block."""
    ours = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _knock(uri: str) -> None:
    """Fail at once where MLflow would retry a database for an hour (15 times, with doubling pauses)."""
    database, place = _sqlite_file(uri), urlsplit(uri)
    dialect = place.scheme.partition("+")[0]
    if database:
        with closing(sqlite3.connect(database)) as opened:
            opened.execute("pragma schema_version")
    elif dialect in _DATABASE_PORTS and place.hostname:
        address = (place.hostname, place.port or _DATABASE_PORTS[dialect])
        socket.create_connection(address, timeout=_SECONDS_TO_CONNECT).close()


def _sqlite_file(uri: str) -> Path | None:
    place = urlsplit(uri)
    return Path(place.path.removeprefix("/")) if place.scheme.partition("+")[0] == "sqlite" else None
