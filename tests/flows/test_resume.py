"""SIGKILL in the middle of training, then the same command again: the same table, and not from the start."""

import os
import signal
import subprocess
from pathlib import Path

from project import Project, wait_for

TABLE = "data/synthetic/synthetic.parquet"


def test_training_killed_and_run_again_gives_the_same_table(reproduced: Project, tmp_path: Path) -> None:
    project = reproduced.clone_with_cache(tmp_path / "admet")
    checkpoints = project.root / ".admet"
    command = ["python", "-m", "dvc", "repro", "--force", "--single-item", "train"]
    process = subprocess.Popen(
        command,
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: [file for file in checkpoints.rglob("*") if file.is_file()], seconds=120)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "training finished before it could be killed"

    said = project.run(*command).stdout
    assert "resum" in said, said
    project.dvc("repro", "sample")
    assert project.md5("models/generator") == reproduced.md5("models/generator")
    assert project.md5(TABLE) == reproduced.md5(TABLE)
    assert project.git("status", "--porcelain") == ""
