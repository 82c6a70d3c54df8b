"""How badly it drives at worst: the bound, the worst case of each scenario, and the robustness matrix as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gate5.report.artifacts import Artifacts
from gate5.report.chart import Chart, Limit, Series, draw
from gate5.report.html import Markup, code, figure, fold, table, tag, title, unit
from gate5.robustness.matrix import PLAIN, Cell, Matrix, breakdown
from gate5.robustness.report import RobustnessReport, SearchResult

_WHO = {"policy": "policy", "baseline": "baseline", "current": "current release"}


def section(artifacts: Artifacts) -> Markup:
    """The whole section; what is missing or not applicable is said."""
    found = artifacts.robustness
    if found is None:
        body: list[object] = [tag("p", "Missing: the scenarios have not been put together yet.", class_="soft")]
    else:
        body = [
            *_said(found),
            fold("The chance of a violation, scenario by scenario", bound(found)),
            fold("The worst case of each scenario", worst_cases(artifacts, found)),
            fold("The robustness matrix", heat_map(found.matrices)),
        ]
    return tag("section", tag("h2", "At worst"), body, id="robustness")


def _said(found: RobustnessReport) -> list[Markup]:
    """The three answers in a sentence each."""
    lines = []
    if found.chances:
        worst = max(found.chances, key=lambda chance: chance.violation_probability_upper)
        lines.append(f"An episode violates with a chance below {figure(worst.violation_probability_upper, 3)} "
                     f"({worst.scenario}, the largest of {len(found.chances)} scenarios).")  # fmt: skip
    cases = _closest([search for search in found.searches if search.case is not None])
    if cases and cases[0].case is not None:
        lines.append(f"The worst case that was found: {cases[0].scenario}, {cases[0].case.sentence().rstrip('.')}.")
    cells = [cell for m in found.matrices if m.applicable for cell in m.cells if cell.controller == "policy"]
    if cells:
        known = [cell for cell in cells if cell.expected]
        lines.append(f"Of what can go wrong: {sum(c.violating for c in known)} of {sum(c.episodes for c in known)} "
                     "episodes violate at the expected levels.")  # fmt: skip
    return [tag("p", line) for line in lines]


def bound(found: RobustnessReport) -> Markup:
    """The bound on the chance of a violation, scenario by scenario."""
    if not found.chances:
        return tag("p", "Not applicable: no episodes on seeds of the candidate's own were driven.", class_="soft")
    rows = [
        (
            chance.scenario,
            f"{chance.episodes:,}",
            str(chance.violating_episodes),
            figure(chance.violation_probability_upper, 3),
            title(chance.constraint.replace("_", " ")) or "none applied",
            figure(chance.margin, 3, unit(chance.unit)),
            code(chance.worst_seed),
            figure(chance.travel, 3),
        )
        for chance in found.chances
    ]
    share = 100.0 * found.chances[0].confidence
    head = ("scenario", "episodes", "violating", f"chance below ({share:g} %)", "closest limit", "margin", "worst seed",
            "strokes/h")  # fmt: skip
    return tag(
        "div",
        tag("h3", "The chance of a violation"),
        tag("p", "Episodes on seeds that follow from the candidate's hash and that nothing else has used. The bound is "
            "one-sided, Clopper-Pearson; none seen is not zero.", class_="soft"),
        table(head, rows, numeric=(1, 2, 3, 5, 7)),
    )  # fmt: skip


def worst_cases(artifacts: Artifacts, found: RobustnessReport) -> Markup:
    """The worst case of each scenario within the declared ranges, and the chart of the worst of all."""
    cases = [search for search in found.searches if search.case is not None]
    if not cases:
        return tag("p", "Not applicable: the plant declares no disturbances, so no worst case can be searched for.",
                   class_="soft")  # fmt: skip
    rows = []
    for search in cases:
        case = search.case
        assert case is not None
        rows.append(
            (
                search.scenario,
                f"{search.evaluations:,}" + (f" + {search.earlier} earlier" if search.earlier else ""),
                title(case.constraint.replace("_", " ")) or "none applied",
                figure(case.value_margin, 3, unit(case.unit)),
                figure(case.error or None, 2, unit(case.unit)),
                tag("b", "broken") if case.violates else "kept",
                case.found_by,
                code(f"gate5 replay cases/{search.scenario}.json"),
            )
        )
    head = ("scenario", "episodes searched", "closest limit", "margin", "integration error", "", "found by", "again")
    return tag(
        "div",
        tag("h3", "The worst case within the declared ranges"),
        tag("p", "A search over everything that an episode draws, the built engine in the loop. It proves what it "
            "finds; what it does not find may still be there.", class_="soft"),
        table(head, rows, numeric=(1, 3, 4)),
        tag("div", [_curves(cases), *[_chart(artifacts, search) for search in _closest(cases)]], class_="grid2"),
    )  # fmt: skip


def _closest(cases: Sequence[SearchResult]) -> list[SearchResult]:
    """The three scenarios whose worst case comes closest."""
    return sorted(cases, key=lambda s: -1e9 if s.case is None or s.case.share is None else s.case.share)[:3]


def _chart(artifacts: Artifacts, search: SearchResult) -> Markup:
    case = search.case
    arrays = artifacts.case_arrays(search.scenario)
    limit = next((c for c in artifacts.constraints(search.scenario) if case and c.name == case.constraint), None)
    if case is None or limit is None or f"rl/{limit.variable}" not in arrays:
        return tag("p", f"Missing: the curve of {search.scenario}.", class_="soft")
    minutes = np.asarray(arrays["t_s"], np.float64) / 60.0
    values = np.asarray(arrays[f"rl/{limit.variable}"], np.float64)
    limits = [
        Limit(v, upper, limit.name, limit.catastrophic)
        for v, upper in ((limit.low, False), (limit.high, True))
        if v is not None
    ]
    return draw(
        Chart(
            title=f"Worst case of {search.scenario}: {limit.variable.replace('_', ' ')}",
            unit=unit(limit.unit),
            series=[Series("policy", "rl", minutes, values)],
            limits=limits,
            x_name="time, min",
            summary=case.sentence(),
        )
    )


def _curves(cases: Sequence[SearchResult]) -> Markup:
    series = [
        Series(s.scenario, f"c{1 + i % 8}", np.array([n for n, _ in s.curve]), np.array([v for _, v in s.curve]))
        for i, s in enumerate(cases)
        if s.curve
    ]
    return draw(
        Chart(
            title="What the searches found",
            unit="smallest margin in its limit's scale",
            series=series,
            limits=[Limit(0.0, False, "a limit is broken")],
            x_name="episodes driven",
            summary="The smallest margin so far over the number of episodes, one curve for each scenario.",
        )
    )


def heat_map(matrices: Sequence[Matrix]) -> Markup:
    """Violating episodes of every class and level, all scenarios together, policy beside baseline."""
    cells = [cell for matrix in matrices if matrix.applicable for cell in matrix.cells]
    if not cells:
        return tag("p", "Not applicable: the plant declares nothing that can go wrong.", class_="soft")
    who = [name for name in _WHO if any(cell.controller == name for cell in cells)]
    names = list(dict.fromkeys(cell.name for cell in cells))
    head = tag(
        "tr",
        tag("th", "what", scope="col"),
        tag("th", "level", scope="col", class_="n"),
        [tag("th", f"{_WHO[name]}: violating", scope="col", class_="n") for name in who],
        [tag("th", f"{_WHO[name]}: return", scope="col", class_="n") for name in who],
        [tag("th", f"{_WHO[name]}: breaks down at", scope="col", class_="n") for name in who],
        tag("th", "source of the level", scope="col"),
    )
    plain = {name: [c for c in cells if c.name == PLAIN and c.controller == name] for name in who}
    bodies = [tag("tbody", _rows([c for c in cells if c.name == name], who, plain)) for name in names]
    return tag(
        "div",
        tag("h3", "Robustness matrix"),
        tag("p", "Episodes that violate, of all that were driven, over all scenarios; the same episodes for each "
            "controller. An expected level is one that the plant declares it has to live with. Return: change against "
            "the first row, mean over the scenarios.", class_="soft"),
        _scenarios(matrices, who),
        tag("div", tag("table", tag("thead", head), bodies, class_="heat"), class_="scroll", tabindex=0),
    )  # fmt: skip


def _rows(cells: Sequence[Cell], who: Sequence[str], plain: dict[str, list[Cell]]) -> list[Markup]:
    rows = []
    levels = sorted({cell.level for cell in cells})
    for index, level in enumerate(levels):
        here = {name: [c for c in cells if c.level == level and c.controller == name] for name in who}
        first = here[who[0]][0]
        shown = f"{level:g} {first.unit}".strip() if first.unit or len(levels) > 1 else ""
        last = [tag("td", _level(breakdown([c for c in cells if c.controller == n])), class_="n") for n in who]
        rows.append(
            tag(
                "tr",
                tag("th", title(first.title), scope="row") if index == 0 else tag("td"),
                tag("td", shown, " ", tag("b", "expected") if first.expected and first.name != PLAIN else None,
                    class_="n"),
                [_heat(here[name]) for name in who],
                [tag("td", _change(here[name], plain[name]), class_="n") for name in who],
                last if index == 0 else [tag("td") for _ in who],
                tag("td", first.source if index == 0 else "", class_="soft"),
            )
        )  # fmt: skip
    return rows


def _heat(cells: Sequence[Cell]) -> Markup:
    violating, episodes = sum(c.violating for c in cells), sum(c.episodes for c in cells)
    share = violating / max(episodes, 1)
    step = 0 if not violating else 1 + min(int(4.0 * share), 3)
    return tag("td", f"{violating} of {episodes}", class_=f"n h{step}")


def _scenarios(matrices: Sequence[Matrix], who: Sequence[str]) -> Markup:
    rows = []
    for matrix in matrices:
        numbers: list[object] = [matrix.scenario]
        for name in who:
            for expected in (True, False):
                own = [c for c in matrix.of(name) if c.expected == expected]
                numbers.append(f"{sum(c.violating for c in own)} of {sum(c.episodes for c in own)}")
        factor = matrix.metrics().get(f"stress.{matrix.scenario}.travel_factor_under_noise")
        rows.append([*numbers, figure(factor, 3)])
    heads = [f"{_WHO[name]}, {part}" for name in who for part in ("expected", "beyond")]
    return table(("scenario", *heads, "travel under noise, times"), rows, numeric=range(1, 2 * len(who) + 2))


def _returns(cells: Sequence[Cell]) -> float | None:
    values = [cell.return_mean for cell in cells]
    finite = [value for value in values if value is not None]
    return sum(finite) / len(finite) if finite and len(finite) == len(values) else None


def _change(cells: Sequence[Cell], plain: Sequence[Cell]) -> str:
    """In percent; a class that is not driven in every scenario has nothing to be compared with."""
    value, before = _returns(cells), _returns(plain)
    if value is None or not before or len(cells) != len(plain):
        return "–"
    return f"{100.0 * (value - before) / abs(before):+.2f} %".replace("-", "−")


def _level(value: float | None) -> str:
    return "none driven" if value is None else f"{value:g}"
