"""LayerCAM (Jiang et al., TIP 2021), by the package grad-cam."""

from spg.localize.cam_package import extractor

extract = extractor("LayerCAM")
