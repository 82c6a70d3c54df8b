"""The sCO2 plant as a co-simulation FMU of FMI 2.0; made by scripts/make_fmu.py with pythonfmu."""

from __future__ import annotations

from typing import Any

from pythonfmu import Boolean, Fmi2Causality, Fmi2Slave, Fmi2Variability, Integer, Real
from sco2_model import ACTIONS, OUTPUTS, SCO2Model


class SCO2FMI2(Fmi2Slave, SCO2Model):
    """10 MWe supercritical-CO2 Brayton cycle on waste heat."""

    author = "gate5"
    description = "10 MWe supercritical-CO2 Brayton cycle on waste heat"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare()
        fixed = {"causality": Fmi2Causality.parameter, "variability": Fmi2Variability.fixed}
        self.register_variable(Integer("phase", description="scenario, 0 to 6", **fixed))
        self.register_variable(Integer("seed", description="of the episode", **fixed))
        self.register_variable(Real("fail_at", description="seconds; the solver fails then; negative: never", **fixed))
        for name in ACTIONS.values():
            self.register_variable(Real(name, causality=Fmi2Causality.input))
        for name, _, title in OUTPUTS:
            self.register_variable(Real(name, causality=Fmi2Causality.output, description=title))
        self.register_variable(Real("reward", causality=Fmi2Causality.output))
        discrete = Fmi2Variability.discrete
        self.register_variable(Boolean("terminated", causality=Fmi2Causality.output, variability=discrete))

    def exit_initialization_mode(self) -> None:
        self.begin()

    def do_step(self, current_time: float, step_size: float) -> bool:
        return self.advance(current_time)
