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
