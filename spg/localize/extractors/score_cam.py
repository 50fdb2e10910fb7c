"""Score-CAM (Wang et al., CVPR Workshops 2020), by the package grad-cam.

It runs the network once for each channel of the last features.
"""

from spg.localize.cam_package import extractor

extract = extractor("ScoreCAM")
