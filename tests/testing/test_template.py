# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The template of a driver's package: copied, installed with pip, tested, in another folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pydriver.machine.binary import default_qemu

PROJECT = Path(__file__).resolve().parents[2]
TEMPLATE = PROJECT / "docs/template"
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".make", "build", "_build", "*.egg-info", "__pycache__", "_native*", ".*_cache"
)


def run(*words: str | Path, cwd: Path, environment: dict[str, str]) -> str:
    result = subprocess.run(
        [str(each) for each in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_package_of_the_template_is_installed_and_passes(tmp_path: Path) -> None:
    source, package, venv = (tmp_path / name for name in ("pydriver", "package", "venv"))
    shutil.copytree(PROJECT, source, ignore=NOT_SOURCE)
    shutil.copytree(TEMPLATE, package)
    outside = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTEST_ADDOPTS", "VIRTUAL_ENV"}
    } | {"PYDRIVER_QEMU": str(default_qemu().resolve())}
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path, environment=outside)
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin/python")
    install = ("install", "--quiet", "--no-compile", source, ".[test]")
    run(*pip, *install, cwd=package, environment=outside)
    shutil.rmtree(source)  # the installed package does not need it
    said = run(venv / "bin/pytest", "-ra", cwd=package, environment=outside)
    assert " passed" in said
    assert "skipped" not in said
    assert "failed" not in said


def test_workflow_of_the_template_runs_its_tests() -> None:
    workflow = yaml.safe_load((TEMPLATE / ".github/workflows/test.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["test"]["steps"]]
    assert any("pip install" in step for step in steps)
    assert any(".venv/bin/pytest" in step for step in steps)
