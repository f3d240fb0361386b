"""Somebody with HR exports of their own, from the first look at a file to the first profiles."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.host.serving import ONCE_A_YEAR, connector, drop, serving
from tests.tenant.contoso import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.host, pytest.mark.azurite]

PUBLISHED = "tests/hr_samples"
"""Exports that others published."""
SCIM = tuple(f"{PUBLISHED}/msft_csv2scim_{kind}.csv" for kind in ("employees", "contractors", "interns"))


@pytest.mark.once
@pytest.mark.parametrize(
    ("export", "count", "shown"),
    [
        ("adobe_users_file.csv", 3, ("jsmith@example.com", "John", "Smith")),
        ("evolveum_simulation_hr_250.csv", 250, ("Tamesha", "Cornish", "Sales", "+421-322-934-084 (business)")),
    ],
)
def test_a_published_export_reaches_profiles_by_what_is_suggested(
    tmp_path: Path, export: str, count: int, shown: tuple[str, ...]
) -> None:
    """Suggest a mapping, check it with the file, serve both: everybody has a profile, and the first ones are shown."""
    path, mapping = f"{PUBLISHED}/{export}", tmp_path / "mine.toml"

    connector("mapping", "suggest", path, "--out", str(mapping))
    checked = connector("mapping", "check", str(mapping), path)
    with serving(tmp_path / "serve", "--mapping", str(mapping), "--hr", path, SYNC_SCHEDULE=ONCE_A_YEAR) as (told, _):
        words = " ".join(told.split())

    assert checked["usable"]
    assert f"completed, {count} created, {count + 1} Graph requests" in words
    assert all(word in words for word in shown)


def promoted(folder: Path, person: str) -> list[str]:
    """Write the three files anew, with another title for somebody; return where they are."""
    for path in SCIM:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines(keepends=True)
        changed = [line.replace("Software Developer", "Architect") if person in line else line for line in lines]
        (folder / path.rsplit("/", 1)[1]).write_text("".join(changed), encoding="utf-8")
    return [str(folder / path.rsplit("/", 1)[1]) for path in SCIM]


@pytest.mark.once
def test_three_published_exports_are_one_population(tmp_path: Path) -> None:
    """Files that only together are whole get a manifest; that most rows share a key is told, and what to do about it.

    The files give one WorkerID to several people; whose it is cannot be told, so the limit on rejected rows refuses
    them, until somebody who knows raises it.
    """
    mapping = tmp_path / "mine.toml"

    connector("mapping", "suggest", SCIM[0], "--out", str(mapping))
    checked = connector("mapping", "check", str(mapping), *SCIM, exit_code=1)
    brought = ("--mapping", str(mapping), "--hr", *SCIM)
    with serving(tmp_path / "serve", *brought, SYNC_SCHEDULE=ONCE_A_YEAR) as (told, _):
        refused = " ".join(told.split())
    limits = {"SYNC_SCHEDULE": ONCE_A_YEAR, "MAX_REJECT_PERCENT": "65", "EXPORT_SETTLE_SECONDS": "0"}
    with serving(tmp_path / "serve", *brought, **limits) as (told, _):
        taken = " ".join(told.split())
        drop(tmp_path / "serve", *promoted(tmp_path, "Genevra Melony"))
        night = connector("--settings", str(tmp_path / "serve" / "local.settings.json"), "sync")

    assert not checked["usable"]
    assert "dropped msft_csv2scim_employees.csv.manifest.json" in refused
    assert "too_many_rejected" in refused
    assert "of 1000 rows" in refused
    assert "duplicate_key: several rows have this WorkerID and say different things" in refused
    assert "msft_csv2scim_interns.csv: rows" in refused
    assert "MAX_REJECT_PERCENT=6" in refused
    assert "completed, 2" in taken
    assert "Genevra Melony" in taken
    assert (night["outcome"], night["updated"], night["deleted"]) == ("completed", 1, 0)


@pytest.mark.once
def test_a_packaged_mapping_shows_its_sample(tmp_path: Path) -> None:
    """One command tells the first night: what was skipped, which row is wrong and why, and how people look now."""
    folder, sample = tmp_path / "serve", "samples/workday-2026-11-20.csv"
    with serving(folder, "--mapping", "workday", "--hr", sample, SYNC_SCHEDULE=ONCE_A_YEAR) as (told, _):
        words = " ".join(told.split())
        drop(folder, "samples/workday-2026-11-21.csv")
        night = connector("--settings", str(folder / "local.settings.json"), "sync")

    assert "completed, 12 created, 1 rejected" in words
    assert "3 lines are neither header nor data: 1, 2, 19" in words
    assert "1 row is bad_date: Hire Date" in words
    for shown in ("Helena Lindqvist", "Chief Executive Officer", "Madrid", "+34 91 555 0102 (business)"):
        assert shown in words
    assert "tests.tenant drop samples/workday-2026-11-21.csv" in words
    assert (night["updated"], night["deleted"], night["created"]) == (1, 1, 0)


@pytest.mark.once
def test_another_contract_and_settings_go_along(tmp_path: Path) -> None:
    """CONTRACT chooses how people are sent; a setting of the environment is the connector's, such as PILOT."""
    brought = ("--contract", "preview", "--mapping", "successfactors", "--hr", "samples/successfactors-2026-11-20.csv")
    pilot = {"PILOT": "amara.okafor@contoso.com,zoe.baker@contoso.com", "SYNC_SCHEDULE": ONCE_A_YEAR}
    with serving(tmp_path / "serve", *brought, **pilot) as (told, _):
        words = " ".join(told.split())

    assert "completed, 2 created" in words
    assert "Data Engineer" in words


def test_what_is_wrong_is_said_before_anything_starts(tmp_path: Path) -> None:
    """Every mistake in a mapping of one's own is told at once; a mapping or a file that is not there, too."""
    mapping = tmp_path / "mine.toml"
    mapping.write_text('format = 1\n[key]\ncolumm = "Id"\n[account]\ncolumn = "Upn"\nmatch = "upn"\n', encoding="utf-8")
    wrong = {
        str(mapping): ("line 3: key: columm", "line 6: account: match"),
        "peoplesoft": ("peoplesoft", "workday"),
        str(tmp_path / "gone.toml"): ("gone.toml",),
    }

    for given, words in wrong.items():
        with serving(tmp_path / "serve", "--mapping", given, "--hr", "samples/people-2026-11-20.csv") as (
            printed,
            process,
        ):
            assert process.wait(60) == 1
        assert all(word in printed for word in words), printed


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ((), "serve --contract labels"),
        (("MAPPING=workday", "HR=a.csv"), "serve --contract labels --mapping 'workday' --hr a.csv"),
        (("CONTRACT=preview", "MAPPING=my.toml", "HR=a.csv b.csv"), "--mapping 'my.toml' --hr a.csv b.csv"),
    ],
)
def test_make_passes_on_what_it_is_given(given: tuple[str, ...], arguments: str) -> None:
    """The README's and the presets' command line is that of the module."""
    done = subprocess.run(  # noqa: S603
        ["make", "--dry-run", "serve", *given],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert arguments in " ".join(done.stdout.split())
