"""What a run proved: teacher, control and student measured, compared, and reported with intervals."""

from limbeck.evaluation.comparison import ComparisonVerdict, methods_table, weigh_methods
from limbeck.evaluation.environment import environment
from limbeck.evaluation.examples import Bin, Example, Quadrants, examples
from limbeck.evaluation.model_cost import Latency, Profile, profile
from limbeck.evaluation.prediction_views import ItemPrediction
from limbeck.evaluation.predictions import Predictions, load_predictions, save_predictions
from limbeck.evaluation.report import methods_figure, write_comparison, write_report, write_side_by_side
from limbeck.evaluation.statistics import Gain, interval, paired_gain, retention
from limbeck.evaluation.table import arms_table, compare, compare_table
from limbeck.evaluation.targets import TARGETS, Target, check_targets
from limbeck.evaluation.term_graph import ModuleNode, Network, TermEdge, TermGraph, build_term_graph
from limbeck.evaluation.verdict import Arm, Arms, Cost, Export, Metric, Verdict, judge

__all__ = [
    "TARGETS",
    "Arm",
    "Arms",
    "Bin",
    "ComparisonVerdict",
    "Cost",
    "Example",
    "Export",
    "Gain",
    "ItemPrediction",
    "Latency",
    "Metric",
    "ModuleNode",
    "Network",
    "Predictions",
    "Profile",
    "Quadrants",
    "Target",
    "TermEdge",
    "TermGraph",
    "Verdict",
    "arms_table",
    "build_term_graph",
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
    "write_comparison",
    "write_report",
    "write_side_by_side",
]
