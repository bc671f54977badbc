"""What MobileSAM's TinyViT takes from timm, which cannot be imported without torchvision's compiled part."""
