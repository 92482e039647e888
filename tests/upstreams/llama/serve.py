"""Starts llama.cpp's own HTTP server, out of the xllamacpp wheel: `serve.py MODEL.gguf PORT`. It ends with its stdin."""

import sys

import xllamacpp


def main():
    found = xllamacpp.CommonParams()
    found.model.path = sys.argv[1]
    found.hostnames = ["127.0.0.1"] if isinstance(found.hostnames, list) else found.hostnames
    found.port = int(sys.argv[2])
    # two slots of 4096 tokens
    found.n_ctx, found.n_parallel, found.warmup, found.ui = 8192, 2, False, False
    found.cpuparams.n_threads, found.use_jinja, found.model_alias = 1, True, {"tiny"}
    server = xllamacpp.Server(found)
    print("listening", server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
