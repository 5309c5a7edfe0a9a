"""Training data of a design: generated tasks, scikit-learn's digits, public image sets, and the user's csv, npz or IDX files.

Every source yields :class:`~python_ref.datasets.Samples` with inputs and targets scaled into the range of the number formats, the
kind of task, which scores a network's outputs (:mod:`mgd_hw.data.kinds`), and a summary for the user (:mod:`mgd_hw.data.summary`).
"""

from mgd_hw.data.loading import Data, load
from mgd_hw.data.tasks import TASKS, DataSpec, Scaling, Task

__all__ = ["TASKS", "Data", "DataSpec", "Scaling", "Task", "load"]
