"""The policy against its channel's current release: what it was compared with, and by how much it differs."""

from __future__ import annotations

from gate5.evaluation import ScenarioComparison
from gate5.report.html import Markup, code, figure, table, tag


def against_current(rows: list[ScenarioComparison]) -> Markup | None:
    """A table of all scenarios, or why nothing was compared; nothing in a run that is older than this."""
    known = [row.current for row in rows if row.current is not None]
    if not known:
        return None
    head = tag("h3", "Against the channel's current release", id="current-release")
    driven = [(row, row.current) for row in rows if row.current is not None and row.current.result is not None]
    reasons = dict.fromkeys(current.why_not for current in known if current.why_not)
    told = [tag("p", f"Not compared: {reason}.".replace("..", "."), class_="note") for reason in reasons]
    if not driven:
        return tag("div", head, told)
    body: list[list[object]] = []
    for row, current in driven:
        difference, result = current.difference, current.result
        assert result is not None
        low, high = (None, None) if difference is None else (difference.low, difference.high)
        percent = row.metrics()[f"evaluation.{row.scenario}.current.difference.low_percent"]
        body.append(
            [
                tag("a", row.title, href=f"#scenario-{row.scenario}"),
                figure(row.rl.return_mean, 5),
                figure(result.return_mean, 5),
                figure(difference.mean if difference else None, 3),
                "–" if low is None or high is None else f"{figure(low, 3)} … {figure(high, 3)}",
                figure(percent, 3, "%"),
                f"{result.violations} ({result.violating_episodes} of {result.episodes})",
            ]
        )
    first = driven[0][1]
    header = ("scenario", "return, policy", "return, current release", "difference", "interval", "its low end",
              "violations, current release")  # fmt: skip
    about = tag(
        "p", "The release ", code(first.release), f", driven by {first.driver}, on the same seeds.", class_="soft"
    )
    caption = (
        "Policy less current release, paired on seeds; the low end in percent of the current release's mean return"
    )
    return tag("div", head, about, told, table(header, body, numeric=range(1, 7), caption=caption))


_ANSWERS = {"yes": "met", "no": "not met", "neither": "neither yes nor no"}


def looks(rows: list[ScenarioComparison]) -> Markup | None:
    """What the intervals said of vetoes after so many episodes; nothing where every first look decided."""
    asked = [(row, look) for row in rows for look in row.looks if any(each.answer == "neither" for each in row.looks)]
    if not asked:
        return None
    body: list[list[object]] = [
        [
            row.title,
            code(look.metric),
            f"{look.episodes:,}",
            "–" if look.low is None or look.high is None else f"{figure(look.low, 3)} … {figure(look.high, 3)}",
            figure(look.threshold, 3),
            f"{100 * look.confidence:.4g} %",
            _ANSWERS.get(look.answer, look.answer),
        ]
        for row, look in asked
    ]
    header = ("scenario", "metric", "episodes", "interval", "must be at least", "confidence", "answer")
    caption = (
        "An interval that holds its limit says neither yes nor no: more episodes were driven, and all of them count. "
        "The chance of error is shared out over the looks."
    )
    return table(header, body, numeric=(2, 3, 4, 5), caption=caption)
