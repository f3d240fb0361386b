"""The environment is made with the newest Python that works, or a sentence says why there is none."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.tenant.contoso import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SHELL = shutil.which("sh") or "/bin/sh"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without any Python."""
    return Machine(tmp_path)


class Machine:
    """A PATH and a home with nothing in them but the Pythons a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.path, self.home = folder / "bin", folder / "home"
        self.path.mkdir()
        self.home.mkdir()

    def has(self, command: str, says: str, *, code: int = 0) -> None:
        """Add a command that answers every question alike; under pyenv when it has a version in front."""
        version, _, name = command.rpartition(":")
        folder = self.home / ".pyenv" / "versions" / version / "bin" if version else self.path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!{SHELL}\necho '{says}'\nexit {code}\n")
        (folder / name).chmod(0o755)

    def find(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask for the Python to use."""
        environment = {"PATH": str(self.path), "HOME": str(self.home)}
        command = [SHELL, str(ROOT / "tools" / "python.sh"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def test_the_newest_is_taken(machine: Machine) -> None:
    """Whatever the order on PATH, and whatever its command is called."""
    machine.has("python3.11", "usable 3.11 /a/python3.11")
    machine.has("python3", "usable 3.12 /b/python3")

    found = machine.find()

    assert (found.returncode, found.stdout) == (0, "/b/python3\n")


def test_the_oldest_is_taken_when_asked_for(machine: Machine) -> None:
    """For running the tests a second time."""
    machine.has("python3.11", "usable 3.11 /a/python3.11")
    machine.has("python3.13", "usable 3.13 /c/python3.13")

    assert machine.find("--oldest").stdout == "/a/python3.11\n"


def test_pyenvs_own_interpreters_are_found(machine: Machine) -> None:
    """The shim on PATH fails when its version is not switched on; the interpreter behind it works."""
    machine.has("python3.13", "pyenv: python3.13: command not found", code=127)
    machine.has("3.13.0:python3.13", "usable 3.13 /pyenv/python3.13")
    machine.has("python3.11", "usable 3.11 /a/python3.11")

    assert machine.find().stdout == "/pyenv/python3.13\n"


def test_one_without_ensurepip_is_passed_over(machine: Machine) -> None:
    """Environments cannot be made with it, so the next one is taken."""
    machine.has("python3.13", "lacks 3.13 ensurepip")
    machine.has("python3.12", "usable 3.12 /b/python3.12")

    assert machine.find().stdout == "/b/python3.12\n"


def test_without_a_usable_one_the_sentence_names_what_was_found(machine: Machine) -> None:
    """And what can be done about it."""
    machine.has("python3", "lacks 3.11 ensurepip")
    machine.has("python", "other 3.9.2")

    found = machine.find()

    assert (found.returncode, found.stdout) == (1, "")
    assert "needs Python 3.13, 3.12 or 3.11" in found.stderr
    assert f"{machine.path}/python3 is Python 3.11 without ensurepip" in found.stderr
    assert f"{machine.path}/python is Python 3.9.2" in found.stderr
    assert "python3-venv" in found.stderr


def test_a_machine_without_python_is_told_so(machine: Machine) -> None:
    """Nothing was found at all."""
    found = machine.find()

    assert found.returncode == 1
    assert "No Python was found at all." in found.stderr
