"""What models of known shapes weigh in each mix of formats, computed from their tensors: nothing is written.

python benchmarks/quantized_sizes.py llama2-7b q8_0 q4_k_m
"""

import argparse

from edgewise.quantize.mixes import MIXES, named_mix
from edgewise.quantize.plan import Plan, make_plan
from edgewise.quantize.recipe import ModelFacts, choose
from edgewise.quantize.roles import Tensor
from random_model.known_shapes import KNOWN_SHAPES


def main() -> None:
    """Print a table for documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(KNOWN_SHAPES))
    parser.add_argument("mixes", nargs="*", default=list(MIXES), metavar="MIX")
    arguments = parser.parse_args()
    print(f"| {arguments.shape} | GB | GiB | bits per weight |\n| --- | ---: | ---: | ---: |")
    for name in arguments.mixes:
        plan = plan_of(arguments.shape, name)
        size = plan.size_bytes
        print(f"| {name} | {size / 1e9:.2f} | {size / 2**30:.2f} | {plan.bits_per_weight:.2f} |")


def plan_of(shape_name: str, mix_name: str) -> Plan:
    """What quantizing the f16 file of such a model would give."""
    shape = KNOWN_SHAPES[shape_name]
    tensors = [
        Tensor(
            tensor.name,
            "f16" if tensor.kind == "matrix" else "f32",
            (tensor.columns, tensor.rows) if tensor.kind == "matrix" else (tensor.columns,),
        )
        for tensor in shape.tensors()
    ]
    facts = ModelFacts(shape.architecture, shape.block_count, shape.head_count, shape.head_count_kv, 0, tuple(tensors))
    mix = named_mix(mix_name)
    return make_plan(facts, choose(facts, mix), mix.file_type)


if __name__ == "__main__":
    main()
