"""The reference's encoder and decoder in OpenVINO, converted from the PyTorch modules as users convert them."""

import warnings
from functools import cache, partial

import numpy as np
import openvino
import peer_pytorch
import torch
from bench_subject import Peer, Subject, relative_error, timed

BATCH = 32  # prompts a call of the decoder


def peers() -> dict:
    parts = {"encoder": _encoder, "decoder": _decoder}
    return {f"openvino-{part}-{precision}": partial(make, precision=precision)
            for precision in ("f32", "bf16") for part, make in parts.items()}


class PointDecoder(torch.nn.Module):
    """Prompt encoder and mask decoder for one positive point a prompt, as SAM is exported: the image's embedding is an
    input and meets the prompts inside, the label is arithmetic (the reference's SamOnnxModel does so too) because
    boolean indexing does not export well, and the low-res logits of all four masks come out with their predicted IoU."""

    def __init__(self, sam):
        super().__init__()
        self.encoder, self.decoder = sam.prompt_encoder, sam.mask_decoder
        self.register_buffer("positions", sam.prompt_encoder.get_dense_pe())

    def forward(self, embedding, points):
        place = self.encoder.pe_layer.forward_with_coords(points[:, None] + 0.5, self.encoder.input_image_size)
        point = place + self.encoder.point_embeddings[1].weight
        padding = self.encoder.not_a_point_embed.weight[None].expand_as(point)
        dense = self.encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return self.decoder.predict_masks(embedding, self.positions, torch.cat([point, padding], 1), dense)


@cache
def _converted(subject: Subject, part: str) -> openvino.Model:
    """Both precisions are compiled from one conversion. The trace is not run again to check itself, which would take a
    minute: results are compared with PyTorch's."""
    if part == "encoder":
        module, example = subject.sam.image_encoder, (subject.encoder_input,)
    else:
        module, example = PointDecoder(subject.sam).eval(), (subject.embedding, torch.zeros(BATCH, 2))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, as they should
        traced = torch.jit.trace(module, example, check_trace=False)
        return openvino.convert_model(traced, input=[tuple(tensor.shape) for tensor in example])


def _request(subject: Subject, part: str, precision: str) -> openvino.InferRequest:
    compiled = openvino.Core().compile_model(_converted(subject, part), "CPU", {
        "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": subject.threads, "PERFORMANCE_HINT": "LATENCY"})
    return compiled.create_infer_request()


def _shared(array: np.ndarray) -> openvino.Tensor:
    return openvino.Tensor(array, shared_memory=True)


def _encoder(subject: Subject, precision: str) -> Peer:
    request = _request(subject, "encoder", precision)
    request.set_input_tensor(_shared(subject.encoder_input.numpy()))

    def warm() -> dict:
        request.infer()
        return {"error": relative_error(request.get_output_tensor().data, subject.embedding)}

    return Peer(lambda: timed("encoder", request.infer), warm)


def _decoder(subject: Subject, precision: str) -> Peer:
    request = _request(subject, "decoder", precision)
    request.set_input_tensor(0, _shared(subject.embedding.numpy()))
    points = subject.points.astype(np.float32)

    def run(count):
        for first in range(0, count, BATCH):
            request.set_input_tensor(1, _shared(points[first : first + BATCH]))
            request.infer()

    def warm() -> dict:
        run(BATCH)
        logits, _ = peer_pytorch.decode(subject, subject.points[:BATCH])
        return {"error": relative_error(request.get_output_tensor(0).data, logits)}

    return Peer(lambda: timed("decoder", lambda: run(len(points))), warm)
