"""What can go wrong around the sCO2 plant, level by level; the expected levels are those of its data sheets.

Sources: instruments as in ``instruments.py`` (level 1 is the class itself). Delay: one control period of 5 s for the
distributed control system's scan, network and voter. Control valves: dead band 0.5 to 2 % of travel with a positioner
(ANSI/ISA-75.25.01, IEC 60534-4). Parameters: performance tests of heat exchangers and turbo machines state 2 to 5 %
(ASME PTC 10, PTC 12.5).
"""

from __future__ import annotations

from collections.abc import Sequence

from gate5.plant.disturbance import Signal
from gate5.plant.perturbation import Perturbation
from gate5.plant.sco2.parameters import ACTUATORS
from gate5.plant.stress import StressClass

FAULT_S = 150.0
_PARAMETERS = (
    ("turbine_efficiency", "turbine efficiency"),
    ("compressor_efficiency", "compressor efficiency"),
    ("heater_conductance", "heater conductance"),
    ("precooler_conductance", "precooler conductance"),
    ("recuperator_conductance", "recuperator conductance"),
    ("heat_input", "heat input"),
)
_DATA_SHEET, _PTC = "the instrument's class", "ASME PTC 10 and 12.5"

_TOGETHER = (Perturbation("noise"), Perturbation("lag"), Perturbation("delay"))
_LOOP = (
    StressClass("noise", "sensor noise", (Perturbation("noise"),), (1.0, 2.0, 4.0), 1.0, "x declared", _DATA_SHEET),
    StressClass("lag", "thermowell lag", (Perturbation("lag"),), (1.0, 2.0, 4.0), 1.0, "x declared", "makers' data"),
    StressClass("bias", "sensor bias", (Perturbation("bias"),), (0.5, 1.0, 2.0, 4.0), 1.0, "x class", _DATA_SHEET),
    StressClass("drift", "sensor drift", (Perturbation("drift"),), (1.0, 4.0), 0.0, "x class per hour"),
    StressClass("dropout", "lost readings", (Perturbation("dropout", 0.01),), (1.0, 10.0), 0.0, "%"),
    StressClass("delay", "loop delay", (Perturbation("delay"),), (1.0, 2.0, 3.0), 1.0, "periods",
                "scan, network, voter"),
    StressClass("noise_lag_delay", "noise, lag and delay together", _TOGETHER, (1.0, 2.0), 1.0, "x declared, periods"),
    StressClass("dead_band", "actuator dead band", (Perturbation("dead_band", 0.01),), (0.5, 1.0, 2.0), 0.0, "%",
                "ANSI/ISA-75.25.01"),
    StressClass("slow", "slower actuators", (Perturbation("actuator_slow", 0.25),), (1.0, 2.0, 3.0), 0.0, "x 25 %"),
    StressClass("start", "another initial state", (Perturbation("initial", 0.5),), (1.0, 2.0), 0.0, "x half the range"),
    StressClass("parameters", "all parameters together", (Perturbation("parameter", 0.05),), (1.0, 2.0), 1.0, "x 5 %",
                _PTC),
    StressClass("parameters_delay", "parameters, noise, lag and delay",
                (Perturbation("parameter", 0.05), *_TOGETHER), (1.0, 2.0), 0.0, "x 5 %, x declared"),
    StressClass("trip_in_transient", "a turbine trip during the transient",
                (Perturbation("number", (240.0, 900.0), ("trip_after",)),),
                scenarios=("load_rejection", "load_following", "eaf_transients")),
)  # fmt: skip


def classes(observed: Sequence[str], signals: Sequence[Signal]) -> tuple[StressClass, ...]:
    """The matrix for what is observed."""
    instruments = [s.name for s in signals if s.name in observed and s.kind in ("measured", "estimated")]
    parameters = [
        StressClass(name, title, (Perturbation("parameter", 0.05, (name,)),), (1.0, 2.0), 1.0, "x 5 %", _PTC)
        for name, title in _PARAMETERS
    ]
    faults = [
        StressClass(
            f"{kind}.{name}",
            f"{what}: {name.replace('_', ' ')}",
            (Perturbation(kind, 1.0, (name,), start_s=FAULT_S),),
        )
        for kind, what in (("stuck", "stuck sensor"), ("failed_low", "sensor failed low"))
        for name in instruments
    ]
    stuck = [
        StressClass(
            f"actuator_stuck.{a.name}",
            f"stuck actuator: {a.name.replace('_', ' ')}",
            (Perturbation("actuator_stuck", 1.0, (a.name,), start_s=FAULT_S),),
        )
        for a in ACTUATORS
    ]
    return (*_LOOP, *parameters, *faults, *stuck)
