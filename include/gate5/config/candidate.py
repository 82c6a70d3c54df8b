"""What is released, for which plant: the sections `plant`, `checkpoint` and `export`."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field, field_validator

from gate5.config.section import Section, json_types


class PlantConfig(Section):
    """Which plant the policy is to drive."""

    id: str = Field("sco2", description="`sco2`, `gymnasium:ENV_ID`, `fmu:PATH` or `module:factory`")
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the plant's factory")

    @field_validator("options")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return json_types(value, "options of a plant")

    @property
    def name(self) -> str:
        """What releases and holds call the plant; of an FMU the file's name, wherever the file lies."""
        kind, _, rest = self.id.partition(":")
        return PurePath(rest).name if kind == "fmu" else self.id.rpartition(":")[2]


class CheckpointConfig(Section):
    """How a checkpoint is read."""

    trust_pickle: bool = Field(
        False, description="unpickle or load the checkpoint unrestricted: it can then run any code on this machine"
    )
    vecnormalize: str | None = Field(
        None,
        min_length=1,
        description="the file of VecNormalize's statistics, or `none` for a policy trained without; null: look for it",
    )
    frame_stack: int = Field(
        1, ge=1, le=64, description="observations that VecFrameStack put into one; the archive does not say"
    )
    channels_order: Literal["first", "last"] | None = Field(
        None, description="as VecFrameStack was given it; null: it was left out"
    )
    spaces: dict[str, Any] = Field(
        default_factory=dict,
        description="of a TorchScript or torch.export file: `observation` and `action`, each `{shape, low, high}`, or "
        "`action: {choices: N}`",
    )

    @field_validator("spaces")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return json_types(value, "spaces of a checkpoint")

    def reading(self) -> dict[str, Any]:
        """How ``gate5.checkpoint.read`` is called."""
        return {
            "trust_pickle": self.trust_pickle,
            "frame_stack": self.frame_stack,
            "channels_order": self.channels_order,
            "spaces": self.spaces or None,
        }


class ExportConfig(Section):
    """How the policy becomes an ONNX graph."""

    opset: int = Field(17, ge=13, le=20, description="ONNX operator set of the graph")
    samples: int = Field(2000, ge=1000, description="observations on which ONNX is compared with the policy")
