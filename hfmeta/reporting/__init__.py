"""Tables and plots from a run's results: reads numbers, writes text and PNG files; trains and evaluates nothing."""

from hfmeta.reporting.clusters import cluster_plot, embedding_plot, task_gate_plot
from hfmeta.reporting.files import write_bytes, write_json, write_text
from hfmeta.reporting.gates import gate_plot
from hfmeta.reporting.plots import adaptation_curve, interval_plot, learning_curve, pair_plot
from hfmeta.reporting.tables import Row, markdown_table, rich_table, rows_of_results

__all__ = [
    "Row",
    "adaptation_curve",
    "cluster_plot",
    "embedding_plot",
    "gate_plot",
    "interval_plot",
    "learning_curve",
    "markdown_table",
    "pair_plot",
    "rich_table",
    "rows_of_results",
    "task_gate_plot",
    "write_bytes",
    "write_json",
    "write_text",
]
