"""HiResCAM (Draelos and Carin, 2020; arXiv:2011.08891), by the package grad-cam."""

from spg.localize.cam_package import extractor

extract = extractor("HiResCAM")
