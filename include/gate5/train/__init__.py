"""Training: imitation of the baseline, then PPO (``gate5 train``)."""

from gate5.train.settings import TrainingSettings
from gate5.train.training import train

__all__ = ["TrainingSettings", "train"]
