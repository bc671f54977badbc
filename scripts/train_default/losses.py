"""Focal and dice loss of all pairs of masks and nested targets, their assignment, and the error of the predicted IoU.

[SAM] A takes, of a click's three masks, the one with the least loss against the one annotated target. Drawn scenes know all
nested targets of a click, so each takes its own mask: the assignment with the least sum. With one target this is the
paper's rule. Targets are shares of covered cells; for them the focal loss is the mean of the two labels' losses."""

import itertools

import torch
import torch.nn.functional as F

FOCAL_WEIGHT, DICE_WEIGHT = 20.0, 1.0


def pair_losses(logits, targets, balance=0.0):
    """logits [N][M][L][L], targets [N][T][L][L] -> loss [N][M][T] and IoU of the hard masks [N][M][T]. `balance` mixes the
    focal loss with a class-balanced cross-entropy, without which training from nothing ends in "no mask anywhere"."""
    x, t = logits.float().flatten(2), targets.flatten(2)
    cells = x.shape[-1]
    p = x.sigmoid()
    on, off = F.softplus(-x), F.softplus(x)
    tt = t.transpose(1, 2)
    weigh = (1 - p) ** 2 * on, p ** 2 * off
    focal = ((weigh[0] - weigh[1]) @ tt + weigh[1].sum(2, keepdim=True)) / cells
    dice = 1 - (2 * (p @ tt) + 1) / (p.sum(2, keepdim=True) + t.sum(2)[:, None] + 1)
    loss = FOCAL_WEIGHT * focal + DICE_WEIGHT * dice
    if balance:
        area = t.sum(2)[:, None]
        even = 0.5 * (on @ tt) / (area + 1) + 0.5 * (off @ (1 - tt)) / (cells - area + 1)
        loss = (1 - balance) * loss + balance * (dice + even)
    with torch.no_grad():
        a, b = (x > 0).float(), (t > 0.5).float()
        both = a @ b.transpose(1, 2)
        iou = both / (a.sum(2, keepdim=True) + b.sum(2)[:, None] - both).clamp(min=1)
    return loss, iou


def assign(loss, known):
    """loss [N][3][T], known [N][T] -> mean loss [N] of the best assignment of the known targets to different masks."""
    order = torch.tensor(list(itertools.permutations(range(loss.shape[1]), loss.shape[2])))  # target -> mask
    each = loss.transpose(1, 2) * known[..., None]  # [N][T][M]
    sums = sum(each[:, t][:, order[:, t]] for t in range(loss.shape[2]))  # [N][permutations]
    return sums.min(1).values / known.sum(1)


def round_loss(logits, predicted, targets, known, asked, ambiguous, balance=0.0):
    """The loss of one round, and figures for the log. logits [N][4][L][L]; ambiguous bool [N]: one click, so that every known
    target is right; otherwise the asked one alone, and mask 0 learns too."""
    loss, iou = pair_losses(logits, targets, balance)
    rows = torch.arange(len(asked))
    known = torch.where(ambiguous[:, None], known, F.one_hot(asked, targets.shape[1]).bool())
    mask_loss = assign(loss[:, 1:], known)
    mask_loss = mask_loss + torch.where(ambiguous, 0.0, 0.5) * loss[rows, 0, asked]
    truth = iou.masked_fill(~known[:, None], 0).max(2).values
    weight = torch.ones_like(truth)
    weight[:, 0] = torch.where(ambiguous, 0.0, 1.0)
    error = predicted.float() - truth
    iou_loss = (weight * error ** 2).sum() / weight.sum()
    with torch.no_grad():
        wanted = iou[rows, 1:, asked]
        figures = dict(mask=mask_loss.mean(), iou_error=error[:, 1:].abs().mean(), best=wanted.max(1).values.mean(),
                       chosen=wanted.gather(1, predicted[:, 1:].argmax(1, True)).mean())
    return mask_loss.mean() + iou_loss, figures
