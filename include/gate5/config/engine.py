"""How the engine is built and run: the section `engine`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gate5.config.backends import BackendChoice
from gate5.config.section import Section


class ProfileConfig(Section):
    """The optimisation profile: batch sizes that the engine takes."""

    min_batch: int = Field(1, ge=1, description="always 1: a plant asks for one action at a time")
    opt_batch: int = Field(1, ge=1, description="the batch that TensorRT tunes its kernels for")
    max_batch: int = Field(512, ge=1, description="the largest batch; evaluations run in chunks of it")

    @model_validator(mode="after")
    def _ordered(self) -> ProfileConfig:
        if not self.min_batch <= self.opt_batch <= self.max_batch:
            raise ValueError(
                f"min_batch <= opt_batch <= max_batch does not hold: "
                f"{self.min_batch}, {self.opt_batch}, {self.max_batch}"
            )
        if self.min_batch != 1:
            raise ValueError(f"min_batch is {self.min_batch}, but a plant asks for one action at a time: set it to 1")
        return self


class EngineConfig(Section):
    """How the engine is built and run."""

    backend: BackendChoice = Field(
        "auto", description="`auto`: TensorRT where it and a GPU are there, else ONNX Runtime on the CPU"
    )
    precision: Literal["fp16", "fp32", "bf16"] = Field(
        "fp16", description="TensorRT and TensorRT-RTX only; ONNX Runtime runs FP32"
    )
    targets: tuple[Annotated[str, Field(pattern=r"^sm[0-9]{2,3}$")], ...] = Field(
        ("sm121",),
        min_length=1,
        description="TensorRT-RTX only: the GPUs that it builds for; sm121: DGX Spark",
    )
    profile: ProfileConfig = Field(default_factory=ProfileConfig, description="batch sizes")
    optimization_level: int = Field(5, ge=0, le=5, description="TensorRT's builder: 5 tries the most kernels")
    builds: int = Field(
        5,
        ge=1,
        description="plans that TensorRT's builder makes and we time, of each form one at least",
    )
    workspace_mib: int = Field(256, ge=1, description="GPU memory that TensorRT may use while it builds")
    tactic_sources: int | None = Field(None, description="bit mask for set_tactic_sources; null: TensorRT's default")
    threads: int = Field(1, ge=1, description="ONNX Runtime's intra-op threads")

    @field_validator("targets")
    @classmethod
    def _once(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({target for target in targets if targets.count(target) > 1})
        if twice:  # the engine would have other bytes and count as another target's
            raise ValueError(f"{', '.join(twice)} is named more than once: name each GPU once")
        return targets
