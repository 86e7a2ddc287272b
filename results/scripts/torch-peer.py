#!/usr/bin/env python3
"""A training step in PyTorch as its users write it: the rival of `duet bench step`.

    torch-peer.py --model models/demo.json --batch 2 --seq 256 [--set KEY=VALUE]... [options]

One JSON line: median, least and greatest milliseconds of a step, those of processors, peak memory, parameters. Steps include the
optimizer. With --turns the process lives on: a line "N" on standard input is a turn of N steps after one that is not measured,
answered by a JSON line; peers.py does that. With --weights it computes a loss instead, that of `duet eval --format raw16`:

    torch-peer.py --model FOLDER/config.json --seq T --weights FOLDER --ids FILE

The model is a Llama: nn.Linear without biases, scaled_dot_product_attention, cross_entropy, tied embeddings; random weights and
tokens. PyTorch is that of tests/clients/requirements.txt (tools/python-env.sh installs it)."""
import argparse
import json
import math
import os
import resource
import statistics
import struct
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

LORA_ALPHA = 16
ZO_EPS, ZO_LR = 1e-3, 1e-9


class Norm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c["hidden_size"]))
        self.eps = c["rms_norm_eps"]

    def forward(self, x):
        h = x.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * h.to(x.dtype)


class LoraLinear(nn.Linear):
    def __init__(self, n_in, n_out, rank):
        super().__init__(n_in, n_out, bias=False)
        self.lora_A = nn.Parameter(torch.randn(rank, n_in) / math.sqrt(n_in))
        self.lora_B = nn.Parameter(torch.zeros(n_out, rank))
        self.scale = LORA_ALPHA / rank

    def forward(self, x):
        return F.linear(x, self.weight) + F.linear(F.linear(x, self.lora_A), self.lora_B) * self.scale


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    def __init__(self, c, linear):
        super().__init__()
        self.dim = c["head_dim"]
        d, q, kv = c["hidden_size"], c["num_attention_heads"] * self.dim, c["num_key_value_heads"] * self.dim
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = linear(d, q), linear(d, kv), linear(d, kv), linear(q, d)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, -1, self.dim).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, h = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj = nn.Linear(d, h, bias=False), nn.Linear(d, h, bias=False)
        self.down_proj = nn.Linear(h, d, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, c, linear):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(c), Norm(c)
        self.self_attn, self.mlp = Attention(c, linear), Mlp(c)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self, c, seq, lora):
        super().__init__()
        linear = (lambda i, o: LoraLinear(i, o, lora)) if lora else (lambda i, o: nn.Linear(i, o, bias=False))
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Block(c, linear) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c)
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        if c["tie_word_embeddings"]:
            self.lm_head.weight = self.embed_tokens.weight
        f = c["rope_theta"] ** (-torch.arange(0, c["head_dim"], 2, dtype=torch.float64) / c["head_dim"])
        angle = torch.outer(torch.arange(seq, dtype=torch.float64), f).repeat(1, 2)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() > 1 and "lora" not in name:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        logits = self.lm_head(self.norm(x))
        return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.view(-1))


def read_model(path, pairs):
    with open(path, encoding="utf-8") as f:
        c = json.load(f)
    for pair in pairs:
        key, value = pair.split("=", 1)
        c[key] = json.loads(value)
    if c["model_type"] != "llama" or c.get("rope_scaling") or c.get("attention_bias"):
        sys.exit(f"torch-peer: {path} is not a plain Llama")
    return c


# ---- the step -----------------------------------------------------------------------------------


def backprop_step(o, loss_of, params):
    kinds = {"fused": {"fused": True}, "foreach": {"foreach": True}, "loop": {"foreach": False}}
    opt = torch.optim.AdamW(params, lr=1e-9, betas=(0.9, 0.95), weight_decay=0.1, **kinds[o.adamw])

    def step(batch):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=o.dtype == "autocast"):
            loss = loss_of(*batch)
        loss.backward()
        opt.step()
        opt.zero_grad(set_to_none=True)
        return loss.item()

    return step


def normal(p):
    # PyTorch draws bf16 numbers one by one, f32 ones in vectors
    return torch.randn(p.shape, dtype=torch.float32).to(p.dtype)


def mezo_step(o, loss_of, params):
    """The algorithm as published (arXiv:2305.17333): directions drawn anew from their seed at +eps, -2 eps, +eps and in the
    update. "inplace" does not allocate and restores and updates in one pass; "kept" holds the direction in memory."""
    kept = []

    def shift(seed, scale):
        if o.mezo == "kept":
            for p, z in zip(params, kept):
                p.add_(z, alpha=scale)
            return
        torch.manual_seed(seed)
        for p in params:
            if o.mezo == "inplace":
                p.add_(normal(p), alpha=scale)
            else:
                p.data = p.data + scale * torch.normal(mean=0, std=1, size=p.size(), dtype=p.dtype)

    @torch.no_grad()
    def step(batch):
        seed = int(torch.randint(1 << 30, (), generator=seeds))
        if o.mezo == "kept":
            torch.manual_seed(seed)
            kept[:] = [z.normal_() for z in kept] or [normal(p) for p in params]
        shift(seed, ZO_EPS)
        up = loss_of(*batch).item()
        shift(seed, -2 * ZO_EPS)
        down = loss_of(*batch).item()
        update = -ZO_LR * (up - down) / (2 * ZO_EPS)
        if o.mezo == "published":
            shift(seed, ZO_EPS)
            shift(seed, update)
        else:
            shift(seed, ZO_EPS + update)
        return up

    seeds = torch.Generator().manual_seed(1)
    return step


def make(o):
    """The step of a batch, and the parameters: all, trained."""
    torch.manual_seed(1)
    torch.set_flush_denormal(True)
    if o.threads:
        torch.set_num_threads(o.threads)
    c = read_model(o.model, o.set)
    m = Llama(c, o.seq, o.lora)
    if o.lora:
        for name, p in m.named_parameters():
            p.requires_grad_("lora" in name)
    if o.dtype == "bf16":
        m.to(torch.bfloat16)
    params = [p for p in m.parameters() if p.requires_grad]
    loss_of = m
    if o.compile != "no":
        loss_of = torch.compile(m, mode=None if o.compile == "default" else o.compile)
    step = (backprop_step if o.engine == "backprop" else mezo_step)(o, loss_of, params)
    ids = torch.randint(0, c["vocab_size"], (4, 2, o.batch, o.seq))
    turn = [0]

    def next_step():
        turn[0] += 1
        return step(ids[turn[0] % 4])

    return next_step, sum(p.numel() for p in m.parameters()), sum(p.numel() for p in params)


def measure(step, runs):
    wall, cpu, loss = [], [], 0.0
    for _ in range(runs):
        w, c = time.perf_counter(), time.process_time()
        loss = step()
        wall.append(1e3 * (time.perf_counter() - w))
        cpu.append(1e3 * (time.process_time() - c))
    return {"ms_per_step": round(statistics.median(wall), 3), "ms_min": round(min(wall), 3), "ms_max": round(max(wall), 3),
            "cpu_ms": round(statistics.median(cpu), 3), "loss": loss,
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-6, 1)}


def say(answer):
    print(json.dumps(answer), flush=True)


def bench(o):
    begin = time.perf_counter()
    step, n_all, n_trained = make(o)
    for _ in range(o.warmup):
        step()
    facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "engine": o.engine, "dtype": o.dtype,
             "compile": o.compile, "lora": o.lora, "batch": o.batch, "seq": o.seq, "preload": os.environ.get("LD_PRELOAD", ""),
             "num_params_M": n_all * 1e-6, "trained_M": n_trained * 1e-6, "ready_s": round(time.perf_counter() - begin, 1)}
    if not o.turns:
        say(facts | measure(step, o.runs))
        return
    say(facts)
    for line in sys.stdin:
        step()
        say(measure(step, int(line)))


# ---- a loss, to be compared ---------------------------------------------------------------------


def load_folder(m, folder):
    """model.safetensors: the length of a JSON table, the table, the data."""
    path = os.path.join(folder, "model.safetensors")
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    table = json.loads(data[8 : 8 + size])
    table.pop("__metadata__", None)
    state = {}
    for name, t in table.items():
        if t["dtype"] != "F32":
            sys.exit(f"torch-peer: {path}: {name} is {t['dtype']}, not F32")
        begin, end = t["data_offsets"]
        values = torch.frombuffer(bytearray(data[8 + size + begin : 8 + size + end]), dtype=torch.float32)
        state[name.removeprefix("model.")] = values.view(t["shape"])
    missing, unknown = m.load_state_dict(state, strict=False)
    if unknown or set(missing) - {"lm_head.weight"}:
        sys.exit(f"torch-peer: {path}: unknown {unknown}, missing {missing}")


def loss(o):
    """The mean loss of windows of T ids of 16 bits, as docs/numerics.md says of `duet eval`."""
    m = Llama(read_model(o.model, o.set), o.seq, 0)
    load_folder(m, o.weights)
    with open(o.ids, "rb") as f:
        ids = torch.frombuffer(bytearray(f.read()), dtype=torch.uint16).long()
    n = (len(ids) - 1) // o.seq
    with torch.no_grad():
        each = [m(ids[i * o.seq : (i + 1) * o.seq][None], ids[i * o.seq + 1 : (i + 1) * o.seq + 1][None]).item() for i in range(n)]
    say({"windows": n, "val_loss": math.fsum(each) / n})


def main():
    p = argparse.ArgumentParser(description="A training step in PyTorch.", allow_abbrev=False)
    p.add_argument("--model", required=True)
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--seq", type=int, required=True)
    p.add_argument("--engine", choices=["backprop", "mezo"], default="backprop")
    p.add_argument("--lora", type=int, default=0)
    p.add_argument("--dtype", choices=["f32", "autocast", "bf16"], default="f32")
    p.add_argument("--compile", choices=["no", "default", "reduce-overhead", "max-autotune"], default="no")
    p.add_argument("--adamw", choices=["fused", "foreach", "loop"], default="fused")
    p.add_argument("--mezo", choices=["published", "inplace", "kept"], default="inplace")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--warmup", type=int, default=2)
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--turns", action="store_true")
    p.add_argument("--weights", metavar="FOLDER")
    p.add_argument("--ids", metavar="FILE")
    o = p.parse_args()
    (loss if o.weights else bench)(o)


main()
