"""Eigen-CAM (Muhammad and Yeasin, IJCNN 2020); of the image, whatever the class, by the package grad-cam."""

from spg.localize.cam_package import extractor

extract = extractor("EigenCAM")
