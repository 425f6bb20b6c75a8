"""One contestant in its own process: `python worker.py FOLDER RUNTIME THREADS BATCH PRECISION`, driven by compare.py through its
standard input.

FOLDER holds what prepare.py made of one package. A line "measure SECONDS" answers with the milliseconds of every run in that
time (BATCH patches or images a run); the end of the input ends the process. PRECISION is f32, bf16 or int8; patches come and embeddings leave as float32 in ordinary
memory. A runtime that has no such precision is refused.
"""
import contextlib
import json
import os
import pathlib
import sys
import time

import numpy as np

# Read by the runtimes when they are loaded, so set before any import of them.
THREADS = int(sys.argv[3]) if len(sys.argv) > 3 else 1
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(THREADS)


def torch_network(folder, patches, precision):
    """For bf16 the weights of products are converted once; autocast, which leaves norms in float32, would convert them in every run."""
    import torch
    import nets
    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    network = nets.load((folder / "package.txt").read_text())
    if precision == "bf16":
        for module in network.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)):
                module.to(torch.bfloat16)
    return torch, network, torch.from_numpy(patches)


def torch_run(torch, network, x, precision):
    reduced = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()

    def run():
        with reduced:
            return network(x).float().numpy()
    return run


def torch_eager(folder, patches, precision):
    return torch_run(*torch_network(folder, patches, precision), precision)


def torch_eager_channels_last(folder, patches, precision):
    torch, network, x = torch_network(folder, patches, precision)
    layout = torch.channels_last_3d if x.ndim == 5 else torch.channels_last
    return torch_run(torch, network.to(memory_format=layout), x.to(memory_format=layout), precision)


def torch_compile(folder, patches, precision):
    """With freezing: weights become constants, laid out for oneDNN once. Without it compiling gains little here."""
    torch, network, x = torch_network(folder, patches, precision)
    import torch._inductor.config as inductor
    inductor.freezing = True
    return torch_run(torch, torch.compile(network), x, precision)


def onnxruntime_session(folder, patches, precision):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("batch", len(patches))
    file = {"f32": "network.onnx", "int8": "network-int8.onnx"}[precision]
    session = ort.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"patch": patches})[0]


def openvino_model(folder, shape, precision, streams, hint):
    """What NNCF leaves in float runs as OpenVINO chooses by itself: in bfloat16 where the processor has it."""
    import openvino as ov
    core = ov.Core()
    model = core.read_model(folder / ("network-int8.xml" if precision == "int8" else "network.xml"))
    model.reshape(list(shape))
    numbers = {"f32": {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}, "bf16": {"INFERENCE_PRECISION_HINT": "bf16"}, "int8": {}}
    return ov, core.compile_model(model, "CPU", {
        **numbers[precision], "PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": streams})


def openvino_batch(folder, patches, precision):
    _, compiled = openvino_model(folder, patches.shape, precision, 1, "LATENCY")
    request = compiled.create_infer_request()
    return lambda: request.infer({0: patches})[0]


def openvino_requests(folder, patches, precision):
    """One patch a request, as many requests at a time as threads."""
    ov, compiled = openvino_model(folder, (1, *patches.shape[1:]), precision, THREADS, "THROUGHPUT")
    queue = ov.AsyncInferQueue(compiled, THREADS)
    embeddings = np.empty((len(patches), compiled.output(0).shape[1]), np.float32)
    queue.set_callback(lambda request, i: embeddings.__setitem__(i, request.get_output_tensor(0).data[0]))

    def run():
        for i in range(len(patches)):
            queue.start_async({0: patches[i:i + 1]}, i)
        queue.wait_all()
        return embeddings
    return run


RUNTIMES = {f.__name__.replace("_", "-"): f for f in (torch_eager, torch_eager_channels_last, torch_compile, openvino_batch, openvino_requests)}
RUNTIMES["onnxruntime"] = onnxruntime_session


def peak_rss_mb():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def measure(run, seconds):
    run()  # the other contestants have emptied the caches
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - before))
    return times


def main():
    folder, runtime, batch, precision = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[4]), sys.argv[5]
    patches = np.load(folder / "input.npy")[:batch]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    before = time.perf_counter()
    run = RUNTIMES[runtime](folder, patches, precision)
    embeddings = np.array(run())
    opened = time.perf_counter() - before
    np.save(folder / f"{runtime}-{precision}.npy", embeddings)
    print(json.dumps({"open_seconds": opened}), file=answers)
    for line in sys.stdin:
        times = measure(run, float(line.split()[1]))
        print(json.dumps({"ms": times, "peak_rss_mb": peak_rss_mb()}), file=answers)


if __name__ == "__main__":
    main()
