"""What a run proved: teacher, control and student measured, compared, and reported with intervals."""

from limbeck.verdict.comparison import ComparisonVerdict, methods_table, weigh_methods
from limbeck.verdict.environment import environment
from limbeck.verdict.measure import Latency, Profile, profile
from limbeck.verdict.predictions import Predictions, load_predictions, save_predictions
from limbeck.verdict.report import write_report
from limbeck.verdict.statistics import Gain, interval, paired_gain, retention
from limbeck.verdict.table import arms_table, compare, compare_table
from limbeck.verdict.targets import TARGETS, Target, check_targets
from limbeck.verdict.verdict import Arm, Arms, Cost, Export, Metric, Verdict, judge

__all__ = [
    "TARGETS",
    "Arm",
    "Arms",
    "ComparisonVerdict",
    "Cost",
    "Export",
    "Gain",
    "Latency",
    "Metric",
    "Predictions",
    "Profile",
    "Target",
    "Verdict",
    "arms_table",
    "check_targets",
    "compare",
    "compare_table",
    "environment",
    "interval",
    "judge",
    "load_predictions",
    "methods_table",
    "paired_gain",
    "profile",
    "retention",
    "save_predictions",
    "weigh_methods",
    "write_report",
]
