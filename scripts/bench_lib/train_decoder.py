"""One optimiser step of the decoder's training, here by PyTorch and in maskmill: the same model, prompts an image, rounds and
losses, one thread, PyTorch in f32. Both report the processor time of their best step. See docs/training.md."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/train_default"))

import losses  # noqa: E402
import model as models  # noqa: E402


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, help="maskmill-bench-decoder")
    parser.add_argument("--model", type=Path, default=ROOT / "configs/models/default.safetensors")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="of maskmill's large products")
    return parser.parse_args()


def answer_loss(logits, predicted, targets, ambiguous):
    loss, iou = losses.pair_losses(logits, targets[:, None])
    if ambiguous:
        return loss[:, 1:, 0].min(1).values.mean() + ((predicted - iou[..., 0]) ** 2)[:, 1:].mean()
    return loss[:, 0, 0].mean() + ((predicted - iou[..., 0]) ** 2)[:, 0].mean()


def main():
    args = parse()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    state, config = models.read(args.model)
    net = models.Model({**models.DEFAULT, **config})
    net.load_state_dict(state, strict=False)
    parameters = [p for name, p in net.named_parameters() if not name.startswith("image_encoder.")]
    optimiser = torch.optim.AdamW(parameters, lr=1e-6)
    side = config["image_size"] // config.get("embedding_stride", 16)
    embedding = torch.randn(1, config["prompt_embed_dim"], side, side)
    owner = torch.zeros(args.prompts, dtype=torch.long)
    at = (torch.arange(4 * side) + 0.5) / (4 * side)
    centres = 0.2 + 0.6 * torch.rand(args.prompts, 2)
    radii = 0.05 + 0.15 * torch.rand(args.prompts)
    far = ((at[None, None] - centres[:, 0, None, None]) ** 2 + (at[None, :, None] - centres[:, 1, None, None]) ** 2).sqrt()
    targets = (far < radii[:, None, None]).float()

    def step():
        optimiser.zero_grad(set_to_none=True)
        points = torch.cat([centres[:, None], torch.zeros(args.prompts, 1, 2)], 1)
        labels = torch.tensor([[1, -1]]).repeat(args.prompts, 1)
        mask = None
        for number in range(args.rounds):
            logits, predicted = net.decode(embedding, owner, points, labels, mask)
            (answer_loss(logits, predicted, targets, number == 0) / args.rounds).backward()
            best = 1 + predicted[:, 1:].argmax(1) if number == 0 else torch.zeros_like(owner)
            mask = logits[torch.arange(args.prompts), best][:, None].detach().clamp(-32, 32)
            points = torch.cat([points, torch.rand(args.prompts, 1, 2)], 1)
            labels = torch.cat([labels, torch.randint(0, 2, (args.prompts, 1))], 1)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    ours, theirs = [], []
    for _ in range(3):  # by turns, so that a slow moment of the machine hits both
        out = subprocess.run([args.program, args.model, str(args.prompts), str(args.rounds), str(args.steps),
                              args.precision], check=True, capture_output=True, text=True)
        ours.append(float(out.stdout))
        step()
        for _ in range(args.steps):
            start = time.process_time()
            step()
            theirs.append(time.process_time() - start)
    print(f"{args.model.name}, {args.prompts} prompts, {args.rounds} rounds: PyTorch {torch.__version__} {min(theirs):.3f} s, "
          f"maskmill ({args.precision}) {min(ours):.3f} s, {min(theirs) / min(ours):.2f} times as fast")


if __name__ == "__main__":
    main()
