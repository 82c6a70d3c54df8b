"""Bindings: the ways to a plant, one file each."""

from __future__ import annotations

from gate5.config.run import BindingConfig
from gate5.edge.runtime.bindings.base import Binding
from gate5.edge.runtime.installed import Installed
from gate5.plant.judged import judged_plant

__all__ = ["Binding", "open_binding"]


def open_binding(config: BindingConfig, release: Installed) -> Binding:
    """The configured binding, not connected yet.

    Raises:
        ConfigError: an option that it does not take.
    """
    if config.kind == "simulator":
        from gate5.edge.runtime.bindings.simulator import Simulator

        return Simulator(judged_plant(release.config), config.options)
    from gate5.edge.runtime.bindings.json_socket import JsonSocket

    return JsonSocket(release.plant, config.options)
