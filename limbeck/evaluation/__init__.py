"""Evaluation of a run: teacher, control and student compared with intervals, the verdict and its report."""

from limbeck.evaluation.agreement import Contingency
from limbeck.evaluation.calibration import CalibrationBin
from limbeck.evaluation.comparison import ComparisonVerdict, MethodResult, build_comparison, methods_table
from limbeck.evaluation.environment import environment
from limbeck.evaluation.examples import Example, choose_examples
from limbeck.evaluation.model_cost import Latency, ModelCost, measure_costs
from limbeck.evaluation.network import ModuleNode, Network
from limbeck.evaluation.prediction_views import ItemPrediction
from limbeck.evaluation.predictions import Predictions, load_predictions, save_predictions
from limbeck.evaluation.report import methods_figure, write_comparison, write_report, write_side_by_side
from limbeck.evaluation.statistics import Gain, interval, paired_gain, retention
from limbeck.evaluation.table import arms_table, compare, compare_table
from limbeck.evaluation.targets import TARGETS, Target, check_targets
from limbeck.evaluation.term_graph import TermEdge, TermGraph, build_term_graph
from limbeck.evaluation.verdict import Arm, DamagedVerdictError, Export, MetricInfo, Result, RunCost, Verdict
from limbeck.evaluation.verdict_builder import build_verdict

__all__ = [
    "TARGETS",
    "Arm",
    "CalibrationBin",
    "ComparisonVerdict",
    "Contingency",
    "DamagedVerdictError",
    "Example",
    "Export",
    "Gain",
    "ItemPrediction",
    "Latency",
    "MethodResult",
    "MetricInfo",
    "ModelCost",
    "ModuleNode",
    "Network",
    "Predictions",
    "Result",
    "RunCost",
    "Target",
    "TermEdge",
    "TermGraph",
    "Verdict",
    "arms_table",
    "build_comparison",
    "build_term_graph",
    "build_verdict",
    "check_targets",
    "choose_examples",
    "compare",
    "compare_table",
    "environment",
    "interval",
    "load_predictions",
    "measure_costs",
    "methods_figure",
    "methods_table",
    "paired_gain",
    "retention",
    "save_predictions",
    "write_comparison",
    "write_report",
    "write_side_by_side",
]
