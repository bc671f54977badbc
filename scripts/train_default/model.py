"""The default model: TinyViT image encoder, prompt encoder and mask decoder of the MobileSAM family, of any size.

Names of modules are those of the public checkpoints, because maskmill finds tensors by them. Shapes in comments: B images,
N prompts, C channels, H x W cells, T tokens."""

import json
import math

import torch
import torch.nn.functional as F
from torch import nn

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

DEFAULT = {
    "family": "tiny_vit", "image_size": 512, "embed_dims": [32, 64, 160, 192], "depths": [2, 2, 6, 2],
    "num_heads": [1, 2, 5, 6], "window_sizes": [8, 8, 16, 8], "mlp_ratio": 3, "mbconv_expand_ratio": 3,
    "downsample_between_stages": [True, True, False], "embedding_stride": 16, "prompt_embed_dim": 128, "mask_in_chans": 16,
    "decoder": {"depth": 2, "num_heads": 2, "mlp_dim": 512, "attention_downsample_rate": 2, "num_multimask_outputs": 3,
                "iou_head_depth": 3, "iou_head_hidden_dim": 128},
    "pixel_mean": list(MEAN), "pixel_std": list(STD),
}


class ConvNorm(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1):
        super().__init__()
        self.add_module("c", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(outputs))


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of [B][C][H][W]."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


class Stem(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, width // 2, 3, 2), nn.GELU(), ConvNorm(width // 2, width, 3, 2))

    def forward(self, x):
        return self.seq(x)


class InvertedBottleneck(nn.Module):
    def __init__(self, width, ratio):
        super().__init__()
        self.conv1 = ConvNorm(width, width * ratio)
        self.conv2 = ConvNorm(width * ratio, width * ratio, 3, groups=width * ratio)
        self.conv3 = ConvNorm(width * ratio, width)

    def forward(self, x):
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class Merge(nn.Module):
    """To the next stage's width, and to half the grid or the same one."""

    def __init__(self, inputs, outputs, halve):
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, 2 if halve else 1, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x):
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(nn.Module):
    """Attention within windows [windows][T][C], with a learnt bias for each head and distance (|dy|, |dx|)."""

    def __init__(self, width, heads, window):
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        y, x = y.flatten(), x.flatten()
        distance = (y[:, None] - y[None]).abs() * window + (x[:, None] - x[None]).abs()
        self.register_buffer("distance", distance, persistent=False)

    def forward(self, x):
        windows, tokens, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(windows, tokens, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
        bias = self.attention_biases.index_select(1, self.distance.flatten()).view(-1, tokens, tokens)
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1) + bias
        return self.proj((scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(windows, tokens, width))


class FeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads, window, ratio):
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = FeedForward(width, int(width * ratio))

    def forward(self, x):  # [B][H][W][C]
        batch, height, width, channels = x.shape
        w = self.window
        down, right = -height % w, -width % w
        padded = F.pad(x, (0, 0, 0, right, 0, down)) if down or right else x
        rows, columns = (height + down) // w, (width + right) // w
        y = padded.view(batch, rows, w, columns, w, channels).transpose(2, 3).reshape(-1, w * w, channels)
        y = self.attn(y).view(batch, rows, columns, w, w, channels).transpose(2, 3)
        x = x + y.reshape(batch, height + down, width + right, channels)[:, :height, :width]
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.mlp(x)


class Stage(nn.Module):
    def __init__(self, config, number):
        super().__init__()
        width = config["embed_dims"][number]
        if number == 0:
            blocks = [InvertedBottleneck(width, int(config["mbconv_expand_ratio"])) for _ in range(config["depths"][0])]
        else:
            blocks = [TransformerBlock(width, config["num_heads"][number], config["window_sizes"][number], config["mlp_ratio"])
                      for _ in range(config["depths"][number])]
        self.blocks, self.number = nn.Sequential(*blocks), number
        if number < 3:
            self.downsample = Merge(width, config["embed_dims"][number + 1], config["downsample_between_stages"][number])

    def forward(self, x):  # [B][C][H][W]
        if self.number == 0:
            x = self.blocks(x)
        else:
            x = self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.downsample(x) if self.number < 3 else x


class ImageEncoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["prompt_embed_dim"]
        self.patch_embed = Stem(config["embed_dims"][0])
        self.layers = nn.Sequential(*(Stage(config, number) for number in range(4)))
        self.neck = nn.Sequential(nn.Conv2d(config["embed_dims"][3], width, 1, bias=False), ChannelNorm(width),
                                  nn.Conv2d(width, width, 3, padding=1, bias=False), ChannelNorm(width))

    def forward(self, x):
        return self.neck(self.layers(self.patch_embed(x)))


class PointEncoding(nn.Module):
    """Random Fourier features of a position in the image, 0..1; always in f32, bf16 is coarser than a pixel."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def forward(self, xy):  # [...][2] -> [...][C]
        with torch.autocast("cpu", enabled=False):
            angle = 2 * math.pi * ((2 * xy.float() - 1) @ self.positional_encoding_gaussian_matrix)
            return torch.cat([angle.sin(), angle.cos()], -1)

    def grid(self, side, frame=None, origins=None):
        """Encoding of each cell of a square of side x side cells: the whole image, [1][side * side][C]; or windows of images of
        frame x frame cells, whose first cells are origins i64 [B][2] (x, y), [B][side * side][C]."""
        at = torch.arange(side)
        y, x = torch.meshgrid(at, at, indexing="ij")
        cells = torch.stack([x, y], -1).view(1, side * side, 2)
        return self(((cells if origins is None else cells + origins[:, None]) + 0.5) / (frame or side))


class PromptEncoder(nn.Module):
    """Points with labels: 1 on the thing, 0 off it, 2 and 3 a box's corners, -1 no point."""

    def __init__(self, config):
        super().__init__()
        width, hidden = config["prompt_embed_dim"], config["mask_in_chans"]
        self.pe_layer = PointEncoding(width)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed, self.no_mask_embed = nn.Embedding(1, width), nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, hidden // 4, 2, 2), ChannelNorm(hidden // 4), nn.GELU(), nn.Conv2d(hidden // 4, hidden, 2, 2),
            ChannelNorm(hidden), nn.GELU(), nn.Conv2d(hidden, width, 1))

    def forward(self, points, labels):  # [N][P][2] as shares of the side, [N][P] -> [N][P][C]
        table = torch.cat([self.not_a_point_embed.weight] + [e.weight for e in self.point_embeddings])
        return self.pe_layer(points) * (labels >= 0).unsqueeze(-1) + table[labels + 1]

    def dense(self, logits):  # [N][1][4H][4W] or None -> [N or 1][H * W][C]
        if logits is None:
            return self.no_mask_embed.weight[None]
        return self.mask_downscaling(logits).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, width)

    def _split(self, x):
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, q, k, v):  # [N][T][C]
        q, k, v = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # few tokens on one side: faster than fused attention
        out = scores.softmax(-1).to(v.dtype) @ v
        return self.out_proj(out.transpose(1, 2).flatten(2))


class DecoderMLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayLayer(nn.Module):
    def __init__(self, width, decoder, first):
        super().__init__()
        inner, heads = width // decoder["attention_downsample_rate"], decoder["num_heads"]
        self.first = first
        self.self_attn = Attention(width, heads, width)
        self.cross_attn_token_to_image, self.cross_attn_image_to_token = (Attention(width, heads, inner) for _ in range(2))
        self.mlp = DecoderMLP(width, decoder["mlp_dim"])
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))

    def forward(self, tokens, image, token_pe, image_pe):
        if self.first:
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            at = tokens + token_pe
            tokens = self.norm1(tokens + self.self_attn(at, at, tokens))
        keys = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, keys, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(keys, tokens + token_pe, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    def __init__(self, width, decoder):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(width, decoder, i == 0) for i in range(decoder["depth"]))
        self.final_attn_token_to_image = Attention(width, decoder["num_heads"], width // decoder["attention_downsample_rate"])
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, tokens, image, image_pe):
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        tokens = tokens + self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens), image


class Head(nn.Module):
    def __init__(self, width, hidden, outputs, depth):
        super().__init__()
        sizes = [width] + [hidden] * (depth - 1) + [outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class MaskDecoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, decoder = config["prompt_embed_dim"], config["decoder"]
        self.masks = decoder["num_multimask_outputs"] + 1
        self.transformer = TwoWayTransformer(width, decoder)
        self.iou_token, self.mask_tokens = nn.Embedding(1, width), nn.Embedding(self.masks, width)
        self.output_upscaling = nn.Sequential(nn.ConvTranspose2d(width, width // 4, 2, 2), ChannelNorm(width // 4), nn.GELU(),
                                              nn.ConvTranspose2d(width // 4, width // 8, 2, 2), nn.GELU())
        self.output_hypernetworks_mlps = nn.ModuleList(Head(width, width, width // 8, 3) for _ in range(self.masks))
        self.iou_prediction_head = Head(width, decoder["iou_head_hidden_dim"], self.masks, decoder["iou_head_depth"])

    def forward(self, image, image_pe, prompts):
        """image [N][H * W][C] (with the dense prompt added), prompts [N][P][C] -> logits [N][masks][4H][4W], IoU [N][masks]"""
        fixed = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(len(prompts), -1, -1)
        tokens, image = self.transformer(torch.cat([fixed, prompts], 1), image, image_pe)
        weights = torch.stack([mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], 1)
        return self._upscale(image, weights), self.iou_prediction_head(tokens[:, 0])

    def _upscale(self, image, weights):
        """output_upscaling, then the masks' weights [N][masks][C / 8]. Transposed convolutions of 2 x 2 with stride 2 are matrix
        products whose four results lie in one cell; the cells are sorted into rows when only the logits are left."""
        first, norm, _, second, _ = self.output_upscaling
        count, cells, width = image.shape
        side = math.isqrt(cells)
        x = image @ first.weight.permute(0, 2, 3, 1).reshape(width, -1) + first.bias.repeat(4)
        x = F.gelu(F.layer_norm(x.view(count, cells * 4, -1), norm.weight.shape, norm.weight, norm.bias, 1e-6))
        x = F.gelu(x @ second.weight.permute(0, 2, 3, 1).reshape(width // 4, -1) + second.bias.repeat(4))
        logits = weights @ x.view(count, cells * 16, -1).transpose(1, 2)  # cells are [row][column][2][2][2][2]
        logits = logits.view(count, self.masks, side, side, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
        return logits.reshape(count, self.masks, 4 * side, 4 * side)


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.image_encoder, self.prompt_encoder, self.mask_decoder = ImageEncoder(config), PromptEncoder(config), MaskDecoder(config)

    def embed(self, images):  # u8 [B][S][S][3] -> [B][C][H][W]
        mean, std = torch.tensor(MEAN), torch.tensor(STD)
        return self.image_encoder(((images.float() - mean) / std).permute(0, 3, 1, 2))  # channels stay last, as in the weights

    def encoding(self, embeddings, origins=None):
        """Positions of the embeddings' cells; origins: the first cells of windows of whole images (PointEncoding.grid)."""
        frame = self.config["image_size"] // self.config["embedding_stride"]
        return self.prompt_encoder.pe_layer.grid(embeddings.shape[-1], frame, origins)

    def decode(self, embeddings, owner, points, labels, mask_input=None, origins=None):
        """Prompts of image owner[N] each: points [N][P][2] as shares of the side (x, y), labels [N][P], mask_input
        [N][1][4H][4W] or None -> logits [N][masks][4H][4W], predicted IoU [N][masks]. A prompt without a box has one point
        of label -1, as the public models expect. With origins [B][2] the embeddings are those of windows; points stay in
        shares of the whole image."""
        image = embeddings.flatten(2).transpose(1, 2)[owner] + self.prompt_encoder.dense(mask_input)
        encoding = self.encoding(embeddings, origins)
        encoding = encoding if origins is None else encoding[owner]
        if torch.is_autocast_enabled("cpu"):  # else sums with the encoding would turn all of the image side to f32 and back
            image, encoding = image.bfloat16(), encoding.bfloat16()
        return self.mask_decoder(image, encoding, self.prompt_encoder(points, labels))


def drawn(config, seed):
    """A model with initial weights that follow from the seed: truncated normal for matrices, the rest as PyTorch has it."""
    torch.manual_seed(seed)
    model = Model(config)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02 if "image_encoder" in name else module.in_features ** -0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return model


def fit(state, model):
    """What a state dict of another shape has for this model: window biases are cut or continued to its windows, tensors of other
    widths are left out."""
    own = model.state_dict()
    fitted = {}
    for name, tensor in state.items():
        if name in own and name.endswith("attention_biases") and tensor.shape != own[name].shape:
            old, new = math.isqrt(tensor.shape[1]), math.isqrt(own[name].shape[1])
            at = torch.arange(new).clamp(max=old - 1)
            tensor = tensor.view(-1, old, old)[:, at][:, :, at].reshape(-1, new * new)
        if name in own and tensor.shape == own[name].shape:
            fitted[name] = tensor
    return fitted


def read(path):
    """State dict (f32) and description of a checkpoint: train.py's averaged weights, or an exported .safetensors."""
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}
            config = json.loads(file.metadata()["maskmill.config"])
        hidden = state["image_encoder.layers.1.blocks.0.mlp.fc1.weight"].shape
        inner = state["mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight"].shape
        config = {"mlp_ratio": hidden[0] / hidden[1], **config}  # told by the shapes, and not always written
        config["decoder"].setdefault("attention_downsample_rate", inner[1] // inner[0])
    else:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        state, config = kept["ema"], kept["config"]
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, config


def read_heads(path):
    """The state of the heads of training (dense.py, detection.py) that a checkpoint of train.py keeps; may be empty."""
    return {} if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True).get("heads", {})
