"""gate5 releases reinforcement-learning control policies to plants."""

__version__ = "0.1.0"
