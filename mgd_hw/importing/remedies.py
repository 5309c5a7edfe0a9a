"""Remedies for operators of an ONNX file that are not supported."""

from __future__ import annotations

__all__ = ["ACTIVATION", "ALONE", "DENSE", "REMEDIES"]

ALONE = "Export the network alone, from the input of its first dense layer to its output."
"""Remedy for operators that come before or after the network."""
_SKL = "Export the last step alone, skl2onnx.to_onnx(pipeline[-1], …), and give samples as it takes them."
_FIVE = "torch.nn.ReLU(), Tanh(), Sigmoid(), Hardsigmoid() or LeakyReLU(0.125), or scikit-learn's activation='relu', 'tanh' or 'logistic'"
ACTIVATION = f"Train the network with another activation: {_FIVE}."
"""Remedy for activations that the hardware does not have."""
DENSE = "Only dense layers are taken over, torch.nn.Linear or scikit-learn's MLPClassifier and MLPRegressor."
"""Remedy for layers that are not dense."""
_NORMAL = "Train the network without it, or with torch.nn.BatchNorm1d, which the weights take in."
_BEFORE = "Give the file as torch.onnx.export or skl2onnx wrote it, before onnxruntime optimised it."
_FLOAT = "Export the network before it is quantised; the design file has the number formats."
REMEDIES = {
    **dict.fromkeys(("Elu", "Selu", "Celu", "Gelu", "Softplus", "Softsign", "Mish", "HardSwish", "ThresholdedRelu", "Erf"), ACTIVATION),
    **dict.fromkeys(("Exp", "Log", "Sqrt", "Pow", "Abs", "Sin", "Cos", "Min", "Swish"), ACTIVATION),
    **dict.fromkeys(("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "RNN", "LSTM", "GRU", "Attention"), DENSE),
    **dict.fromkeys(("QLinearMatMul", "QGemm", "MatMulInteger", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), _FLOAT),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization", "InstanceNormalization", "RMSNormalization", "ReduceMean"), _NORMAL),
    **dict.fromkeys(("FusedGemm", "FusedMatMul", "TransposeMatMul", "BiasGelu", "FastGelu"), _BEFORE),
    **dict.fromkeys(
        ("Normalizer", "Imputer", "OneHotEncoder", "LabelEncoder", "CategoryMapper", "FeatureVectorizer", "ArrayFeatureExtractor"), _SKL
    ),
}
"""Remedy for each operator that is not supported, by the name of the operator without its domain."""
