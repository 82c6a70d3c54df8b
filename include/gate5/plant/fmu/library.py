"""An FMU on disk and its instances, through FMPy: one form for FMI 2.0 and FMI 3.0 co-simulation.

An FMU is native code: opening one runs it in this process. Open only those that you would run.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gate5.errors import PlantError
from gate5.io.paths import resolve_path
from gate5.plant.declared import closest

#: FMI's names of types to the ending of FMPy's get and set functions.
_TYPES: Mapping[bool, Mapping[str, str]] = {
    False: {"Real": "Real", "Integer": "Integer", "Enumeration": "Integer", "Boolean": "Boolean", "String": "String"},
    True: {
        "Enumeration": "Int64",
        **{name: name for name in ("Float32", "Float64", "Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32")},
        **{name: name for name in ("Int64", "UInt64", "Boolean", "String")},
    },
}
#: FMI 2.0 and 3.0: the instance is corrupt.
FATAL = 4
_FLOATS = ("Real", "Float32", "Float64")


class FMULibrary:
    """An unpacked FMU.

    Raises:
        PlantError: FMPy is not installed; the file is missing, is not an FMU, has no co-simulation, or no binary for
            this platform.
    """

    def __init__(self, path: str) -> None:
        self.path = resolve_path(path)
        fmpy = _fmpy(path)
        if not self.path.is_file():
            raise PlantError(f"There is no FMU {self.path}: give the path of an .fmu file after `fmu:`.")
        self.sha256 = hashlib.sha256(self.path.read_bytes()).hexdigest()
        self.description = _describe(fmpy, self.path)
        self.fmi3 = self.description.fmiVersion.startswith("3.")
        self._check(fmpy)
        self.variables = {v.name: v for v in self.description.modelVariables}
        self._folder = tempfile.mkdtemp(prefix="gate5-fmu-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        fmpy.extract(str(self.path), self._folder)

    def slave(self, name: str) -> Any:
        """FMPy's wrapper of the shared library; ``instantiate`` makes an instance of the model."""
        arguments = {
            "guid": self.description.guid,
            "unzipDirectory": self._folder,
            "modelIdentifier": self.description.coSimulation.modelIdentifier,
            "instanceName": name,
        }
        try:
            if self.fmi3:
                from fmpy.fmi3 import FMU3Slave

                return FMU3Slave(**arguments)
            from fmpy.fmi2 import FMU2Slave

            return FMU2Slave(**arguments)
        except Exception as error:  # noqa: BLE001  (the loader's own exceptions, of any kind)
            raise PlantError(f"The binary of the FMU {self.path} cannot be loaded ({error}).") from None

    def known(self, name: str, used_as: str) -> Any:
        """The FMU's variable of this name.

        Raises:
            PlantError: there is none (the text has close names), or it is an array or of a type that cannot be used.
        """
        found = self.variables.get(name)
        if found is None:
            raise PlantError(
                f"The FMU {self.path.name} has no variable {name!r} ({used_as}): {closest(name, self.variables)}"
            )
        if found.type not in _TYPES[self.fmi3] or found.dimensions:
            raise PlantError(
                f"The variable {name!r} of the FMU {self.path.name} ({used_as}) is "
                f"{'an array' if found.dimensions else f'of type {found.type}'}; only scalar numbers can be used."
            )
        return found

    def kind(self, name: str) -> str:
        """The ending of FMPy's functions for a known variable."""
        return _TYPES[self.fmi3][self.variables[name].type]

    def is_float(self, name: str) -> bool:
        """Whether a known variable takes any number (and not whole ones only)."""
        return self.kind(name) in _FLOATS

    def _check(self, fmpy: Any) -> None:
        if self.description.fmiVersion != "2.0" and not self.fmi3:
            raise PlantError(f"The FMU {self.path} is of FMI {self.description.fmiVersion}; use FMI 2.0 or 3.0.")
        if self.description.coSimulation is None:
            raise PlantError(
                f"The FMU {self.path} has no co-simulation, only model exchange: export it for co-simulation."
            )
        platforms = fmpy.supported_platforms(str(self.path))
        here = (fmpy.platform, fmpy.platform_tuple)
        if not set(platforms) & set(here):
            raise PlantError(
                f"The FMU {self.path} has binaries for {', '.join(platforms) or 'no platform'}, but this is {here[0]}: "
                "export it for this platform."
            )


class FMUInstance:
    """One episode's instance of the model; whatever FMPy raises comes out as it is."""

    def __init__(self, library: FMULibrary, name: str) -> None:
        self._library = library
        self._slave = library.slave(name)
        self._alive = False
        self._silent: Any = None

    def start(self, values: Mapping[str, Any]) -> None:
        """A new instance, initialised at time 0 with start values."""
        self.end()
        slave = self._slave
        if self._library.fmi3:
            slave.instantiate(logMessage=_silent3)
        else:
            self._silent = _silent2()
            slave.instantiate(callbacks=self._silent)
        self._alive = True
        if not self._library.fmi3:
            slave.setupExperiment(startTime=0.0)
        for name, value in values.items():
            self.write((name,), (value,))
        slave.enterInitializationMode()
        slave.exitInitializationMode()

    def write(self, names: Sequence[str], values: Sequence[Any]) -> None:
        """Set variables."""
        for name, value in zip(names, values, strict=True):
            kind = self._library.kind(name)
            number = value if kind == "String" else bool(value) if kind == "Boolean" else value
            if kind not in (*_FLOATS, "String", "Boolean"):
                number = int(value)
            getattr(self._slave, f"set{kind}")([self._library.variables[name].valueReference], [number])

    def read(self, names: Sequence[str]) -> list[float]:
        """Numbers of variables, in order; one call for each type."""
        by_kind: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            by_kind.setdefault(self._library.kind(name), []).append(index)
        found = [0.0] * len(names)
        for kind, indices in by_kind.items():
            references = [self._library.variables[names[i]].valueReference for i in indices]
            for i, value in zip(indices, getattr(self._slave, f"get{kind}")(references), strict=True):
                found[i] = float(value)
        return found

    def advance(self, time_s: float, dt_s: float) -> bool:
        """One ``doStep``; returns whether the FMU asks to end the simulation (FMI 3.0)."""
        answer = self._slave.doStep(currentCommunicationPoint=time_s, communicationStepSize=dt_s)
        return bool(answer[1]) if self._library.fmi3 else False

    def abandon(self) -> None:
        """After a fatal error FMI allows no further call on the instance, not even to free it."""
        self._alive = False

    def end(self) -> None:
        """Free the instance; the library stays loaded, for the next episode."""
        if self._alive:
            self._alive = False
            free = self._slave.fmi3FreeInstance if self._library.fmi3 else self._slave.fmi2FreeInstance
            free(self._slave.component)


def _fmpy(path: str) -> Any:
    try:
        import fmpy
    except ImportError:
        raise PlantError(
            f"The plant fmu:{path} needs FMPy, which is not installed: pip install 'gate5[fmu]'."
        ) from None
    return fmpy


def _describe(fmpy: Any, path: Path) -> Any:
    try:
        return fmpy.read_model_description(str(path))
    except Exception as error:  # noqa: BLE001  (zip, XML and schema errors, and FMPy's bare Exception)
        what = " ".join(str(error).split()) or type(error).__name__
        raise PlantError(f"{path} is not an FMU of FMI 2.0 or 3.0 ({what[:200]}); export the model again.") from None


def _silent2() -> Any:
    """FMPy's callbacks, but messages are not printed: standard output belongs to the command."""
    from fmpy import fmi2

    callbacks = fmi2.fmi2CallbackFunctions()
    callbacks.logger = fmi2.fmi2CallbackLoggerTYPE(lambda *_: None)
    callbacks.allocateMemory = fmi2.defaultCallbacks.allocateMemory
    callbacks.freeMemory = fmi2.defaultCallbacks.freeMemory
    return callbacks


def _silent3(*_: Any) -> None: ...
