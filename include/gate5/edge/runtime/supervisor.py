"""``PolicyRuntime``: decides in every period who drives, and hands over within it.

It imports no engine library: the engine answers from its own process (``engine_link``).
"""

from __future__ import annotations

import math
import time

import numpy as np

from gate5.config.run import RunConfig
from gate5.edge.runtime.decision import Decision, Reading, Trouble
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.estimate import Estimator
from gate5.edge.runtime.installed import Installed
from gate5.edge.runtime.tracking import Follower
from gate5.edge.runtime.watch import MarginWatch, ObservationWatch
from gate5.errors import ConfigError
from gate5.plant.base import Float32

DEADLINE_SHARE, MOST_DEADLINE_S = 0.2, 0.1
#: An engine that answers so was never judged so: it is not trusted again by itself.
WRONG = ("answer_not_finite", "answer_out_of_range", "answer_too_fast")


class PolicyRuntime:
    """The supervisor of one plant; call ``step`` once a period, from one thread.

    Args:
        release: that drives.
        link: its engine process.
        config: of the run.

    Raises:
        ConfigError: no baseline, or a safe action of the wrong size.
    """

    def __init__(self, release: Installed, link: EngineLink, config: RunConfig) -> None:
        self.release, self.link, self.config = release, link, config
        plant = release.plant
        self.period_s = config.period_s or plant.dt_s
        wanted = config.hand_over.deadline_ms
        self.deadline_s = min(DEADLINE_SHARE * self.period_s, MOST_DEADLINE_S) if wanted is None else wanted / 1e3
        self.follower = Follower(release.baseline(config.baseline))
        self._low = plant.action_space.low.astype(np.float32)
        self._high = plant.action_space.high.astype(np.float32)
        self._range = list(zip((self._low - 1e-6).tolist(), (self._high + 1e-6).tolist(), strict=True))
        self._bounds = list(zip(self._low.tolist(), self._high.tolist(), strict=True))
        self._safe = self._safe_action(config)
        self._watch(release)
        self.source: str = "policy" if config.mode == "control" else "baseline"
        self._hold = 0
        self._latched = False
        self._person: str | None = None
        self._blend = 0
        self._last: Float32 | None = None
        self._last_values: list[float] | None = None
        self._last_answer: list[float] | None = None
        self._standing: Float32 | None = None
        link.keep_warm(True)

    def begin(self) -> None:
        """An episode starts, or control of a running plant: nothing is remembered."""
        self.follower.reset()
        self.link.reset()
        self.observations.reset()
        self.margins.reset()
        self.estimator.reset()
        self._last = self._last_values = self._last_answer = self._standing = None
        self.source = "policy" if self.config.mode == "control" and not self._latched else "baseline"
        self._hold = self._blend = 0

    def use(self, release: Installed, link: EngineLink) -> None:
        """Another release of the same plant drives from the next period on; its actions are blended in."""
        self.link.keep_warm(False)
        link.keep_warm(True)
        self.release, self.link = release, link
        self._watch(release)
        self._last_answer = None
        if self.source == "policy":
            self._blend = self.config.hand_over.blend_periods + 1

    def _watch(self, release: Installed) -> None:
        told, bounds = self.config.hand_over, release.envelope
        self._most = [] if bounds is None else bounds.action_step.astype(np.float32).tolist()
        self.observations = ObservationWatch(release.plant, bounds, told, self.period_s)
        self.margins = MarginWatch(release.plant, bounds, told.margin_periods, told.margin_confirm_periods)
        ahead = None if bounds is None else bounds.forecast
        known = {s.name for s in getattr(release.plant, "signals", ()) if s.kind == "known"}
        space = release.plant.observation_space
        given = [i for i, name in enumerate(space.names) if name in known]
        self.estimator = Estimator(ahead, self.period_s, math.floor(told.lost_age_periods), given, space)

    def hand_over(self, why: str) -> None:
        """A person says that the baseline is to drive, until ``give_back``."""
        self._person = why or "no reason was given"

    def give_back(self) -> None:
        """A person gives the plant back to the policy; also after a latched hand-over."""
        self._person, self._latched, self._hold = None, False, 0

    def give_back_latch(self) -> None:
        """Forget a latch that another release earned; what a person said stays."""
        self._latched, self._hold = False, 0

    @property
    def latched(self) -> bool:
        """Whether only a person can give the plant back."""
        return self._latched or self._person is not None

    def step(self, reading: Reading, answered_by: float = math.inf) -> Decision:
        """Decide one period.

        Args:
            reading: of the plant.
            answered_by: the engine is waited for no longer than until then (``time.monotonic``), whatever the deadline
                says: a period that began late is not to end late as well.
        """
        start = time.perf_counter_ns()
        if reading.starts:
            self.begin()
        refused = self._refused(reading)
        lost = self.observations.lost(reading)
        if lost is not None or reading.obs is None:
            self.estimator.miss()
            return self._finish(self._blind(lost or ("observation_missing", "")), start)
        obs, watch, estimator = reading.obs, self.observations, self.estimator
        age = watch.age(reading)
        trouble = watch.suspicious(obs, age)
        seen, values = obs, watch.values
        if watch.outside:
            seen = estimator.credible(obs, age)
            values = seen.tolist()
        finite = watch.finite and seen is obs
        estimator.take(seen, age, stamped=reading.age_s > 0.0, repeated=watch.stands_still, finite=finite)
        late = estimator.late
        if late:
            if trouble is None and age <= 0.0:
                trouble = "observation_stale", f"it goes on from where it stood still: {late} periods late"
            if trouble is not None:
                return self._finish(self._blind(trouble), start)
        near = self.margins.check(values)
        known = seen if finite else estimator.now()
        if known is not None and known is not obs:
            seen, values = known, known.tolist()
        asked = self.link.ask(obs) if watch.finite else ("observation_not_finite", "")
        deadline = time.monotonic() + self.deadline_s
        baseline = self.follower.propose(seen, values)
        before = time.perf_counter_ns()
        answer = asked if asked is not None else self.link.wait(min(deadline, answered_by), deadline <= answered_by)
        waited = time.perf_counter_ns() - before
        policy, answered, wrong = None, None, None
        if isinstance(answer, tuple):
            wrong = answer
        else:
            policy = answer.copy()
            answered = policy.tolist()
            wrong = self._wrong(answered)
        person: Trouble | None = None if self._person is None else ("person", self._person)
        decision = self._choose(baseline, policy, answered, person or refused or trouble or near or wrong)
        decision.waited_ns = waited
        decision.inference_ns = self.link.inference_ns if policy is not None else 0
        return self._finish(decision, start)

    def _refused(self, reading: Reading) -> Trouble | None:
        """Whether the plant took the last action; if not, forecast and PID follow what it stands at instead."""
        standing = reading.standing
        if self._last is None and standing is not None and np.isfinite(standing).all():
            self._last = standing  # of a plant that runs already, for `safe_action: hold`
        if not reading.refused:
            self._standing = None
            return None
        if standing is not None and self._last is not None:
            self._standing = self._last = np.where(np.isfinite(standing), standing, self._last).astype(np.float32)
            self.estimator.took(self._standing)
        return "action_refused", reading.refused

    def _wrong(self, values: list[float]) -> Trouble | None:
        """What is wrong with an answer."""
        for value, (low, high) in zip(values, self._range, strict=True):
            if not low <= value <= high:
                finite = all(map(math.isfinite, values))
                return "answer_out_of_range" if finite else "answer_not_finite", f"the answer was {values}"
        own = self.source != "policy" or self._blend > 0 or self.config.mode == "shadow"
        before = self._last_answer if own else self._last_values
        if before is None or not self._most:
            return None
        for i, (value, last, most) in enumerate(zip(values, before, self._most, strict=True)):
            if not abs(value - last) <= most:
                names = self.release.plant.action_space.names
                moved = f"moved by {abs(value - last):.4g} in a period, judged were {most:.4g}"
                return "answer_too_fast", f"{names[i] if names else i} {moved}"
        return None

    def _choose(
        self,
        baseline: Float32 | None,
        policy: Float32 | None,
        values: list[float] | None,
        trouble: Trouble | None,
    ) -> Decision:
        """Args: ``values`` is ``policy`` as plain floats."""
        self._last_answer = values if trouble is None or trouble[0] != "answer_not_finite" else None
        if baseline is None and (trouble is not None or self.source != "policy" or policy is None):
            return self._without("baseline_failed", trouble[1] if trouble else "")
        was = self.source
        cause, text = trouble or ("", "")
        if trouble is not None:
            self._hold = self.config.hand_over.hold_periods
            latch = self.config.hand_over.latch or (self.config.hand_over.latch_wrong_answers and cause in WRONG)
            self._latched = self._latched or (latch and was == "policy")
        elif self._hold:
            self._hold -= 1
        free = trouble is None and not self._hold and not self._latched and self.config.mode == "control"
        if free and policy is not None:
            if was != "policy":
                self._blend = self.config.hand_over.blend_periods
            action = self._blended(policy, baseline)
            self.source = "policy"
        else:
            assert baseline is not None
            action, self.source = baseline, "baseline"
        return Decision(
            action, "policy" if self.source == "policy" else "baseline", cause, text, policy=policy, baseline=baseline,
            handed_over=was == "policy" != self.source, given_back=self.source == "policy" != was,
        )  # fmt: skip

    def _blended(self, policy: Float32, baseline: Float32 | None) -> Float32:
        if self._blend <= 0 or baseline is None:
            return policy
        share = np.float32(self._blend / (self.config.hand_over.blend_periods + 1))
        self._blend -= 1
        return np.asarray(share * baseline + (1 - share) * policy, np.float32)

    def _blind(self, trouble: Trouble) -> Decision:
        """No reading of this period: the baseline, by the forecast from the last one; else the safe action."""
        self.link.reset()
        self.link.revive()
        obs = self.estimator.now()
        baseline = None if obs is None else self.follower.propose(obs, obs.tolist())
        return self._without(*trouble) if baseline is None else self._choose(baseline, None, None, trouble)

    def _without(self, cause: str, text: str) -> Decision:
        """No observation, or no baseline: the safe action."""
        was, self.source, self._last_answer = self.source, "safe", None
        self._hold = self.config.hand_over.hold_periods
        self._latched = self._latched or (self.config.hand_over.latch and was == "policy")
        action, known = self._safe, self._safe is not None or self._last is not None
        if action is None:
            action = self._last if self._last is not None else (0.5 * (self._low + self._high)).astype(np.float32)
        self.link.reset()
        # Where the actuators of a running plant stand nobody knows before the first action: nothing is sent.
        return Decision(action, "safe", cause, text, handed_over=was == "policy", applies=known)

    def _finish(self, decision: Decision, start: int) -> Decision:
        values = decision.action.tolist()
        for value, (low, high) in zip(values, self._bounds, strict=True):
            if not low <= value <= high:
                decision.action = np.minimum(np.maximum(decision.action, self._low), self._high)
                values = decision.action.tolist()
                break
        if decision.applies:
            self._last, self._last_values = decision.action, values
            standing = self._standing
            self.estimator.applied(decision.action if standing is None else standing)
            driving = decision.source == "baseline" and standing is None
            self.follower.track(values if standing is None else standing.tolist(), driving=driving)
        decision.overhead_ns = time.perf_counter_ns() - start - decision.waited_ns
        return decision

    def _safe_action(self, config: RunConfig) -> Float32 | None:
        if config.safe_action == "hold":
            return None
        given = np.asarray(config.safe_action, np.float32)
        if given.shape != self._low.shape or not ((given >= self._low) & (given <= self._high)).all():
            raise ConfigError(
                f"safe_action is {config.safe_action}, but the plant takes {len(self._low)} numbers from "
                f"{self._low.tolist()} to {self._high.tolist()}: correct it, or set it to hold."
            )
        return given
