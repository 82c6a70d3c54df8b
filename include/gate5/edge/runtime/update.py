"""``Update``: a newer release beside the one that drives: verified, warmed, in shadow, in charge, on probation.

Nothing here waits: each call between two periods does one small step, and what takes long runs in a thread.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gate5.config.run import PullConfig, RunConfig
from gate5.edge.folder import DRIVING, held_here
from gate5.edge.pull import fall_back
from gate5.edge.runtime.background import Background
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.installed import Installed, read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.edge.runtime.supervisor import PolicyRuntime
from gate5.edge.runtime.trial import Probation, Shadow
from gate5.io.files import replace_link
from gate5.store.signing import PublicKey

Phase = Literal["idle", "verifying", "starting", "shadow", "probation", "holding"]
HOLD_AGAIN_S = 5.0


class Update:
    """Follows the folder's ``current``; an observer of ``drive``.

    Args:
        root: the plant's folder.
        runtime: that drives.
        launcher: starts processes.
        keys: that a release must be signed with.
        say: gets a line for each step.
        changed: called when another release drives from now on.
        noted: gets each outcome as it is noted, for the evidence that goes back to the store.
    """

    def __init__(
        self,
        root: Path,
        runtime: PolicyRuntime,
        launcher: Launcher,
        keys: Sequence[PublicKey],
        say: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
        noted: Callable[[dict[str, Any]], None] = lambda outcome: None,
    ) -> None:
        self._root, self._runtime, self._launcher, self._keys = root, runtime, launcher, keys
        self._config: RunConfig = runtime.config
        self._say, self._changed, self._noted = say, changed, noted
        self._background = Background()
        self._seen = runtime.release.folder
        self._next: tuple[Installed, EngineLink] | None = None
        self._last: tuple[Installed, EngineLink] | None = None
        self._shadow: Shadow | None = None
        self._probation: Probation | None = None
        self._drove: Probation = self._new_probation()
        self._due, self._pull_due = 0.0, 0.0
        self._reason = ""
        self._job: Callable[[], str] = self._remember
        self.phase: Phase = "idle"
        #: How long a shadow's answer is waited for; only a simulator that makes no pauses needs it.
        self.patience_s = 0.0
        self.outcomes: list[dict[str, Any]] = []

    def __call__(self, reading: Reading, decision: Decision) -> None:
        """A period is over: compare what the shadow answered, or count what the new release did."""
        if self.phase == "shadow" and self._shadow is not None and self._next is not None:
            self._shadow.add(reading, decision, self.patience_s)
        watched = self._probation if self.phase == "probation" else self._drove
        if watched is not None:
            watched.add(decision, self._runtime.margins.margins)

    def between(self) -> None:
        """One small step between two periods."""
        now = time.monotonic()
        pull = self._config.update.pull
        if pull is not None and now >= self._pull_due:
            self._pull_due = now + pull.every_s
            self._launcher.start(pull_command(self._root, self._config.trust, pull), [])
        if now >= self._due and self.phase in ("idle", "starting", "shadow", "probation"):
            self._due = now + self._config.update.check_s
            self._look()
        if self.phase == "verifying":
            self._verified(self._background.done())
        elif self.phase == "starting":
            self._warm()
        elif self.phase == "shadow":
            self._judge_shadow()
        elif self.phase == "probation":
            self._judge_probation()
        elif self.phase == "holding" and now >= self._due:
            self._held(self._background.done())

    def close(self) -> None:
        """End every engine process that this started."""
        self._background.close()
        for pair in (self._next, self._last):
            if pair is not None:
                pair[1].close()

    def offer(self, release: Installed, link: EngineLink) -> None:
        """A verified release and its engine process, to go into shadow as soon as it is ready."""
        self._next, self.phase = (release, link), "starting"

    def _look(self) -> None:
        try:
            folder = (self._root / "current").resolve()
        except OSError:
            return
        if folder == self._seen:
            return
        self._seen = folder
        self._drop_next()
        if self._last is not None:
            self._last[1].close()
            self._last, self._drove = None, self._new_probation()
        self.phase = "idle"
        if folder == self._runtime.release.folder:
            return
        self.phase = "verifying"
        self._background.start(self._read)

    def _read(self) -> Installed:
        """What ``current`` names; where a person fell back to it, what drives now is not borne for another period."""
        found = read_installed(self._root, self._keys)
        went_back = held_here(self._root, self._runtime.release.folder)
        return replace(found, rollback=True) if went_back else found

    def _verified(self, found: Any) -> None:
        if found is None:
            return
        self.phase = "idle"
        if not isinstance(found, Installed):
            self._say(f"the new release is not taken: {found}")
            self._note("refused", self._seen.name.rpartition(".")[0] or self._seen.name, str(found))
            return
        if found.id == self._runtime.release.id:
            return
        reason = _differs(self._runtime.release, found)
        if reason:
            self._refuse(found, reason)
            return
        self._say(f"{found.id} is verified; its engine process starts beside the one that drives")
        self.offer(found, EngineLink(found, self._launcher, self._config))

    def _warm(self) -> None:
        if self._next is None:
            return
        release, link = self._next
        trouble = link.check_start()
        if trouble is not None:
            self._drop_next()
            self._refuse(release, f"its engine does not start: {trouble[1]}")
        elif link.ready and release.rollback:
            self._take_over(Shadow(release, link))
        elif link.ready:
            self._say(f"{release.id} drives in shadow for {self._config.update.shadow_periods} periods")
            self._shadow, self.phase = Shadow(release, link), "shadow"

    def _judge_shadow(self) -> None:
        shadow, told = self._shadow, self._config.update
        if shadow is None or self._next is None:
            return
        release = self._next[0]
        if shadow.wrong:
            self._drop_next()
            self._refuse(release, f"in shadow, {shadow.wrong}")
        elif shadow.periods >= told.shadow_periods:
            if shadow.late > told.shadow_late * shadow.periods:
                self._drop_next()
                self._refuse(release, f"in shadow, {shadow.late} of {shadow.periods} answers were late")
            else:
                self._take_over(shadow)

    def _take_over(self, shadow: Shadow) -> None:
        runtime, found = self._runtime, self._next
        assert found is not None
        self._last, self._next, self._shadow = (runtime.release, runtime.link), None, None
        runtime.use(*found)
        found[1].reset()
        self._probation, self.phase = self._new_probation(), "probation"
        before = self._last[0].id
        self._note("took_over", found[0].id, "rollback" if found[0].rollback else "", shadow.to_dict())
        if found[0].rollback:  # a person judged the last one: it is not put back
            self._say(f"{found[0].id} takes over from {before} at once: a person went back to it")
            runtime.give_back_latch()
            self._pass()
        else:
            apart = f"{shadow.largest:.3g} at most, {shadow.mean:.3g} on average"
            self._say(f"{found[0].id} takes over from {before}; in shadow it differed by {apart}")
        self._changed()

    def _judge_probation(self) -> None:
        probation, told = self._probation, self._config.update
        if probation is None or self._last is None:
            return
        reason = probation.worse_than(self._drove, told.most_hand_overs, told.margin_loss)
        if reason:
            self._put_back(reason)
        elif probation.periods >= told.probation_periods:
            self._say(f"{self._runtime.release.id} has passed its probation")
            self._note("passed", self._runtime.release.id, "")
            self._pass()

    def _pass(self) -> None:
        """Nothing is kept to go back to; the next start begins with this release."""
        if self._last is not None:
            self._last[1].close()
        self._last, self._drove = None, self._probation or self._new_probation()
        self._reason, self.phase, self._due = "", "holding", 0.0
        self._background.start(self._remember)

    def _put_back(self, reason: str) -> None:
        runtime, last = self._runtime, self._last
        assert last is not None
        bad, link = runtime.release, runtime.link
        runtime.use(*last)
        runtime.give_back_latch()
        last[1].reset()
        link.close()
        self._last = self._probation = None
        self._say(f"{last[0].id} is put back: {bad.id}, on probation, {reason}")
        self._note("put_back", bad.id, reason)
        self._changed()
        self._hold(bad, f"put back from probation: {reason}")

    def _refuse(self, release: Installed, reason: str) -> None:
        self._say(f"{release.id} is not taken: {reason}")
        self._note("refused", release.id, reason)
        self._hold(release, reason)

    def _hold(self, release: Installed, reason: str) -> None:
        """Let the folder say so too, so that neither the next pull nor the next start takes it."""

        def job() -> str:
            if (self._root / "current").resolve() != release.folder:
                return "the channel names another release by now"
            return f"{fall_back(self._root, reason)} is current again, {release.id} is held back"

        self._reason, self._job, self.phase, self._due = reason, job, "holding", 0.0
        self._background.start(job)

    def _held(self, said: Any) -> None:
        if said is None:
            return
        if isinstance(said, Exception):
            if self._reason:
                self._say(f"the folder is not changed yet: {said}")
                self._due = time.monotonic() + HOLD_AGAIN_S
                self._background.start(self._job)
                return
            self._say(f"the folder is not changed: {said}")
        elif said:
            self._say(str(said))
        self.phase = "idle"
        self._seen = (self._root / "current").resolve() if self._reason else self._seen

    def _remember(self) -> str:
        folder = self._runtime.release.folder
        replace_link(self._root / DRIVING, os.path.relpath(folder, self._root))
        return ""

    def _drop_next(self) -> None:
        if self._next is not None:
            self._next[1].close()
        self._next = self._shadow = None

    def _new_probation(self) -> Probation:
        return Probation(self._runtime.margins.names, self._config.mode == "shadow")

    def _note(self, outcome: str, release: str, reason: str, shadow: dict[str, Any] | None = None) -> None:
        self.outcomes.append({"release": release, "outcome": outcome, "reason": reason, "shadow": shadow})
        self._noted(self.outcomes[-1])


def pull_command(root: Path, trust: Sequence[str], told: PullConfig) -> list[str]:
    """A `gate5 pull` that takes what this machine takes, and no more."""
    command = [sys.executable, "-m", "gate5", "pull", os.fspath(root), "--config", told.config]
    for path in trust:
        command += ["--trust", path]
    if told.limits is not None:
        command += ["--limits", told.limits]
    return [*command, *(["--require-proof"] if told.require_proof else [])]


def _differs(now: Installed, new: Installed) -> str:
    """Why a release cannot drive in another's place."""
    for what, a, b in (
        ("plant", now.plant.name, new.plant.name),
        ("observations", now.plant.observation_space.names, new.plant.observation_space.names),
        ("actions", now.plant.action_space.names, new.plant.action_space.names),
        ("control step", now.plant.dt_s, new.plant.dt_s),
    ):
        if a != b:
            return f"it is for another {what} ({b}) than the one that drives ({a})"
    same = np.array_equal(now.plant.action_space.low, new.plant.action_space.low)
    return (
        ""
        if same and np.array_equal(now.plant.action_space.high, new.plant.action_space.high)
        else ("its actions have other bounds than those of the one that drives")
    )
