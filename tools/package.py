"""Make the package that is deployed: our own files, what requirements.txt names, and compiled files that stay valid.

    .venv/bin/python tools/package.py .package/people-connector.zip

Run by an environment that requirements.txt has been installed into: of the very Python that the function app runs, on
Linux. Needs nothing but the standard library and no network. The same environment gives the same bytes.
"""

# ruff: noqa: INP001, T201 - a script, for a terminal

from __future__ import annotations

import argparse
import json
import os
import py_compile
import re
import sys
import tempfile
import zipfile
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[1]

SITE: Final = ".python_packages/lib/site-packages"
"""Where the host looks for what was installed before deploying.
https://learn.microsoft.com/azure/azure-functions/python-build-options"""

NOT_RUN: Final = (
    "*.pyi",
    "py.typed",
    "*.pyx",
    "*.pxd",
    "*.c",
    "*.h",
    "RECORD",
    "INSTALLER",
    "REQUESTED",
    "kiota-*.txt",
)
"""What packages hold for those who build, check or uninstall them. Licences and metadata stay."""

SDK: Final = PurePosixPath("msgraph_beta/generated")
ADDRESSED: Final = ("external", "admin/people")
"""The families of the SDK's request builders whose addresses the connector uses. The others, and all models, are nine
tenths of everything there is to deploy; they are imported when somebody asks for them, and nobody does."""

WRITTEN: Final = (1980, 1, 1, 0, 0, 0)
"""When every file was written, as far as the package tells: no file's time has a part in whether it is valid."""


def main(arguments: list[str] | None = None) -> int:
    """Write the package and tell what is in it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the zip file to write")
    parser.add_argument("--sources-only", action="store_true", help="without compiled files: to compare with")
    parser.add_argument("--json", action="store_true", help="tell in JSON")
    given = parser.parse_args(arguments)
    try:
        ours = dict(own_files(ROOT))
        brought = dict(installed_files(ROOT / "requirements.txt"))
    except PackageError as error:
        print(f"no package: {error}", file=sys.stderr)
        return 1
    files = {**ours, **{f"{SITE}/{name}": path for name, path in brought.items() if is_run(PurePosixPath(name))}}
    content = {name: path.read_bytes() for name, path in files.items()}
    compiled = {} if given.sources_only else dict(compiled_files(files))
    given.package.parent.mkdir(parents=True, exist_ok=True)
    write(given.package, {**content, **compiled})
    told = {
        "python": "{}.{}".format(*sys.version_info),
        "files": len(content),
        "bytes": sum(map(len, content.values())),
        "own_files": len(ours),
        "own_bytes": sum(len(content[name]) for name in ours),
        "left_out_files": len(brought) + len(ours) - len(files),
        "left_out_bytes": sum(path.stat().st_size for name, path in brought.items() if f"{SITE}/{name}" not in files),
        "compiled_files": len(compiled),
        "compiled_bytes": sum(map(len, compiled.values())),
        "zip_bytes": given.package.stat().st_size,
    }
    print(json.dumps(told) if given.json else _sentence(given.package, told))
    return 0


class PackageError(Exception):
    """There is no package to be made; the message says why."""


def own_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield what .funcignore lets through, by its path; its patterns are names and globs, wherever they stand."""
    lines = (root / ".funcignore").read_text(encoding="utf-8").splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if not any(fnmatch(each, pattern) for pattern in ignored)]
        for name in names:
            if not any(fnmatch(name, pattern) for pattern in ignored):
                path = Path(folder, name)
                yield path.relative_to(root).as_posix(), path


def installed_files(requirements: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of every distribution that a compiled requirements file names, as they are installed.

    Raises:
        PackageError: one is not installed, or in another version.
    """
    pins: dict[str, set[str]] = {}
    optional: set[str] = set()
    for line in requirements.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([\w.-]+)==([^ ;]+)( *;.*)?", line):
            pins.setdefault(found[1], set()).add(found[2])
            optional |= {found[1]} if found[3] else set()
    for name, versions in pins.items():
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            if name in optional:  # for other systems, or other Pythons
                continue
            raise PackageError(
                f"{name} is not installed beside {sys.executable}; install {requirements.name}"
            ) from None
        if installed.version not in versions:
            wanted = " or ".join(sorted(versions))
            raise PackageError(f"{name} is installed in version {installed.version}; {requirements.name} says {wanted}")
        yield from _files(installed)


def _files(installed: Distribution) -> Iterator[tuple[str, Path]]:
    for file in installed.files or ():
        # Commands stand outside, and compiled files are made anew.
        if file.parts[0] != ".." and not file.is_absolute() and file.suffix != ".pyc":
            yield file.as_posix(), Path(str(file.locate()))


def is_run(file: PurePosixPath) -> bool:
    """Tell whether a file of a distribution is of any use where the app runs."""
    if any(fnmatch(file.name, pattern) for pattern in NOT_RUN):
        return False
    if not file.is_relative_to(SDK):
        return True
    family = file.relative_to(SDK)
    on_the_way = {parent for name in ADDRESSED for parent in PurePosixPath(name).parents}
    return family.parent in on_the_way or any(family.is_relative_to(name) for name in ADDRESSED)


def compiled_files(files: dict[str, Path]) -> Iterator[tuple[str, bytes]]:
    """Yield each source compiled, such that Python takes it unchecked.

    By default it compares the time of the source, which a zip rounds and unpacking may change; and what it found
    invalid, every fresh worker would compile again. https://docs.python.org/3/reference/import.html#pyc-invalidation
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "compiled"
        for name in sorted(files):
            if name.endswith(".py"):
                py_compile.compile(
                    str(files[name]),
                    cfile=str(target),
                    dfile=name,  # nobody's folders
                    doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )
                source = PurePosixPath(name)
                cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
                yield cached.as_posix(), target.read_bytes()


def write(package: Path, content: dict[str, bytes]) -> None:
    """Write a zip that depends on nothing but names and content."""
    with zipfile.ZipFile(package, "w") as target:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, WRITTEN)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, content[name], compresslevel=6)


def _sentence(package: Path, told: dict[str, str | int]) -> str:
    def megabytes(name: str) -> str:
        return f"{int(told[name]) / 1e6:.1f} MB"

    return (
        f"{package}: {megabytes('zip_bytes')}, for Python {told['python']} on {sys.platform}."
        f" {told['files']} files of {megabytes('bytes')}, {told['own_files']} of them ours,"
        f" and {told['compiled_files']} compiled ones of {megabytes('compiled_bytes')}."
        f" Left out: {told['left_out_files']} files of {megabytes('left_out_bytes')}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
