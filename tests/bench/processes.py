"""Processes of our own that are told what to do, a line of JSON at a time, and answer with one.

What is measured for its memory holds nothing but the connector, and what it talks to is not beside it in one
interpreter. So each of them is a fresh ``python -m MODULE ROLE`` that `serve`s what it can do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


ROOT: Final = Path(__file__).resolve().parents[2]


class Process:
    """A process that answers, from ``with`` to its end. ``began``: seconds of the monotonic clock."""

    def __init__(self, module: str, role: str, *, environment: Mapping[str, str]) -> None:
        self.began = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", module, role],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it: whoever serves ends with the input. One that is at work is killed after a while."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()

    def ask(self, what: str, **arguments: Any) -> Any:
        """Let it do something and return what it answers.

        Raises:
            RuntimeError: it ended instead; its own words are on standard error.
        """
        self.tell(what, **arguments)
        return self.hear()

    def tell(self, what: str, **arguments: Any) -> None:
        """Let it do something; `hear` waits for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([what, arguments]) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return its next answer. Raises as `ask`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measured process ended with status {self._process.wait()}")
        return json.loads(line)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def peak(self) -> float:
        """Return the most megabytes of memory it has had so far."""
        return peak_of(str(self._process.pid))


def serve(**does: Callable[..., Any]) -> None:
    """Do what standard input asks for, by name, and print what comes of it, until the input ends."""
    for line in sys.stdin:
        what, arguments = json.loads(line)
        sys.stdout.write(json.dumps(does[what](**arguments)) + "\n")
        sys.stdout.flush()


def peak_of(process: str = "self") -> float:
    """Return the most megabytes (of a million bytes) of memory that a process has had.

    From the kernel's high-water mark of this program: ``ru_maxrss`` begins with what its parent had.
    https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
    """
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def forget_peak() -> None:
    """Let the mark of this process begin anew, where the kernel lets us.

    https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
    """
    mark = Path("/proc/self/clear_refs")
    if mark.exists():
        mark.write_text("5")
