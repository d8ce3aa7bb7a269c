"""What the benchmark ran on: the machine, and the versions of everything that took part."""

import os
import platform
import re
import subprocess
from pathlib import Path

_UNKNOWN = "?"


def machine() -> str:
    """Processor, cores, kernel and Python in one line."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    processor = model[1].strip() if model else platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, {python}"


def compiler() -> str:
    """Of the echo server."""
    return _first_line("gcc", "--version")


def python_package(python: Path, package: str) -> str:
    """The version of a package in the environment of an interpreter."""
    script = f"import importlib.metadata as m; print(m.version({package!r}))"
    return _first_line(str(python), "-c", script)


def wrk(binary: Path) -> str:
    """As wrk says it: ``wrk 4.2.0 [epoll] Copyright ...``."""
    return _first_line(str(binary), "--version").removeprefix("wrk ").partition(" ")[0]


def go_program(binary: Path) -> str:
    """The version of the module that a program was compiled from, which Go keeps in the program."""
    found = re.search(r"^\s*mod\s+\S+\s+(\S+)", _output("go", "version", "-m", str(binary)), re.M)
    return found[1] if found else _UNKNOWN


def _first_line(*command: str) -> str:
    return (_output(*command).strip() or _UNKNOWN).splitlines()[0]


def _output(*command: str) -> str:
    """What a command prints, whatever its exit status: wrk has 1 for telling its version."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
