#!/usr/bin/env python3
"""PyTorch's linear map in f32 at the shapes of `cargo bench -p ruminate-kernels --bench linear`; the square one is its ceiling.
usage: peer_linear.py. Prints: peer linear ROWSxINNERxOUTPUTS GFLOP/s (median of 30)."""
import statistics, time, torch
for rows, inner, outputs in [(2048, 2048, 2048), (2048, 256, 768), (1024, 576, 1536), (32, 576, 576), (32, 576, 1536), (32, 1536, 576), (32, 576, 49152), (1, 576, 1536)]:
    x, weight, times = torch.randn(rows, inner), torch.randn(outputs, inner), []
    for _ in range(30):
        start = time.perf_counter()
        x @ weight.T
        times.append(time.perf_counter() - start)
    print(f"peer linear {rows}x{inner}x{outputs}: {2 * rows * inner * outputs / statistics.median(times) / 1e9:.0f} GFLOP/s")
