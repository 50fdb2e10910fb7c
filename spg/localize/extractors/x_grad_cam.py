"""XGrad-CAM (Fu et al., BMVC 2020), by the package grad-cam."""

from spg.localize.cam_package import extractor

extract = extractor("XGradCAM")
