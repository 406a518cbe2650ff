"""Measure hoosh beside other gateways: `python -m bench`.

The standard library is enough; h2 (which hoosh brings) plays the HTTP/2 clients that leave, and matplotlib draws.
One upstream (native/mockllm.c) and one load client (native/gwload.c) serve every contender in turn, so ratios hold
where absolute figures drift with the machine.  docs/benchmarks.md tells the method, `--help` the options.

    __main__     options, rounds, what is printed and kept
    contenders   how each gateway is started
    scenarios    what is asked of it           load         gwload, mockllm, h2load as functions
    disconnects  clients that leave            watched      the upstream that notices, the port that never answers
    machine      cores, processes, /proc
    figures      measures, medians, targets    report, plot
"""
