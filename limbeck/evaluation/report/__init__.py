"""Reports as HTML pages: of one run, of several runs, and of a comparison."""

from limbeck.evaluation.report.methods import is_comparison, load_comparison, methods_figure, write_comparison
from limbeck.evaluation.report.run import write_report
from limbeck.evaluation.report.side_by_side import page_path, write_side_by_side

__all__ = [
    "is_comparison",
    "load_comparison",
    "methods_figure",
    "page_path",
    "write_comparison",
    "write_report",
    "write_side_by_side",
]
