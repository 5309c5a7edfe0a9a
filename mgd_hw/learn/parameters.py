"""Files of parameters: npz archives with layer1.weight (n_out, fan-in), layer1.bias (n_out), layer2.weight, … as real numbers.

Those of a learner have one array, quantities (N).
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mgd_hw.common.archives import UNREADABLE, opened_archive
from mgd_hw.common.files import write_file
from python_ref.parameters import join_parameters, split_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal, said, unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec

__all__ = ["read_parameters", "write_parameters"]


def write_parameters(spec: LearningSpec, values: np.ndarray, path: Path, option: str = "--save") -> None:
    """Write real parameters to an npz file.

    Parameters
    ----------
    spec : LearningSpec
        Design whose network, or whose outside, has these parameters.
    values : array of float64, shape (P,)
        Parameters in canonical order, as real numbers.
    path : Path
        Path of the file, which replaces an older one.
    option : str
        Option of the command line that error messages name.

    Raises
    ------
    Refusal
        If the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    if isinstance(spec, LearnerSpec):
        arrays["quantities"] = values
    elif isinstance(spec, DesignSpec):
        for number, (weight, bias) in enumerate(split_parameters(spec, values), 1):
            arrays |= {f"layer{number}.weight": weight, f"layer{number}.bias": bias}
    else:
        raise unknown("Design", spec, "mgd_hw.learn.parameters")
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_file(path, content.getvalue(), option)


def read_parameters(spec: LearningSpec, path: Path, option: str = "--start") -> np.ndarray:
    """Read real parameters from an npz file (float64, shape (P,), canonical order).

    Raises
    ------
    Refusal
        If the file cannot be read, or its arrays are not those of this network.
    """

    def wrong(reason: str) -> Refusal:
        remedy = f"Give an npz file with {', '.join(wanted)}, as --save writes it."
        return Refusal(reason, remedy, file=path, key=option)

    wanted: dict[str, tuple[int, ...]] = {}
    if isinstance(spec, LearnerSpec):
        wanted["quantities"] = (spec.quantities,)
    elif isinstance(spec, DesignSpec):
        for number, layer in enumerate(spec.network.layers, 1):
            wanted |= {f"layer{number}.weight": (layer.n_out, layer.fan_in), f"layer{number}.bias": (layer.n_out,)}
    else:
        raise unknown("Design", spec, "mgd_hw.learn.parameters")
    try:
        with opened_archive(path) as arrays:
            found = {name: arrays[name] for name in wanted if name in arrays.files}
            extra = sorted(name for name in arrays.files if name.startswith("layer") and name not in wanted)
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else said(error)
        raise wrong(f"it cannot be read as npz ({reason})") from None
    for name, shape in wanted.items():
        if name not in found:
            raise wrong(f"it lacks {name}")
        if found[name].dtype.kind not in "iuf" or found[name].shape != shape:
            raise wrong(f"{name} has shape {found[name].shape} and type {found[name].dtype}, the network needs numbers of shape {shape}")
        if not np.isfinite(found[name]).all():
            raise wrong(f"{name} has a value that is missing or infinite")
    if extra:
        raise wrong(f"it has {extra[0]}, which the network has not")
    values = [found[name].astype(np.float64) for name in wanted]
    if isinstance(spec, LearnerSpec):
        return values[0]
    return join_parameters(list(zip(values[::2], values[1::2], strict=True)))
