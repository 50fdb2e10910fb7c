"""Score-CAM (Wang et al., CVPR Workshops 2020); a run of the network for each channel, by the package grad-cam."""

from spg.localize.cam_package import extractor

extract = extractor("ScoreCAM")
