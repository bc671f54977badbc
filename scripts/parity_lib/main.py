"""scripts/parity: the reference and maskmill on the same checkpoints and pictures, a table, and PASS or FAIL.

What is compared, and the bars, differ between f32 (parity_f32.py) and bf16 (parity_bf16.py); docs/parity.md has both."""

import argparse
import json
import sys

import parity_bf16
import parity_f32
import torch
from cases import CASES, GROUPS
from reference_model import ReferenceModel
from tools import Tools

# By precision: what there is to run, how one of it is run, and who prints.
COMPARISONS = {"f32": (CASES, parity_f32.run_case, parity_f32), "bf16": (GROUPS, parity_bf16.run_group, parity_bf16)}


def main():
    parser = argparse.ArgumentParser(prog="scripts/parity", description=__doc__.split("\n")[0])
    parser.add_argument("--precision", default="f32", choices=tuple(COMPARISONS), help="of maskmill; the reference's is f32")
    parser.add_argument("--quick", action="store_true", help="the narrow ViT and the default model on small pictures")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--backend", default="auto", choices=("auto", "dnnl", "blas"))
    parser.add_argument("--threads", type=int, default=1, help="of maskmill and of the reference")
    for name in ("--maskmill", "--dump", "--work", "--default-model"):
        parser.add_argument(name, required=True, help=argparse.SUPPRESS)
    parser.add_argument("case", nargs="*", help="names of cases, or their beginnings; all of them when none is given")
    args = parser.parse_args()
    everything, run, printer = COMPARISONS[args.precision]
    chosen = [c for c in everything if (not args.quick or c.quick) and (not args.case or c.name.startswith(tuple(args.case)))]
    if args.list or not chosen:
        print("\n".join(c.name + (" (quick)" if c.quick else "") for c in everything))
        return 0 if args.list else 2
    torch.set_num_threads(args.threads)
    tools = Tools(args.maskmill, args.dump, args.work, args.precision, args.backend, args.threads)
    printer.print_heads()
    rows, model = [], None
    for case in chosen:
        if model is None or model.name != case.model:
            model = ReferenceModel(case.model, tools.work, args.default_model)
        rows.append(run(case, model, tools))
        printer.print_row(rows[-1])
        sys.stdout.flush()
    results = tools.work / ("results.json" if args.precision == "f32" else f"results.{args.precision}.json")
    results.write_text(json.dumps(rows, indent=1))
    failed = sum(not row["pass"] for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} cases pass; figures and pictures are in {tools.work}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
