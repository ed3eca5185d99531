"""The project's Celery tasks; broker and results are files in a folder that the environment names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("tests.deployments.project")


def configure(app: Celery, folder: Path) -> None:
    """Let an application, the worker's or a client's, use a folder."""
    folders = [folder / name for name in ("queue", "control", "results")]
    for each in folders:
        each.mkdir(exist_ok=True)
    queue, control, results = map(str, folders)
    app.conf.update(
        broker_url="filesystem://",
        broker_transport_options={
            "data_folder_in": queue,
            "data_folder_out": queue,
            "control_folder": control,
            "polling_interval": 0.02,
        },
        result_backend=f"file://{results}",
        task_ignore_result=False,
        worker_prefetch_multiplier=1,
    )


if folder := os.environ.get("CELERY_FOLDER"):
    configure(app, Path(folder))


@app.task(name="echo")
def echo(nonce: str) -> dict[str, Any]:
    from .site import question

    return question(nonce)
