// Files of duet in other readers: GGUF in @huggingface/gguf, tokenizer.json in @huggingface/tokenizers,
// safetensors in a parser of its own. plan.mjs says which models; llama.mjs has written the GGUFs.
import fs from "node:fs";
import path from "node:path";
import { GGMLQuantizationType, gguf } from "@huggingface/gguf";
import { Tokenizer } from "@huggingface/tokenizers";
import { duet, duetReads, lines, must, mustEqual, parseIds, test } from "./common.mjs";
import { models, prose } from "./plan.mjs";

const info = (file) => JSON.parse(duet("info", file, "--tensors", "--json"));

// ---- GGUF --------------------------------------------------------------------------------------

// Names of tensors in GGUF and in Hugging Face's files; written down here once more on purpose.
const LAYER = {
    attn_norm: "input_layernorm", attn_q: "self_attn.q_proj", attn_k: "self_attn.k_proj", attn_v: "self_attn.v_proj",
    attn_output: "self_attn.o_proj", attn_q_norm: "self_attn.q_norm", attn_k_norm: "self_attn.k_norm",
    ffn_norm: "post_attention_layernorm", ffn_gate: "mlp.gate_proj", ffn_up: "mlp.up_proj", ffn_down: "mlp.down_proj",
};
const OTHER = {
    "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
};

function hfName(name) {
    const m = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name);
    return m ? `model.layers.${m[1]}.${LAYER[m[2]]}.${m[3]}` : OTHER[name];
}

// What llama.cpp's loader or its users need, and what config.json says of it.
function checkMetadata(meta, config) {
    const arch = meta["general.architecture"];
    const want = {
        "general.alignment": undefined, "general.quantization_version": 2,
        [`${arch}.context_length`]: config.max_position_embeddings, [`${arch}.embedding_length`]: config.hidden_size,
        [`${arch}.block_count`]: config.num_hidden_layers, [`${arch}.feed_forward_length`]: config.intermediate_size,
        [`${arch}.attention.head_count`]: config.num_attention_heads,
        [`${arch}.attention.head_count_kv`]: config.num_key_value_heads,
        [`${arch}.attention.layer_norm_rms_epsilon`]: Math.fround(config.rms_norm_eps),
        [`${arch}.rope.freq_base`]: Math.fround(config.rope_theta), [`${arch}.vocab_size`]: config.vocab_size,
        [`${arch}.attention.key_length`]: config.head_dim, [`${arch}.attention.value_length`]: config.head_dim,
    };
    must(arch === config.model_type, `architecture ${arch}, the model is ${config.model_type}`);
    for (const [key, value] of Object.entries(want))
        if (value !== undefined) must(meta[key] === value, `${key} is ${meta[key]}, expected ${value}`);
    const n = config.vocab_size;
    for (const key of ["tokens", "token_type"]) {
        const list = meta[`tokenizer.ggml.${key}`];
        must(list?.length === n, `tokenizer.ggml.${key} has ${list?.length} entries, the vocabulary is ${n}`);
    }
    must(new Set(meta["tokenizer.ggml.tokens"]).size === n, "tokenizer.ggml.tokens has one twice");
    must(meta["tokenizer.ggml.model"] === "gpt2" ? meta["tokenizer.ggml.merges"].length > 0 && meta["tokenizer.ggml.pre"]
        : meta["tokenizer.ggml.scores"].length === n, "tokenizer.ggml: merges or scores are missing");
    must(typeof meta["tokenizer.ggml.add_bos_token"] === "boolean", "tokenizer.ggml.add_bos_token is missing");
}

async function checkGguf(file) {
    const { metadata, tensorInfos, tensorDataOffset } = await gguf(file, { allowLocalFile: true });
    const said = info(file);
    const want = new Map(said.tensor_list.map((t) => [t.name, t]));
    checkMetadata(metadata, said.config);
    must(metadata.version === 3, `version ${metadata.version}`);
    let end = 0n;
    for (const t of tensorInfos) {
        if (t.name === "rope_freqs.weight") continue; // a key of the config in duet
        const w = want.get(hfName(t.name));
        must(w, `duet knows no ${t.name}`);
        mustEqual(t.shape.map(Number), w.shape.toReversed(), `shape of ${t.name}`);
        must(GGMLQuantizationType[t.dtype].toLowerCase() === w.dtype, `${t.name}: ${GGMLQuantizationType[t.dtype]}`);
        must(Number(tensorDataOffset + t.offset) === w.offset, `${t.name} is at ${tensorDataOffset + t.offset}`);
        must(t.offset >= end && t.offset % 32n === 0n, `${t.name}: offset ${t.offset} is out of order or unaligned`);
        end = t.offset + 1n;
        want.delete(hfName(t.name));
    }
    must(want.size === 0, `not in the file: ${[...want.keys()].join(" ")}`);
    return `${tensorInfos.length} tensors, ${Object.keys(metadata).length} keys`;
}

// ---- Hugging Face folders ----------------------------------------------------------------------

const BYTES = { F32: 4, F16: 2, BF16: 2 };

// The header of a safetensors file: tensors without gaps or overlap, nothing else behind them.
function readSafetensors(file) {
    const bytes = fs.readFileSync(file);
    const n = Number(bytes.readBigUInt64LE(0));
    must(n % 8 === 0 && 8 + n <= bytes.length, `a header of ${n} bytes`);
    const { __metadata__: meta, ...tensors } = JSON.parse(bytes.toString("utf8", 8, 8 + n));
    must(meta?.format === "pt", `__metadata__ is ${JSON.stringify(meta)}`);
    let at = 0;
    for (const [name, t] of Object.entries(tensors).sort((a, b) => a[1].data_offsets[0] - b[1].data_offsets[0])) {
        const [begin, end] = t.data_offsets;
        const size = t.shape.reduce((a, b) => a * b, BYTES[t.dtype]);
        must(begin === at, `${name} begins at ${begin}, the one before ends at ${at}`);
        must(end - begin === size, `${name} has ${end - begin} bytes, its shape and type say ${size}`);
        at = end;
    }
    must(8 + n + at === bytes.length, `the file has ${bytes.length} bytes, its tensors end at ${8 + n + at}`);
    return tensors;
}

function checkConfig(dir, said) {
    const config = JSON.parse(fs.readFileSync(path.join(dir, "config.json"), "utf8"));
    const names = { llama: "LlamaForCausalLM", mistral: "MistralForCausalLM", qwen2: "Qwen2ForCausalLM", qwen3: "Qwen3ForCausalLM", arcee: "ArceeForCausalLM" };
    must(config.architectures?.[0] === names[config.model_type], `architectures is ${JSON.stringify(config.architectures)}`);
    for (const key of ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "vocab_size", "max_position_embeddings", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "model_type"])
        must(config[key] !== undefined && config[key] === said.config[key], `${key} is ${config[key]}`);
    must(config.torch_dtype ?? config.dtype, "torch_dtype is missing");
    return config;
}

function checkFolder(dir, m) {
    const said = info(m.file), want = new Map(said.tensor_list.map((t) => [t.name, t.shape]));
    const config = checkConfig(dir, said);
    const found = Object.entries(readSafetensors(path.join(dir, "model.safetensors")));
    for (const [name, t] of found) {
        must(want.has(name), `${name} is not in the model`);
        mustEqual(t.shape, want.get(name), `shape of ${name}`);
        want.delete(name);
    }
    must(want.size === 0, `not in the file: ${[...want.keys()].join(" ")}`);
    must(found.some(([name]) => name === "lm_head.weight") !== config.tie_word_embeddings, "lm_head.weight and tie_word_embeddings");
    return `${found.length} tensors`;
}

async function checkTokenizer(dir, m) {
    const read = (name) => JSON.parse(fs.readFileSync(path.join(dir, name), "utf8"));
    const t = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
    // Its Digits knows those of ASCII only, where the original and llama.cpp take every number of Unicode.
    const texts = lines(prose, 40, m.tokenizer).filter((s) => !/(?![0-9])\p{N}/u.test(s)).slice(0, 80);
    for (const text of texts) {
        const want = parseIds(await duetReads(text, "tokenizer", "encode", "--tokenizer", m.tokenizer));
        mustEqual(t.encode(text, { add_special_tokens: false }).ids, want, JSON.stringify(text));
    }
    return `${texts.length} texts`;
}

for (const file of fs.readdirSync(".").filter((f) => /\.gguf$/.test(f) && f !== "lora.gguf"))
    await test(`@huggingface/gguf reads ${file}`, () => checkGguf(file));
for (const m of models) {
    const dir = `${m.name}.hf/`;
    await test(`${m.name} as a folder of Hugging Face: tensors and config`, () => {
        duet("convert", m.file, dir, ...m.convert ?? []);
        return checkFolder(dir, m);
    });
    await test(`${m.name}: @huggingface/tokenizers gives duet's tokens`, () => checkTokenizer(dir, m));
}
