// GGUF files of duet in llama.cpp (node-llama-cpp, processor only); plan.mjs says which models.
// Every file is loaded from disk as a user's would be. llama.cpp's cache of keys and values is set to
// f32, so that what differs is the weights and the arithmetic. One thread: the models are tiny.
import { getLlama } from "node-llama-cpp";
import {
    compare, duet, duetLogProbs, duetReads, figures, lines, logSoftmax, must, mustEqual, note, parseIds, someIds, test,
} from "./common.mjs";
import { adapters, models, prose } from "./plan.mjs";

const POSITIONS = 96, GREEDY = 60;
// same: largest difference of a probability, and of the divergence in nats a token, from duet on the same file.
// source: largest divergence from duet on the model that the file was made from.
// llama.cpp also rounds the other side of a product to the type of the weights: f16 (11 bits), bf16 (8 bits), and
// blocks of 8 bits for quantised weights. That is what is left between it and duet, which multiplies in f32.
const TYPES = {
    f32: { same: [1e-5, 1e-9], source: 1e-9, float: true },
    f16: { same: [1e-3, 1e-5], source: 5e-5, float: true },
    bf16: { same: [1e-2, 1e-3], source: 2e-3, float: true },
    q8_0: { same: [5e-2, 1e-2], source: 2e-2 },
    q4_0: { same: [5e-2, 1e-2], source: 1 },
};

const llama = await getLlama({ build: "never", gpu: false, logLevel: "error", maxThreads: 1 });

const convert = (m, type) => duet("convert", m.file, `${m.name}.${type}.gguf`, "--dtype", type, ...m.convert ?? []);

// body(model, sequence) with a file loaded and, if given, adapters on it
async function withModel(file, loras, body) {
    const model = await llama.loadModel({ modelPath: file, useMmap: false, checkTensors: true });
    try {
        const context = await model.createContext({
            contextSize: 2 * POSITIONS + GREEDY, batchSize: 64, flashAttention: false,
            experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
            ...(loras.length && { lora: { adapters: loras.map((filePath) => ({ filePath })) } }),
        });
        return await body(model, context.getSequence());
    } finally {
        await model.dispose();
    }
}

// Log-probabilities after each of the ids.
async function logProbs(sequence, ids, vocab) {
    const out = await sequence.controlledEvaluate(ids.map((id) => [id, { generateNext: { logits: true } }]));
    const rows = new Float32Array(ids.length * vocab);
    out.forEach((o, row) => {
        must(o.next.logits.size === vocab, `llama.cpp gave ${o.next.logits.size} logits, the vocabulary is ${vocab}`);
        for (const [id, x] of o.next.logits) rows[row * vocab + id] = x;
    });
    return logSoftmax(rows, vocab);
}

// The greedy continuation of a prompt of eight words, in duet and in llama.cpp.
const start = (m) => m.text.split(" ").slice(0, 8).join(" ");
const encode = async (m, text) => parseIds(await duetReads(text, "tokenizer", "encode", "--bos", "--tokenizer", m.tokenizer));

const duetText = (m, file) => duet("generate", file, "--prompt", start(m), "--tokens", String(GREEDY), "--temperature", "0",
    "--ignore-eos", "--tokenizer", m.tokenizer, "--threads", "1", "--quiet");

async function llamaText(m, sequence) {
    const ids = await encode(m, start(m));
    let input = [...ids.slice(0, -1), [ids.at(-1), { generateNext: { token: true } }]];
    for (let i = 0; i < GREEDY; i++) {
        const { token } = (await sequence.controlledEvaluate(input)).at(-1).next;
        ids.push(token);
        input = [[token, { generateNext: { token: true } }]];
    }
    const text = await duetReads(ids.join(" "), "tokenizer", "decode", "--tokenizer", m.tokenizer);
    return text.replace(/^<s>/, ""); // duet generate prints the prompt as it was given
}

// ---- numbers -----------------------------------------------------------------------------------

async function distributions(m, type, file) {
    const bound = TYPES[type];
    await withModel(file, [], async (model, sequence) => {
        const found = await logProbs(sequence, m.ids, m.vocab);
        const name = `${m.name} ${type}`;
        await test(`${name}: llama.cpp gives duet's distributions at ${m.ids.length} positions`, () => {
            const r = compare(found, duetLogProbs(file, m.ids, m.vocab), m.vocab);
            must(r.p <= bound.same[0] && r.kl <= bound.same[1], `${figures(r)}; bounds ${bound.same}`);
            return figures(r);
        });
        await test(`${name}: and those of the model it was made from`, () => {
            const r = compare(found, m.source, m.vocab);
            must(r.kl <= bound.source, `${figures(r)}; bound ${bound.source}`);
            return figures(r);
        });
        if (!m.text) return;
        await sequence.clearHistory();
        const text = await llamaText(m, sequence), want = duetText(m, m.file);
        if (bound.float) await test(`${name}: the same greedy text`, () => mustEqual([...text], [...want], "greedy text"));
        else note(`${name}: the greedy text is ${text === want ? "the same as" : "another than"} in f32`);
    });
}

async function numbers(m) {
    m.ids = m.text ? (await encode(m, m.text)).slice(0, POSITIONS) : someIds(POSITIONS, m.vocab, 5);
    m.source = duetLogProbs(m.file, m.ids, m.vocab);
    // A flat distribution would agree with anything.
    const { peak } = compare(m.source, m.source, m.vocab);
    await test(`${m.name}: its distributions have peaks`, () => {
        must(peak > 0.01, `the most likely token has ${peak}`);
        return `the most likely token has ${peak.toFixed(2)}`;
    });
    for (const type in TYPES) {
        const file = `${m.name}.${type}.gguf`;
        await test(`${m.name} ${type} loads`, () => {
            convert(m, type);
            return distributions(m, type, file);
        });
    }
}

// ---- adapters ----------------------------------------------------------------------------------

async function adapter({ name, file, merged, from }) {
    const m = models.find((x) => x.name === name), base = `${name}.f32.gguf`;
    const run = (f, adapters) => withModel(f, adapters, (model, s) => logProbs(s, m.ids, m.vocab));
    await test(`${name}: a GGUF adapter does in llama.cpp what the merged model does`, async () => {
        duet("convert", from.adapter, file, "--base", m.file);
        duet("convert", from.merged, merged, "--dtype", "f32");
        const [plain, both, one] = [await run(base, []), await run(base, [file]), await run(merged, [])];
        const r = compare(both, one, m.vocab), moved = compare(both, plain, m.vocab);
        must(r.p <= 1e-3, figures(r));
        must(moved.p > 0.05, `the adapter changes nothing: ${figures(moved)}`);
        return `${figures(r)}; it moves p by ${moved.p.toFixed(2)}`;
    });
}

// ---- tokenizers --------------------------------------------------------------------------------

// ids of duet for every text, a few processes at a time
async function encodeAll(texts, ...options) {
    const out = [];
    const next = texts.entries();
    const worker = async () => {
        for (const [i, text] of next)
            out[i] = parseIds(await duetReads(text, "tokenizer", "encode", ...options));
    };
    await Promise.all([worker(), worker(), worker()]);
    return out;
}

// Texts with duet's tokens of them, by tokenizer. The long one has every line; some are also tried alone.
const encoded = new Map();
async function encodedTexts(name) {
    if (!encoded.has(name)) {
        const texts = lines(prose, 200, name), tried = [...texts.slice(0, 60), texts.join("\n")];
        const ids = await encodeAll(tried, "--plain", "--tokenizer", name);
        encoded.set(name, tried.map((text, i) => [text, ids[i]]));
    }
    return encoded.get(name);
}

async function tokenizer(m) {
    const texts = await encodedTexts(m.tokenizer);
    const model = await llama.loadModel({ modelPath: `${m.name}.f32.gguf`, vocabOnly: true });
    await test(`${m.name}: llama.cpp's tokens are duet's`, () => {
        for (const [text, ids] of texts)
            mustEqual(model.tokenize(text, false), ids, JSON.stringify(text.slice(0, 60)));
        return `${texts.length} texts, ${texts.reduce((n, [, ids]) => n + ids.length, 0)} tokens`;
    });
    // For the pre-tokenizer gpt-2, llama.cpp always drops blanks before punctuation when it decodes.
    const drops = model.fileInfo.metadata.tokenizer.ggml.pre === "gpt-2";
    const plain = (text) => drops ? text.replaceAll(" ", "") : text;
    await test(`${m.name}: and so is the text of the tokens${drops ? ", but for blanks" : ""}`, () => {
        for (const [text, ids] of texts) {
            const got = model.detokenize(ids, true);
            must(plain(got) === plain(text), () => `${JSON.stringify(text.slice(0, 60))} became ${JSON.stringify(got.slice(0, 60))}`);
        }
    });
    await test(`${m.name}: special tokens in a text`, async () => {
        for (const special of ["<|endoftext|>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|begin_of_text|>"]) {
            const text = `One.${special}Two. ${special} three`;
            const [ids] = await encodeAll([text], "--tokenizer", m.tokenizer);
            mustEqual(model.tokenize(text, true), ids, text);
        }
    });
    await model.dispose();
}

for (const m of models) {
    m.vocab = JSON.parse(duet("info", m.file, "--json")).config.vocab_size;
    if (m.only === "tokenizer") convert(m, "f32");
    else await numbers(m);
    await test(`${m.name}: its vocabulary loads`, () => tokenizer(m));
}
for (const a of adapters) await adapter(a);
await llama.dispose();
