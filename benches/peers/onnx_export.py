"""A Hugging Face token-classification directory to ONNX graphs: f32 with fused attention, and int8 in several kinds.

`python onnx_export.py --model models/news-ner --out target/bench/onnx` writes each kind once; `onnx_int8.py` calls it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

#: Kinds of graph: how the weights are quantized. Which is fastest hangs on the processor.
KINDS = {
    "f32": None,
    "int8": {"weights": "QInt8", "reduce_range": False},
    "int8-reduced": {"weights": "QInt8", "reduce_range": True},
    "uint8": {"weights": "QUInt8", "reduce_range": False},
}


def graph(model: Path, out: Path, kind: str) -> Path:
    """The path of a kind of graph, made if it is not there yet."""
    digest = hashlib.sha256((model / "config.json").read_bytes() + (model / "manifest.json").read_bytes()).hexdigest()[:12]
    path = out / digest / f"{kind}.onnx"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    fused = out / digest / "f32.onnx"
    if not fused.exists():
        _fuse(model, _export(model, fused.with_name("plain.onnx")), fused)
    if KINDS[kind]:
        _quantize(fused, path, **KINDS[kind])
    return path


def _export(model: Path, path: Path) -> Path:
    import torch
    from transformers import AutoModelForTokenClassification

    network = AutoModelForTokenClassification.from_pretrained(model, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.ones((2, 16), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        network,
        (ids, ids, torch.zeros_like(ids)),
        str(path),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "rows", 1: "length"} for name in [*names, "logits"]},
        opset_version=17,
    )
    return path


def _fuse(model: Path, plain: Path, path: Path) -> None:
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    options = FusionOptions("bert")
    # The mask as lengths, not as a matrix: the rows are padded on the right.
    options.use_raw_attention_mask(False)
    optimized = optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=config["num_attention_heads"],
        hidden_size=config["hidden_size"],
        optimization_options=options,
        opt_level=1,
    )
    fusions = optimized.get_fused_operator_statistics()
    if fusions.get("Attention", 0) != config["num_hidden_layers"]:
        raise RuntimeError(f"the optimizer did not fuse every layer's attention: {fusions}")
    optimized.change_graph_inputs_to_int32()
    optimized.save_model_to_file(str(path))
    path.with_suffix(".fusions.json").write_text(json.dumps(fusions, indent=1), encoding="utf-8")


def _quantize(fused: Path, path: Path, weights: str, reduce_range: bool) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(fused),
        str(path),
        per_channel=True,
        reduce_range=reduce_range,
        weight_type=QuantType[weights],
        op_types_to_quantize=["MatMul", "Attention"],
        # The fused operators are ONNX Runtime's own: shape inference does not know what they give.
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/news-ner"))
    parser.add_argument("--out", type=Path, default=Path("target/bench/onnx"))
    options = parser.parse_args()
    for kind in KINDS:
        print(graph(options.model, options.out, kind))


if __name__ == "__main__":
    main()
