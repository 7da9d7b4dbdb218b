"""What a run proved: teacher, control and student measured, compared, and reported with intervals."""

from limbeck.evaluation.comparison import ComparisonVerdict, methods_table, weigh_methods
from limbeck.evaluation.environment import environment
from limbeck.evaluation.examples import Bin, Example, Quadrants, examples
from limbeck.evaluation.model_cost import Latency, Profile, profile
from limbeck.evaluation.prediction_views import Answer
from limbeck.evaluation.predictions import Predictions, load_predictions, save_predictions
from limbeck.evaluation.report import methods_figure, write_comparison, write_report, write_side_by_side
from limbeck.evaluation.statistics import Gain, interval, paired_gain, retention
from limbeck.evaluation.table import arms_table, compare, compare_table
from limbeck.evaluation.targets import TARGETS, Target, check_targets
from limbeck.evaluation.term_graph import Network, Part, Wire, Wiring, wiring
from limbeck.evaluation.verdict import Arm, Arms, Cost, Export, Metric, Verdict, judge

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
