"""The spaces of Once-for-All: one supernet, trained once, from which networks of many sizes are taken."""

from archwright.spaces.ofa.chains import RESOLUTIONS, OfaChain
from archwright.spaces.ofa.mobilenetv3 import OfaMobileNetV3
from archwright.spaces.ofa.proxyless import GOOGLE_WIDTHS, OfaProxyless
from archwright.spaces.ofa.resnet import OfaResNet50

__all__ = ["GOOGLE_WIDTHS", "RESOLUTIONS", "OfaChain", "OfaMobileNetV3", "OfaProxyless", "OfaResNet50"]
