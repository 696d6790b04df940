"""Operations by autograd's names for them: which are layers with weights, and which compute nothing."""

WEIGHT_LAYERS = {"Addmm", "Mm", "Bmm", "Linear", "Convolution", "ConvolutionOverrideable", "MkldnnLinear"}
SHAPE_ONLY = {
    "View", "UnsafeView", "ReshapeAlias", "Reshape", "Squeeze", "Unsqueeze", "Select", "Slice", "Transpose", "Permute",
    "T", "Expand", "Alias", "Clone", "ToCopy", "Index", "IndexSelect", "Gather", "Split", "Unbind", "Narrow",
    "Contiguous", "Diagonal", "TakeAlongDim", "MaskedSelect", "Copy",
}  # fmt: skip
"""Operations that choose or move entries."""
ONE_OF_MANY = {"Gather", "Select", "Index", "IndexSelect", "TakeAlongDim"}
"""Those that choose some entries."""
AVERAGES = {
    "Mean", "Sum", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "MkldnnAdaptiveAvgPool2D",
}  # fmt: skip
"""Those that make one entry of several, each of which counts alike. A sum is one: the mean is often a sum that is
divided."""
