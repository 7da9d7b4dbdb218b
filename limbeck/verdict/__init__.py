"""What a run proved: teacher, control and student measured, compared, and reported with intervals."""

from limbeck.verdict.comparison import ComparisonVerdict, methods_table, weigh_methods
from limbeck.verdict.environment import environment
from limbeck.verdict.evidence import Bin, Example, Quadrants, examples
from limbeck.verdict.measure import Latency, Profile, profile
from limbeck.verdict.predictions import Predictions, load_predictions, save_predictions
from limbeck.verdict.report import methods_figure, write_comparison, write_report, write_side_by_side
from limbeck.verdict.statistics import Gain, interval, paired_gain, retention
from limbeck.verdict.table import arms_table, compare, compare_table
from limbeck.verdict.targets import TARGETS, Target, check_targets
from limbeck.verdict.verdict import Arm, Arms, Cost, Export, Metric, Verdict, judge
from limbeck.verdict.voices import Answer
from limbeck.verdict.wiring import Network, Part, Wire, Wiring, wiring

__all__ = [
    "TARGETS",
    "Answer",
    "Arm",
    "Arms",
    "Bin",
    "ComparisonVerdict",
    "Cost",
    "Example",
    "Export",
    "Gain",
    "Latency",
    "Metric",
    "Network",
    "Part",
    "Predictions",
    "Profile",
    "Quadrants",
    "Target",
    "Verdict",
    "Wire",
    "Wiring",
    "arms_table",
    "check_targets",
    "compare",
    "compare_table",
    "environment",
    "examples",
    "interval",
    "judge",
    "load_predictions",
    "methods_figure",
    "methods_table",
    "paired_gain",
    "profile",
    "retention",
    "save_predictions",
    "weigh_methods",
    "wiring",
    "write_comparison",
    "write_report",
    "write_side_by_side",
]
