"""Bindings: the ways to a plant, one file each."""

from __future__ import annotations

from collections.abc import Callable

from gate5.config.run import BindingConfig
from gate5.edge.runtime.bindings.base import Binding
from gate5.edge.runtime.installed import Installed
from gate5.plant.judged import judged_plant

__all__ = ["Binding", "open_binding"]


def open_binding(
    config: BindingConfig, release: Installed, period_s: float, say: Callable[[str], None] = lambda text: None
) -> Binding:
    """The configured binding, not connected yet.

    Args:
        period_s: of control.
        say: gets a line when the plant's side goes, comes, or sets its clock.

    Raises:
        ConfigError: an option that it does not take.
    """
    if config.kind == "simulator":
        from gate5.edge.runtime.bindings.simulator import Simulator

        return Simulator(judged_plant(release.config), config.options)
    if config.kind == "opcua":
        from gate5.edge.runtime.bindings.opcua import OpcUa

        return OpcUa(release.plant, config.options, period_s, say)
    from gate5.edge.runtime.bindings.json_socket import JsonSocket

    return JsonSocket(release.plant, config.options, say)
