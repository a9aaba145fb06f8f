"""Search spaces: each has decisions, a network built from them, and the shape of its input."""

from archwright.spaces.base import Space
from archwright.spaces.conv_chain import ConvChain
from archwright.spaces.darts import Darts, DartsRnn, Snas
from archwright.spaces.enas import EnasMacro, EnasMicro, EnasRnn
from archwright.spaces.fbnet import FBNet
from archwright.spaces.language import LanguageSpace
from archwright.spaces.lenet import LeNet
from archwright.spaces.mnasnet import MnasNet
from archwright.spaces.nas_rl import NasRl, NasRlRnn
from archwright.spaces.nasbench201 import NasBench201, NasBench201Size
from archwright.spaces.nasbench_macro import NasBenchMacro
from archwright.spaces.nasnet import AmoebaNet, NasNet
from archwright.spaces.ofa import OfaMobileNetV3, OfaProxyless, OfaResNet50
from archwright.spaces.one_shot import OneShot
from archwright.spaces.opening import Architecture, arch_document, open_architecture, open_space
from archwright.spaces.plain import PlainChain, PlainLstm, PlainResidual, WidthSpace
from archwright.spaces.proxylessnas import ProxylessNas
from archwright.spaces.proxylessnas_cifar import ProxylessNasCifar
from archwright.spaces.smash import Smash
from archwright.spaces.spos import SposBits, SposChannels, SposSpace

__all__ = [
    "AmoebaNet",
    "Architecture",
    "ConvChain",
    "Darts",
    "DartsRnn",
    "EnasMacro",
    "EnasMicro",
    "EnasRnn",
    "FBNet",
    "LanguageSpace",
    "LeNet",
    "MnasNet",
    "NasBench201",
    "NasBench201Size",
    "NasBenchMacro",
    "NasNet",
    "NasRl",
    "NasRlRnn",
    "OfaMobileNetV3",
    "OfaProxyless",
    "OfaResNet50",
    "OneShot",
    "PlainChain",
    "PlainLstm",
    "PlainResidual",
    "ProxylessNas",
    "ProxylessNasCifar",
    "Smash",
    "Snas",
    "Space",
    "SposBits",
    "SposChannels",
    "SposSpace",
    "WidthSpace",
    "arch_document",
    "open_architecture",
    "open_space",
]
