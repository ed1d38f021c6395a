"""A classifier as a graph of standard ONNX nodes: embedding, ``LSTM`` layers, pooling, head.

Written node by node (ONNX 1.13, opset 18; https://onnx.ai/onnx/operators), so that no tracer has to guess
which sizes are free: ``tokens`` (batch, time) and ``lengths`` (batch,) in, ``logits`` (batch, outputs) out,
any batch, any time. Members of an ensemble stand side by side and their logits are averaged.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import genolm.compute  # noqa: F401  sets the OpenMP wait policy before torch is loaded

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from genolm.classifier import Ensemble, PoolingHead, SequenceClassifier
from genolm.model import AWDEncoder

OPSET, IR_VERSION = 18, 8
_TORCH_GATES_IN_ONNX_ORDER = (0, 3, 1, 2)


class _Graph:
    """Nodes and constants of a graph in the making; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the name of that."""
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray | Tensor | list[int]) -> str:
        """Add a constant, once for each name: fp32 if it is a weight, int64 if it is a list."""
        if name not in self.constants:
            array = value.detach().cpu().float().numpy() if isinstance(value, Tensor) else np.asarray(value)
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def axes(self, *axes: int) -> str:
        """Return the constant that names these axes."""
        return self.constant("axes_" + "_".join(map(str, axes)), np.array(axes, dtype=np.int64))

    def number(self, value: float) -> str:
        """Return a float32 constant without axes."""
        return self.constant(f"number_{value}", np.array(value, dtype=np.float32))


class _Places(NamedTuple):
    """What the pooling needs to know of a batch, the same for every member; each is a value's name."""

    last: str  # int64 (batch, 1), the last real token
    real: str  # bool (batch, time, 1)
    lengths: str  # float32 (batch, 1)
    shares: str  # float32 (batch, slots, time), "" without slots


def classifier_graph(
    model: SequenceClassifier | Ensemble, *, doc: str = "", metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """Return a classifier in eval mode as an ONNX model, checked for well-formedness.

    Parameters
    ----------
    model : SequenceClassifier or Ensemble
    doc : str
        The model's description.
    metadata : mapping of str to str, optional
        Its ``metadata_props``.
    """
    members = list(model.members) if isinstance(model, Ensemble) else [model]
    graph = _Graph()
    places = _places(graph, members[0].slots)
    logits = [_member(graph, member, f"members.{number}.", places) for number, member in enumerate(members)]
    graph.node("Mean", *logits, output="logits")
    outputs = members[0].head.layers[-1].out_features
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "classifier",
            [
                helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "time"]),
                helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
            ],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])],
            initializer=list(graph.constants.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="genolm",
        doc_string=doc,
    )
    helper.set_model_props(proto, dict(metadata or {}))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _places(graph: _Graph, slots: int) -> _Places:
    """Add what :func:`genolm.classifier.pool` derives from lengths alone."""
    time = graph.node("Squeeze", graph.node("Shape", "tokens", start=1, end=2))
    zero, one = graph.constant("zero", np.array(0)), graph.constant("one", np.array(1))
    places = graph.node("Unsqueeze", graph.node("Range", zero, time, one), graph.axes(0))
    lengths = graph.node("Unsqueeze", "lengths", graph.axes(1))
    real = graph.node("Less", places, lengths)
    shares = ""
    if slots:
        scaled = graph.node("Mul", places, graph.constant("slots", np.array(slots)))
        slot_of = graph.node("Div", scaled, lengths)
        slot_of = graph.node("Where", real, slot_of, graph.constant("none", np.array(-1)))
        numbers = graph.constant("slot_numbers", np.arange(slots)[None, :, None])
        member = graph.node("Equal", graph.node("Unsqueeze", slot_of, graph.axes(1)), numbers)
        member = graph.node("Cast", member, to=TensorProto.FLOAT)
        count = graph.node("ReduceSum", member, graph.axes(2), keepdims=1)
        shares = graph.node("Div", member, graph.node("Max", count, graph.number(1.0)))
    return _Places(
        last=graph.node("Sub", lengths, one),
        real=graph.node("Unsqueeze", real, graph.axes(2)),
        lengths=graph.node("Cast", lengths, to=TensorProto.FLOAT),
        shares=shares,
    )


def _member(graph: _Graph, model: SequenceClassifier, prefix: str, places: _Places) -> str:
    hidden = _encoded(graph, model.encoder, prefix + "encoder.")
    return _head(graph, model.head, prefix + "head.", _pooled(graph, hidden, places))


def _encoded(graph: _Graph, encoder: AWDEncoder, prefix: str) -> str:
    """Add the encoder; returns hidden states (batch, time, emb)."""
    table = graph.constant(prefix + "embedding.weight", encoder.embedding.vectors())
    hidden = graph.node("Gather", table, graph.node("Transpose", "tokens", perm=[1, 0]))
    for layer, rnn in enumerate(encoder.rnns):
        name = f"{prefix}rnns.{layer}."
        bias = _gates(rnn.bias)
        weights = [
            graph.constant(name + "weight_ih", _gates(rnn.weight_ih)[None]),
            graph.constant(name + "weight_hh", _gates(rnn.weight_hh)[None]),
            graph.constant(name + "bias", np.concatenate([bias, np.zeros_like(bias)])[None]),
        ]
        states = graph.node("LSTM", hidden, *weights, hidden_size=rnn.width_out)
        hidden = graph.node("Squeeze", states, graph.axes(1))
    return graph.node("Transpose", hidden, perm=[1, 0, 2])


def _gates(weight: Tensor) -> np.ndarray:
    """Return a weight of the four gates in ONNX's order, input, output, forget, candidate, float32."""
    gates = weight.detach().cpu().float().numpy().reshape(4, -1, *weight.shape[1:])
    return gates[list(_TORCH_GATES_IN_ONNX_ORDER)].reshape(weight.shape)


def _pooled(graph: _Graph, hidden: str, places: _Places) -> str:
    """Add :func:`genolm.classifier.pool`; returns (batch, (3 + slots) * emb)."""
    lowest, nothing = graph.number(float("-inf")), graph.number(0.0)
    last = graph.node("GatherND", hidden, places.last, batch_dims=1)
    highest = graph.node("Where", places.real, hidden, lowest)
    highest = graph.node("ReduceMax", highest, graph.axes(1), keepdims=0)
    total = graph.node("Where", places.real, hidden, nothing)
    total = graph.node("ReduceSum", total, graph.axes(1), keepdims=0)
    parts = [last, highest, graph.node("Div", total, places.lengths)]
    if places.shares:
        parts.append(graph.node("Flatten", graph.node("MatMul", places.shares, hidden), axis=1))
    return graph.node("Concat", *parts, axis=1)


def _head(graph: _Graph, head: PoolingHead, prefix: str, value: str) -> str:
    """Add the head's layers; its dropouts do nothing in eval mode."""
    for place, layer in enumerate(head.layers):
        name = f"{prefix}layers.{place}."
        if isinstance(layer, nn.Linear):
            weights = [graph.constant(name + key, getattr(layer, key)) for key in ("weight", "bias")]
            value = graph.node("Gemm", value, *weights, transB=1)
        elif isinstance(layer, nn.BatchNorm1d):
            keys = ("weight", "bias", "running_mean", "running_var")
            weights = [graph.constant(name + key, getattr(layer, key)) for key in keys]
            value = graph.node("BatchNormalization", value, *weights, epsilon=layer.eps)
        elif isinstance(layer, nn.ReLU):
            value = graph.node("Relu", value)
    return value
