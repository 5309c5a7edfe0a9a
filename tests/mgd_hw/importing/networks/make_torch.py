"""Recipe of the files torch_*.onnx in this folder, which PyTorch's two exporters wrote: run ``python make_torch.py`` in it.

It needs torch and onnxscript, which the tests do not: the files are checked in. Those here are of torch 2.14.1.
"""

import onnx
import torch
from torch import nn


class Viewed(nn.Module):
    """A network as in PyTorch's examples of MNIST: it flattens and normalises its inputs itself."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        x = (x.view(x.size(0), -1) - 0.1307) / 0.3081
        return torch.softmax(self.second(torch.relu(self.first(x))), dim=-1)


def trained_norm(features):
    """Return a normalisation that has seen samples."""
    norm = nn.BatchNorm1d(features)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    return norm


def networks():
    """Yield the name of each network, the network, and the shape of a batch of samples."""
    torch.manual_seed(1)
    yield "view", Viewed(), (2, 1, 2, 3)
    sigmoid = nn.Sequential(nn.Linear(6, 5), nn.Hardsigmoid(), nn.Dropout(0.2), nn.Linear(5, 3), nn.Sigmoid())
    yield "sigmoid", sigmoid, (2, 6)
    hidden = (nn.Linear(6, 5), trained_norm(5), nn.LeakyReLU(0.125))
    yield "leaky", nn.Sequential(nn.Flatten(), trained_norm(6), *hidden, nn.Linear(5, 3), nn.LogSoftmax(dim=1)), (2, 1, 2, 3)
    yield "tanh", nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 1)), (2, 6)


for name, network, shape in networks():
    network.eval()
    samples = (torch.randn(*shape),)
    of_script = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    of_graph = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False}
    for exporter, options in (("script", of_script), ("dynamo", of_graph)):
        path = f"torch_{name}_{exporter}.onnx"
        torch.onnx.export(network, samples, path, **options)
        model = onnx.load(path)
        for each in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
            del each.metadata_props[:]  # traces of the machine that ran this
        onnx.save(model, path)
