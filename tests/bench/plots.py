"""``python -m tests.bench.plots``: the tables of docs/performance.md and its pictures, from what was measured last.

Nobody copies numbers by hand: ``make bench`` leaves them in ``.bench/``, this writes them down. Pictures are plain SVG,
readable in light and dark.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from tests.bench.results import FOLDER, ROOT, Result, limit_text, number_text
from tests.bench.scale import PER_SECOND, results_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PAGE: Final = ROOT / "docs" / "performance.md"
PICTURES: Final = ROOT / "docs" / "performance"

_WIDTH: Final = 860
_STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 12px; fill: #59636e }
  .end { text-anchor: end } .middle { text-anchor: middle }
  .axis { stroke: #d1d9e0 } .limit { stroke: #d1242f; stroke-width: 2; fill: none }
  .bad { fill: #d1242f } .one { fill: #0969da } .two { fill: #8250df } .three { fill: #1a7f37 }
  .line.one { stroke: #0969da } .line.two { stroke: #8250df } .line.three { stroke: #1a7f37 }
  .line { fill: none; stroke-width: 2.5 } .dashed { stroke-dasharray: 6 5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 } .axis { stroke: #3d444d }
    .limit { stroke: #f85149 } .bad { fill: #f85149 }
    .one { fill: #4493f8 } .two { fill: #ab7df8 } .three { fill: #3fb950 }
    .line.one { stroke: #4493f8 } .line.two { stroke: #ab7df8 } .line.three { stroke: #3fb950 } .line { fill: none }
  }
"""
_COLORS: Final = ("one", "two", "three")

Life = dict[str, Any]


def main() -> None:
    """Write the page and its pictures; what was not measured stays as it is."""
    PICTURES.mkdir(exist_ok=True)
    for path in FOLDER.glob("scale-*.json"):
        (PICTURES / path.name).write_bytes(path.read_bytes())
    lives = lives_in(PICTURES)
    results = [Result(**each) for each in json.loads((FOLDER / "details.json").read_bytes())]
    names = {result.name for result in results}
    results += [result for life in lives for result in results_of(life) if result.name not in names]
    machine = json.loads((FOLDER / "machine.json").read_bytes())
    parts = {
        "machine": machine_text(machine),
        "bars": bars_text(results),
        "sizes": sizes_text(lives),
        "scale": scale_text(lives),
        "told": told_text(results),
    }
    PAGE.write_text(with_parts(PAGE.read_text(encoding="utf-8"), parts), encoding="utf-8")
    pictures = {"bars": bars_picture(results), "load": load_picture(lives), "memory": memory_picture(lives)}
    for name, picture in pictures.items():
        (PICTURES / f"{name}.svg").write_text(picture, encoding="utf-8")
    for path in (PAGE, *(PICTURES / f"{name}.svg" for name in pictures)):
        print(f"wrote {path.relative_to(ROOT)}")  # noqa: T201


def lives_in(folder: Path) -> list[Life]:
    """Return what `tests.bench.scale` has left, the smallest company first."""
    lives: list[Life] = [json.loads(path.read_bytes()) for path in folder.glob("scale-*.json")]
    return sorted(lives, key=lambda life: int(life["people"]))


# --- the page ---------------------------------------------------------------------------------------------------------


def with_parts(page: str, parts: dict[str, str]) -> str:
    """Return a page with what stands between its markers replaced.

    Raises:
        ValueError: it has no such markers.
    """
    for name, text in parts.items():
        begin, end = f"<!-- measured: {name} -->\n", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, ends, after = rest.partition(end)
        if not (found and ends):
            raise ValueError(f"the page has no place for {name}")
        page = f"{before}{begin}\n{text}\n\n{end}{after}"
    return page


def machine_text(machine: dict[str, Any]) -> str:
    """Return the sentence about what was measured on."""
    return (
        f"Measured on {machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB,"
        f" {machine['system']}, Python {machine['python']}."
    )


def bars_text(results: Iterable[Result]) -> str:
    """Return the table of what must hold."""
    rows = [
        [each.bar, each.name, _with_unit(each), _reference(each), _ratio(each), limit_text(each), _verdict(each)]
        for each in results
        if each.bar
    ]
    return _table(["bar", "what; beside what", "measured", "reference", "ratio", "limit", ""], rows, right="--rrrr-")


def told_text(results: Iterable[Result]) -> str:
    """Return the table of what is told beside it."""
    rows = [[each.name, _with_unit(each), _reference(each), _ratio(each)] for each in results if not each.bar]
    return _table(["what; beside what", "measured", "reference", "ratio"], rows, right="-rrr")


def sizes_text(lives: Sequence[Life]) -> str:
    """Return the table of what a company of some size needs."""
    heads = ["people", "first load", "slices", "a night of 1 % churn", "peak memory, first load", "ledger stored"]
    rows = [
        [
            f"{life['people']:,}",
            f"{life['seconds'] / 3600:.1f} h",
            str(len(life["slices"])),
            f"{life['nights'][-1]['seconds'] / 60:.1f} min",
            f"{max(each['peak'] for each in life['slices']):,.0f} MB",
            f"{life['traffic']['ledger']['sent'] / 1e6:,.1f} MB",
        ]
        for life in lives
    ]
    return _table(heads, rows, right="rrrrrr")


def scale_text(lives: Sequence[Life]) -> str:
    """Return the table of what goes to and from storage, by kinds of blobs."""
    heads = ["blobs of the state container"]
    for life in lives:
        heads += [f"{life['people']:,}: first load", f"{life['people']:,}: a night of 1 % churn"]
    columns = [traffic for life in lives for traffic in (life["traffic"], life["nights"][-1]["traffic"])]
    kinds = sorted({kind for traffic in columns for kind in traffic})
    rows = [[kind, *(_moved(traffic.get(kind)) for traffic in columns)] for kind in kinds]
    return _table(heads, rows, right="-" + "r" * len(columns))


def _moved(traffic: dict[str, int] | None) -> str:
    if not traffic:
        return ""
    sent, received = (f"{traffic[way] / 1e6:,.1f}" for way in ("sent", "received"))
    return f"{traffic['operations']:,} requests, {sent} MB there, {received} MB back"


def _with_unit(result: Result) -> str:
    return f"{number_text(result.value)} {result.unit}".strip()


def _reference(result: Result) -> str:
    return "" if result.reference is None else number_text(result.reference)


def _ratio(result: Result) -> str:
    return "" if result.ratio is None else f"{result.ratio:.2f}"


def _verdict(result: Result) -> str:
    return "holds" if result.ok else "**does not hold**"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: str) -> str:
    rules = ["--:" if side == "r" else "---" for side in right]
    lines = [heads, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- the pictures -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Drawing:
    """An SVG in the making; coordinates are pixels from the upper left corner."""

    height: float
    title: str
    shapes: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        self.shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>')

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.shapes.append(f'<polyline points="{path}" class="{kind}"/>')

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        self.shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" rx="2" class="{kind}"/>'
        )

    def whole(self) -> str:
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {self.height:.0f}" role="img"'
        return "\n".join(
            [f'{head} aria-label="{escape(self.title)}">', f"<style>{_STYLE}</style>", *self.shapes, "</svg>\n"]
        )


def bars_picture(results: Iterable[Result]) -> str:
    """Return how much of what each bar allows is used: beyond the red line it does not hold."""
    held = [(result, used) for result in results if (used := share_of_limit(result)) is not None]
    left, right, row = 430, 60, 24
    drawing = _Drawing(62 + row * len(held), "How much of what each bar allows is used")
    scale = (_WIDTH - left - right) / 1.25
    drawing.text(0, 16, "How much of what each bar allows is used", "")
    for percent in (0, 25, 50, 75):
        x = left + scale * percent / 100
        drawing.line([(x, 44), (x, drawing.height - 8)], "axis")
        drawing.text(x, 38, f"{percent} %", "small middle")
    for number, (result, used) in enumerate(held):
        y = 50 + row * number
        drawing.text(0, y + 13, result.bar, "small")
        drawing.text(36, y + 13, _cut(result.name, 62), "small")
        drawing.box(left, y, scale * min(used, 1.25), row - 8, "one" if result.ok else "bad")
        drawing.text(left + scale * min(used, 1.25) + 6, y + 13, f"{100 * used:.0f} %", "small")
    drawing.line([(left + scale, 44), (left + scale, drawing.height - 8)], "limit")
    drawing.text(left + scale, 38, "limit", "small middle")
    return drawing.whole()


def share_of_limit(result: Result) -> float | None:
    """Return how much of what is allowed is used, 1 being all of it; None where a share says nothing."""
    judged = result.ratio if result.judged == "ratio" else result.value
    if not result.bar or not result.limit or judged is None:
        return None
    if result.at_least:
        return result.limit / judged if judged else math.inf
    return judged / result.limit


def load_picture(lives: Sequence[Life]) -> str:
    """Return how a first load goes on over the hours, beside what Graph would take at most."""
    chart = _Chart("First load: people whose items Graph has, over the hours", "h")
    for life in lives:
        chart.draw(f"{life['people']:,} people", _arrived(life))
    most = max(lives, key=lambda life: int(life["people"]))
    hours = most["people"] / PER_SECOND / 3600
    chart.draw(f"Graph's limit, {PER_SECOND} per second", [(0, 0), (hours, most["people"])], kind="limit dashed")
    return chart.whole()


def memory_picture(lives: Sequence[Life]) -> str:
    """Return the peak memory of each slice of a first load, and of the nights after it."""
    chart = _Chart("Peak memory in MB: slice by slice of a first load, then the nights of 1 % churn", "")
    for life in lives:
        peaks = [each["peak"] for each in (*life["slices"], *life["nights"])]
        chart.draw(f"{life['people']:,} people", list(enumerate(peaks, 1)))
    return chart.whole()


def _arrived(life: Life) -> list[tuple[float, float]]:
    points, sent = [], 0
    for each in life["slices"]:
        points.append((each["began"] / 3600, float(sent)))
        sent += each["put"]
        points.append((each["ended"] / 3600, float(sent)))
    return points


@dataclass(slots=True)
class _Chart:
    """Lines over a common pair of axes that begin at 0, each with its name in the legend below."""

    title: str
    unit: str
    lines: list[tuple[str, str, Sequence[tuple[float, float]]]] = field(default_factory=list)

    def draw(self, name: str, points: Sequence[tuple[float, float]], *, kind: str = "") -> None:
        self.lines.append((name, kind or f"line {_COLORS[len(self.lines) % len(_COLORS)]}", points))

    def whole(self) -> str:
        left, top, height, right = 84, 40, 260, 20
        drawing = _Drawing(top + height + 62, self.title)
        drawing.text(0, 16, self.title)
        far = _round_up(max(x for _, _, points in self.lines for x, _ in points))
        high = _round_up(max(y for _, _, points in self.lines for _, y in points))
        width = _WIDTH - left - right
        for step in range(6):
            y = top + height - height * step / 5
            drawing.line([(left, y), (_WIDTH - right, y)], "axis")
            drawing.text(left - 8, y + 4, _tick(high * step / 5, ""), "small end")
            drawing.text(left + width * step / 5, top + height + 20, _tick(far * step / 5, self.unit), "small middle")
        for number, (name, kind, points) in enumerate(self.lines):
            drawing.line([(left + width * x / far, top + height - height * y / high) for x, y in points], kind)
            x, y = left + number * 220, top + height + 48
            drawing.line([(x, y - 4), (x + 24, y - 4)], kind)
            drawing.text(x + 32, y, name, "small")
        return drawing.whole()


def _tick(value: float, unit: str) -> str:
    return f"{value:,.6g} {unit}".strip()


def _round_up(value: float) -> float:
    """Return the next number above that five steps divide evenly."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if step * power >= value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


if __name__ == "__main__":
    main()
