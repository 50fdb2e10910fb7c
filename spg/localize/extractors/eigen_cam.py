"""Eigen-CAM (Muhammad and Yeasin, IJCNN 2020), by the package grad-cam.

It is of the image alone, whatever the class.
"""

from spg.localize.cam_package import extractor

extract = extractor("EigenCAM")
