"""What a design learns: a generated task, scikit-learn's digits, public sets of images, or the user's own csv, npz or IDX files.

Everything ends up as :class:`~python_ref.datasets.Samples`, inputs and targets scaled into the range of the number formats,
together with how answers are judged (:mod:`mgd_hw.data.kinds`) and what was read (:mod:`mgd_hw.data.summary`).
"""

from mgd_hw.data.loading import Data, load
from mgd_hw.data.tasks import TASKS, DataSpec, Scaling, Task

__all__ = ["TASKS", "Data", "DataSpec", "Scaling", "Task", "load"]
