"""The sCO2 plant as a co-simulation FMU of FMI 3.0; made by scripts/make_fmu.py with pythonfmu3."""

from __future__ import annotations

from typing import Any

from pythonfmu3 import Boolean, Float64, Fmi3Causality, Fmi3Slave, Fmi3Status, Fmi3StepResult, Fmi3Variability, Int32
from sco2_model import ACTIONS, OUTPUTS, SCO2Model


class SCO2FMI3(Fmi3Slave, SCO2Model):
    """10 MWe supercritical-CO2 Brayton cycle on waste heat."""

    author = "gate5"
    description = "10 MWe supercritical-CO2 Brayton cycle on waste heat"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare()
        self.time = 0.0
        self.register_variable(Float64("time", causality=Fmi3Causality.independent))
        fixed = {"causality": Fmi3Causality.parameter, "variability": Fmi3Variability.fixed}
        self.register_variable(Int32("phase", description="scenario, 0 to 6", **fixed))
        self.register_variable(Int32("seed", description="of the episode", **fixed))
        self.register_variable(Float64("fail_at", description="seconds; the solver fails then", **fixed))
        for name in ACTIONS.values():
            self.register_variable(Float64(name, causality=Fmi3Causality.input))
        for name, _, title in OUTPUTS:
            self.register_variable(Float64(name, causality=Fmi3Causality.output, description=title))
        self.register_variable(Float64("reward", causality=Fmi3Causality.output))
        discrete = Fmi3Variability.discrete
        self.register_variable(Boolean("terminated", causality=Fmi3Causality.output, variability=discrete))

    def exit_initialization_mode(self) -> None:
        self.begin()

    def do_step(self, current_time: float, step_size: float) -> Fmi3StepResult:
        good = self.advance(current_time)
        return Fmi3StepResult(status=Fmi3Status.ok if good else Fmi3Status.error)
