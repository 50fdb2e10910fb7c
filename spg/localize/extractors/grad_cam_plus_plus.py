"""Grad-CAM++ (Chattopadhay et al., WACV 2018), by the package grad-cam."""

from spg.localize.cam_package import extractor

extract = extractor("GradCAMPlusPlus")
