"""What people look at: the verdict of a run as one page, of several runs side by side, or of a whole comparison."""

from limbeck.evaluation.report.methods import is_comparison, methods_figure, write_comparison
from limbeck.evaluation.report.run import write_report
from limbeck.evaluation.report.side_by_side import beside, write_side_by_side

__all__ = ["beside", "is_comparison", "methods_figure", "write_comparison", "write_report", "write_side_by_side"]
