"""A worker that nothing has warmed: does one step after another and tells what each has cost so far.

    python -P tests/bench/fresh.py import:azure.functions app GET:status fire

Run by path and with nothing of ours imported before the clock starts. Each line of the answer is JSON: the step, the
seconds since the first line of this file, processor seconds, modules loaded, and the most memory there was, in bytes.
"""

# ruff: noqa: T201 - what it prints is its answer

import time

BEGAN = time.perf_counter()

import importlib  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402
from urllib.parse import parse_qsl  # noqa: E402

MOST_CALLS = 50
"""More than setup ever takes where Microsoft's part takes no time."""

functions: dict[str, Any] = {}


def load_app() -> None:
    """Load and index ``function_app.py``, as the host's worker does."""
    import function_app

    for each in function_app.app.get_functions():
        functions[each.get_function_name() or ""] = each.get_user_function()


def call(method: str, target: str) -> int:
    """Call an HTTP function, again as long as it says that there is more to do; return the last status."""
    import azure.functions

    route, _, query = target.partition("?")
    name = {"GET setup": "setup_view", "DELETE setup": "teardown"}.get(f"{method} {route}", route)
    parameters = dict(parse_qsl(query))
    request = azure.functions.HttpRequest(
        method=method, url=f"https://localhost/api/admin/{target}", params=parameters, body=b""
    )
    status = 202
    for _ in range(MOST_CALLS):
        if status == 202:
            status = functions[name](request).status_code
    return status


def do(step: str) -> object:
    """Do one step; return the status of an HTTP call."""
    kind, _, name = step.partition(":")
    if kind == "import":
        for each in name.split(","):
            importlib.import_module(each)
    elif kind == "app":
        load_app()
    elif kind == "fire":
        functions["sync_people"](None)
    else:
        return call(kind, name)
    return None


def most_memory() -> int:
    """Return the most bytes of memory this program has had: ``ru_maxrss`` begins with what its parent had."""
    try:
        with open("/proc/self/status") as lines:  # noqa: PTH123 - pathlib would be one module more
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


for each in sys.argv[1:]:
    status = do(each)
    seconds = time.perf_counter() - BEGAN
    cost = {"step": each, "status": status, "seconds": seconds, "cpu": time.process_time(), "modules": len(sys.modules)}
    print(json.dumps(cost | {"peak": most_memory()}), flush=True)
