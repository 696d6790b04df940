"""The four pictures that matter, on one sheet."""

from matplotlib.figure import Figure

from gradlab.views.plots.gradients import delta_flow, delta_heatmap, flow_finding
from gradlab.views.plots.progress import loss, training_finding, update_lines
from gradlab.views.plots.sheet import headline
from gradlab.views.reading import Run


def overview(figure: Figure, run: Run) -> None:
    """δ against depth and over time, updates, and loss."""
    (flow, heatmap), (update, training) = figure.subplots(2, 2)
    delta_flow(flow, run)
    delta_heatmap(heatmap, run)
    heatmap.set_title("δ over time")
    update_lines(update, run)
    loss(training, run)
    headline(figure, f"{run.name}: {run.verdict} ({run.status})\n{flow_finding(run)}\n{training_finding(run)}")
