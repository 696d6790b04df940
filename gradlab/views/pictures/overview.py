"""The four most important pictures on one sheet."""

from matplotlib.figure import Figure

from gradlab.tables import Tables
from gradlab.views.pictures.gradients import delta_flow, delta_heatmap, flow_finding
from gradlab.views.pictures.sheet import picture_title
from gradlab.views.pictures.training import loss, training_finding, update_lines


def overview(figure: Figure, run: Tables) -> None:
    """δ against depth and over time, updates, and loss."""
    (flow, heatmap), (update, training) = figure.subplots(2, 2)
    delta_flow(flow, run)
    delta_heatmap(heatmap, run)
    heatmap.set_title("δ over time")
    update_lines(update, run)
    loss(training, run)
    picture_title(figure, f"{run.name}: {run.verdict} ({run.status})\n{flow_finding(run)}\n{training_finding(run)}")
