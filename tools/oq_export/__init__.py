"""ONNX graphs into OncoQuant packages: what tools/onnx_to_oncoquant.py and tools/torch_to_oncoquant.py share.

source.py   an ONNX file as a list of nodes with everything fixed: one input, static shapes, constants as arrays
views.py    how the axes of an ONNX value lie on the engine's [C][D][H][W]
emit.py     the engine's graph, node by node, with the shapes it will have
convert.py  walks the nodes; collects everything that cannot be expressed before it gives up
ops.py      one function per ONNX op
patterns.py groups of nodes that mean one op (GELU, L2 normalisation)
package.py  model.json and weights.safetensors on disk, whole or not at all
parity.py   the package beside ONNX Runtime on made-up patches
command.py  options and messages of both programs
"""
