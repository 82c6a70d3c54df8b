"""Conventional controllers: the PID baseline that every candidate policy is compared with."""

from gate5.control.baseline import open_baseline
from gate5.control.gains import Gains, parse_gains, read_gains
from gate5.control.pid import PIDBaseline, PIDController

__all__ = ["Gains", "PIDBaseline", "PIDController", "open_baseline", "parse_gains", "read_gains"]
