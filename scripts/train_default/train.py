"""Train the default model on drawn scenes: one phase (one resolution, one schedule) a call, in two processes or more.

A phase goes on from OUT/last.pt if that is there, exactly where it stopped: the scenes, views and clicks of a step follow
from seed, step and rank alone. Otherwise it begins with --start (the averaged weights of another phase) or from nothing.
OUT gets log.jsonl, last.pt (everything) and ema.pt (the averaged weights, small). README.md has the phases that were run."""

import argparse
import json
import math
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

import dense
import detection
import losses
import materials
import model as models
import patches
import prompts
import scenes


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--start", type=Path, help="checkpoint to begin with")
    add("--side", type=int, default=512)
    add("--window", type=int, help="train on windows of so many pixels instead of whole images")
    add("--steps", type=int, required=True)
    add("--batch", type=int, default=8, help="images a step and process")
    add("--prompts", type=int, default=10, help="prompts an image")
    add("--rate", type=float, default=5e-4, help="peak learning rate")
    add("--muon", action="store_true", help="Muon instead of AdamW for the matrices of linear layers")
    add("--warm-up", type=int, default=100, help="steps over which the rate rises")
    add("--balance", type=int, default=0, help="first steps, in which class-balanced cross-entropy fades out")
    add("--box-share", type=float, default=0.2)
    add("--rounds", type=float, nargs=3, default=[0.5, 0.3, 0.2], help="shares of steps with 1, 2 and 3 rounds of clicks")
    add("--least-area", type=float, default=0.0008, help="smallest target, as a share of the image")
    add("--ema", type=float, default=0.998)
    add("--pool", type=int, default=160, help="scenes held by a process")
    add("--fresh", type=int, default=2, help="new scenes a step and process")
    add("--processes", type=int, default=2)
    add("--bf16", action="store_true")
    add("--seed", type=int, default=1)
    add("--save-every", type=int, default=100)
    add("--dense", type=int, default=0, help="dense clicks an image (dense.py)")
    add("--detect", type=float, default=0, help="weight of the detector's loss (detection.py); whole images only")
    add("--detector", type=Path, help="detector of --start's encoder to begin with")
    add("--patches", type=Path, help="file of patches.py: photographs' textures beside the drawn ones")
    add("--scene-offset", type=int, default=0, help="first scene's index; another phase should see other scenes")
    args = parser.parse_args()
    if args.detect and args.window:
        parser.error("--detect looks for whole things: not with --window")
    if args.detector and not args.detect:
        parser.error("--detector is for --detect")
    return args


def draw_forever(queue, indices, side, patch_file):
    os.nice(1)
    if patch_file:
        materials.EXTRA = patches.sheets(patch_file)
    for index in indices:
        scene = scenes.draw_scene(scenes.TRAINING_SPLIT, index, side)
        queue.put((scene.image, scene.leaf.astype(np.uint16), scene.nodes))


class Pool:
    """The last `size` scenes of this rank's endless sequence, drawn by a process of its own; `fresh` are new at each step."""

    def __init__(self, args, rank, step):
        self.size, self.fresh, self.scenes = args.pool, args.fresh, []
        first = step * args.fresh
        last = args.pool + args.steps * args.fresh
        indices = [args.scene_offset + args.processes * i + rank for i in range(first, last)]
        self.queue = multiprocessing.Queue(16)
        self.process = multiprocessing.Process(target=draw_forever, args=(self.queue, indices, args.side, args.patches), daemon=True)
        self.process.start()
        self._take(args.pool)

    def _take(self, count):
        for _ in range(count):
            self.scenes.append(scenes.Scene(*self.queue.get()))
        self.scenes = self.scenes[-self.size:]

    def batch(self, rng, args):
        views, origins, questions, clicks, things = [], [], [], [], []
        least_area = args.least_area * args.side ** 2
        while len(views) < args.batch:
            view = prompts.augment(rng, self.scenes[rng.integers(len(self.scenes))])
            view, origin = prompts.window_of(rng, view, args.window or args.side)
            asked = prompts.ask(rng, view, args.prompts, least_area, args.box_share)
            if asked:
                if args.dense:
                    clicks.append(dense.questions(rng, view, args.dense, least_area))
                if args.detect:
                    things.append(detection.things(view))
                views.append(view)
                origins.append(origin)
                questions.append(asked)
        asides = {"dense": [torch.from_numpy(np.stack(part)) for part in zip(*clicks)],
                  "detect": [torch.from_numpy(join(part)) for join, part in zip((np.stack, np.concatenate), zip(*things))]}
        return prompts.collate(views, origins, questions, args.side), asides

    def advance(self):
        self._take(self.fresh)


def rate_at(step, args):
    if step < args.warm_up:
        return args.rate * (step + 1) / args.warm_up
    done = (step - args.warm_up) / max(1, args.steps - args.warm_up)
    return args.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, done))))


def one_step(model, heads, batch, asides, rounds, balance, args, generator):
    """Forward and backward of one batch; the encoder's heads and the decoder's rounds give back their memory one by one."""
    with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
        embeddings = model.embed(batch.images)
    kept = embeddings.detach().float().requires_grad_()
    points, labels, mask_input = batch.points, batch.labels, None
    figures = {}
    for name, head in heads.items():
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            if name == "dense":
                loss, iou = dense.dense_loss(head, kept, model.encoding(kept, batch.origins), *asides[name])
            else:
                loss, iou = detection.detection_loss(head, kept, *asides[name])
        (loss * (args.detect if name == "detect" else 1)).backward()
        figures.update({name: loss.item(), f"{name}_iou": iou})
    rows = torch.arange(len(batch.owner))
    for number in range(rounds):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits, predicted = model.decode(kept, batch.owner, points, labels, mask_input, batch.origins)
        ambiguous = (labels[:, 0] == 1) if number == 0 else torch.zeros(len(rows), dtype=torch.bool)
        loss, found = losses.round_loss(logits, predicted, batch.targets, batch.known, batch.asked, ambiguous, balance)
        (loss / rounds).backward()
        figures.update({f"{name}{number + 1}": float(value) for name, value in found.items()})
        if number + 1 < rounds:
            best = 1 + predicted[:, 1:].argmax(1)
            mask_input = logits[rows, best][:, None].detach().float()
            more, label = prompts.error_clicks(generator, mask_input[:, 0], batch.targets[rows, batch.asked])
            more = (more * prompts.STRIDE / 4 + prompts.STRIDE * batch.origins[batch.owner, None]) / args.side
            points, labels = torch.cat([points, more], 1), torch.cat([labels, label], 1)
            mask_input = mask_input.clamp(-32, 32)
    embeddings.backward(kept.grad.to(embeddings.dtype))
    return figures


def make_heads(width, args):
    """What the encoder is asked besides, in training only; from the checkpoint to start with, as far as that has it."""
    heads = torch.nn.ModuleDict()
    if args.dense:
        heads["dense"] = dense.DenseHead(width)
    if args.detect:
        heads["detect"] = detection.DetectionHead(width)
    if args.start:
        heads.load_state_dict(models.read_heads(args.start), strict=False)
    if args.detector:
        detection.read(heads["detect"], args.detector)
    return heads


def make_optimisers(model, heads, args):
    """Muon for the matrices between hidden layers, AdamW for all else: convolutions, embeddings, vectors."""
    named = [*model.named_parameters(), *heads.named_parameters()]
    hidden = [p for name, p in named if args.muon and p.dim() == 2 and "token" not in name and "embed" not in name]
    others = [p for _, p in named if not any(p is q for q in hidden)]
    groups = [dict(params=[p for p in others if p.dim() >= 2], weight_decay=0.02), dict(params=[p for p in others if p.dim() < 2], weight_decay=0.0)]
    found = [torch.optim.AdamW(groups, lr=args.rate)]
    if hidden:
        found.append(torch.optim.Muon(hidden, lr=args.rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"))
    return found


def sum_gradients(parameters, processes):
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
    dist.all_reduce(flat)
    flat /= processes
    at = 0
    for parameter in parameters:
        parameter.grad.copy_(flat[at:at + parameter.numel()].view_as(parameter))
        at += parameter.numel()


def save(path, content):
    torch.save(content, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def work(rank, args):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{args.out.absolute()}/meet", rank=rank, world_size=args.processes)
    config = {**models.DEFAULT, "image_size": args.side}
    model = models.drawn(config, args.seed).to(memory_format=torch.channels_last)  # a fifth off the encoder's time
    if args.start:
        state, _ = models.read(args.start)
        missing = [name for name in model.load_state_dict(models.fit(state, model), strict=False).missing_keys
                   if not name.endswith("num_batches_tracked")]
        if missing and rank == 0:
            print(f"{args.start} has {len(missing)} tensors less, or of another shape; they are drawn anew", flush=True)
    heads = make_heads(config["prompt_embed_dim"], args)
    parameters = [*model.parameters(), *heads.parameters()]
    optimisers = make_optimisers(model, heads, args)
    ema = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step, seconds = 0, 0.0
    last = args.out / "last.pt"
    if last.exists():
        kept = torch.load(last, map_location="cpu", weights_only=True)
        model.load_state_dict(kept["model"])
        heads.load_state_dict(kept["heads"])
        for optimiser, state in zip(optimisers, kept["optimisers"]):
            optimiser.load_state_dict(state)
        ema, step, seconds = kept["ema"], kept["step"], kept["seconds"]
    pool = Pool(args, rank, step)
    model.train()
    dist.barrier()
    begun = time.monotonic() - seconds
    sums, log = {}, args.out / "log.jsonl"
    while step < args.steps:
        shared = np.random.default_rng([args.seed, step])
        rng = np.random.default_rng([args.seed, step, rank])
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 60)))
        rounds = int(shared.choice(3, p=args.rounds)) + 1
        balance = max(0.0, 1 - step / args.balance) if args.balance else 0.0
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate_at(step, args)
            optimiser.zero_grad(set_to_none=True)
        figures = one_step(model, heads, *pool.batch(rng, args), rounds, balance, args, generator)
        sum_gradients(parameters, args.processes)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimiser in optimisers:
            optimiser.step()
        pool.advance()
        step += 1
        decay = min(args.ema, (step + 1) / (step + 10))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                ema[name].lerp_(tensor, 1 - decay)
            else:
                ema[name].copy_(tensor)
        for name, value in figures.items():
            sums.setdefault(name, []).append(value)
        if rank == 0 and (step % 20 == 0 or step == args.steps):
            line = dict(step=step, seconds=round(time.monotonic() - begun), side=args.side, rate=rate_at(step - 1, args),
                        **{name: round(float(np.mean(values)), 4) for name, values in sorted(sums.items())})
            with open(log, "a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            sums = {}
        if rank == 0 and (step % args.save_every == 0 or step == args.steps):
            passed = time.monotonic() - begun
            save(last, dict(model=model.state_dict(), heads=heads.state_dict(), optimisers=[optimiser.state_dict() for optimiser in optimisers], ema=ema, step=step, seconds=passed))
            save(args.out / "ema.pt", dict(ema=ema, heads=heads.state_dict(), step=step, seed=args.seed, seconds=passed, config=config,
                                           arguments={k: str(v) for k, v in vars(args).items()}))
    pool.process.terminate()
    dist.barrier()
    dist.destroy_process_group()


def main():
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "meet").unlink(missing_ok=True)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(rank, args)) for rank in range(args.processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("train.py: a process failed")


if __name__ == "__main__":
    main()
