"""Tables and plots from a run's results: reads numbers, writes text and PNG files; trains and evaluates nothing."""

from hfmeta.reporting.files import write_bytes, write_json, write_text
from hfmeta.reporting.plots import adaptation_curve, learning_curve, pair_plot
from hfmeta.reporting.tables import Row, markdown_table, rich_table, rows_of_results

__all__ = [
    "Row",
    "adaptation_curve",
    "learning_curve",
    "markdown_table",
    "pair_plot",
    "rich_table",
    "rows_of_results",
    "write_bytes",
    "write_json",
    "write_text",
]
