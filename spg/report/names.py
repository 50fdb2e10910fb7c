"""What the report calls methods, networks, maps, metrics and thresholds."""

from __future__ import annotations

from collections.abc import Mapping

METHOD_NAMES = {
    "cam": "GAP",
    "has": "HaS",
    "acol": "ACoL",
    "adl": "ADL",
    "cutmix": "CutMix",
    "spg": "SPG",
    "spg_plain": "SPG-plain",
    "no_cascade": "SPG, no cascade",
    "unshared_b": "SPG, B not shared",
    "no_c": "SPG, no C",
    "center_box": "*center box*",
    "whole_image": "*whole image*",
}
BACKBONE_NAMES = {
    "vgg16": "VGG-16",
    "resnet50": "ResNet-50",
    "efficientnet_lite0": "Lite0",
}
EXTRACTOR_NAMES = {
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "backprop": "Backprop",
    "grad_cam_plus_plus": "Grad-CAM++",
    "layer_cam": "LayerCAM",
    "score_cam": "Score-CAM",
    "eigen_cam": "Eigen-CAM",
    "x_grad_cam": "XGrad-CAM",
    "hires_cam": "HiResCAM",
    "center": "center",
    "none": "",
}
METRIC_NAMES = {
    "gt_known_loc_err": "GT-known loc. err.",
    "top1_loc_err": "Top-1 loc. err.",
    "top5_loc_err": "Top-5 loc. err.",
    "top5_loc_star_err": "Top-5* loc. err.",
    "top1_cls_err": "Top-1 cls. err.",
    "top5_cls_err": "Top-5 cls. err.",
}

KIND_NAMES = {
    "selected": "selected",
    "fixed": "fixed",
    "pseudo": "pseudo-boxes",
    "oracle": "oracle",
    "cam_code": "CAM code",
    "graph_cut": "GraphCut",
}
VALUE_NAMES = {"px_ap": "PxAP", "max_box_acc_v2": "MaxBoxAccV2"}
"""Higher is better, and no chosen threshold changes them; the former where there are masks."""
ACCURACY_NAMES = {
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2": "MaxBoxAccV2",
    "max_box_acc_v2_30": "at IoU 0.3",
    "max_box_acc_v2_50": "0.5",
    "max_box_acc_v2_70": "0.7",
    "px_ap": "PxAP",
    "peak_p_iou": "pIoU, peak",
    "p_iou": "pIoU, selected",
}


def variant_name(row: Mapping[str, object]) -> str:
    """Return a variant's name as the tables show it, e.g. ``SPG-plain, Grad-CAM``.

    What the paper has goes without saying: CAM maps and Inception-v3.
    """
    method = METHOD_NAMES.get(str(row["method"]), str(row["method"]))
    extractor = EXTRACTOR_NAMES.get(str(row["extractor"]), str(row["extractor"]))
    backbone = str(row.get("backbone", "none"))
    parts = [method]
    if backbone not in ("inception_v3", "none"):
        parts.append(BACKBONE_NAMES.get(backbone, backbone))
    if extractor not in ("", "CAM"):
        parts.append(extractor)
    return ", ".join(parts)
