"""A plant behind a real OPC UA server: ``opcua_plant PORT PERIOD_S SCENARIO``; it steps by its own clock.

Pressures are in bar and actions in percent, so that scaling is needed. It prints a line for each step.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import sys

import numpy as np
from asyncua import Server, ua

from gate5.config.models import ReleaseConfig
from gate5.plant.judged import judged_plant


async def main(port: int, period_s: float, scenario: str) -> None:
    plant = judged_plant(ReleaseConfig.load(None))
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    index = await server.register_namespace("plant")
    folder = await server.nodes.objects.add_object(index, "Plant")
    names, actions = plant.observation_space.names, plant.action_space.names
    obs = plant.reset(scenario, [20_000])[0]
    readings = [
        await folder.add_variable(ua.NodeId(f"Obs.{name}", index), name, float(value))
        for name, value in zip(names, obs.tolist(), strict=True)
    ]
    commands = [await folder.add_variable(ua.NodeId(f"Cmd.{name}", index), name, 50.0) for name in actions]
    for node in commands:
        await node.set_writable()
    beat = await folder.add_variable(ua.NodeId("Beat", index), "Beat", 0, ua.VariantType.Int64)
    await beat.set_writable()
    async with server:
        step = 0
        while True:
            now = datetime.datetime.now(datetime.timezone.utc)
            for name, node, value in zip(names, readings, obs.tolist(), strict=True):
                scaled = value * 10.0 if name.endswith("_pressure") else value
                await server.write_attribute_value(
                    node.nodeid, ua.DataValue(ua.Variant(scaled, ua.VariantType.Double), SourceTimestamp=now)
                )
            await asyncio.sleep(period_s)
            applied = [(float(await node.read_value()) - 50.0) / 50.0 for node in commands]
            stepped = plant.step(np.clip(np.array([applied], np.float32), -1.0, 1.0))
            obs, step = stepped.obs[0], step + 1
            print(step, *applied, flush=True)
            if stepped.terminated[0] or stepped.truncated[0]:
                obs = plant.reset(scenario, [20_000 + step])[0]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
