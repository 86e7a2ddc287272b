// Shared by the tests in real clients: duet as a child process, lines for the shell script that
// runs them, distributions, and texts that tokenizers tend to get wrong.
import { execFile, execFileSync } from "node:child_process";
import fs from "node:fs";
import { promisify } from "node:util";

const DUET = process.env.DUET;
const LIMIT = 256 << 20; // bytes of output

// duet's standard output as text; a failure throws what it said.
export function duet(...args) {
    try {
        return execFileSync(DUET, args, { encoding: "utf8", maxBuffer: LIMIT, stdio: ["ignore", "pipe", "pipe"] });
    } catch (e) {
        throw new Error(`duet ${args.join(" ")}: ${(e.stderr || e.message).trim()}`);
    }
}

// The same in the background, with something to read.
export async function duetReads(input, ...args) {
    const run = promisify(execFile)(DUET, args, { encoding: "utf8", maxBuffer: LIMIT });
    run.child.stdin.end(input);
    return (await run).stdout;
}

// ---- results: one line each, which clients.sh numbers ----------------------------------------

export const note = (text) => console.log(`# ${text}`);

export function report(good, name, detail) {
    console.log(`${good ? "ok" : "not ok"} - ${name}${detail ? ` (${detail})` : ""}`);
}

export const skip = (name, why) => console.log(`skip - ${name}: ${why}`);

// Runs a test: what it returns is detail; what it throws is why it failed.
export async function test(name, body) {
    try {
        report(true, name, await body());
    } catch (e) {
        report(false, name, e.message.replaceAll("\n", " ").slice(0, 600));
    }
}

export function must(condition, why) {
    if (!condition) throw new Error(typeof why === "function" ? why() : why);
}

// Equal arrays, or where they begin to differ.
export function mustEqual(got, want, what) {
    let i = 0;
    while (i < got.length && i < want.length && got[i] === want[i]) i++;
    must(i === got.length && i === want.length,
        () => `${what}: from ${i} on ${JSON.stringify(got.slice(i, i + 8))}, expected ` +
            `${JSON.stringify(want.slice(i, i + 8))}; lengths ${got.length}, ${want.length}`);
}

// ---- distributions -----------------------------------------------------------------------------

// log-probabilities of rows of logits: rows x vocab
export function logSoftmax(logits, vocab) {
    const out = new Float64Array(logits.length);
    for (let at = 0; at < logits.length; at += vocab) {
        let max = -Infinity, sum = 0;
        for (let i = at; i < at + vocab; i++) max = Math.max(max, logits[i]);
        for (let i = at; i < at + vocab; i++) sum += Math.exp(logits[i] - max);
        for (let i = at; i < at + vocab; i++) out[i] = logits[i] - max - Math.log(sum);
    }
    return out;
}

// How far a is from b: p, the largest difference of a probability; logp, of a log-probability where p is
// above 1e-3; kl, the mean over positions of the divergence in nats. NaN counts as infinite. peak: the mean
// over positions of b's largest probability, which tells how much the figures mean.
export function compare(a, b, vocab) {
    must(a.length === b.length, `${a.length} log-probabilities against ${b.length}`);
    const r = { p: 0, logp: 0, kl: 0, peak: 0 };
    const larger = (x, y) => (y <= x ? x : Number.isNaN(y) ? Infinity : y);
    for (let at = 0; at < a.length; at += vocab) {
        let peak = 0;
        for (let i = at; i < at + vocab; i++) {
            const p = Math.exp(b[i]);
            r.p = larger(r.p, Math.abs(Math.exp(a[i]) - p));
            if (p > 1e-3) r.logp = larger(r.logp, Math.abs(a[i] - b[i]));
            r.kl += p * (b[i] - a[i]) * vocab / b.length;
            peak = Math.max(peak, p);
        }
        r.peak += peak * vocab / b.length;
    }
    return r;
}

export const figures = (r) => `p ${r.p.toExponential(1)}, log p ${r.logp.toExponential(1)}, KL ${r.kl.toExponential(1)}`;

// duet's own log-probabilities after each of the ids.
export function duetLogProbs(model, ids, vocab) {
    const data = "ids.u16", out = "logits.f32";
    fs.writeFileSync(data, Uint16Array.from(ids));
    duet("eval", model, "--data", data, "--format", "raw16", "--seq", String(ids.length), "--logits", out, "--overwrite",
        "--threads", "1", "--quiet");
    const bytes = fs.readFileSync(out);
    const logits = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    must(logits.length === ids.length * vocab, `duet eval wrote ${logits.length} logits`);
    return logSoftmax(logits, vocab);
}

export const parseIds = (text) => text.trim() ? text.trim().split(/\s+/).map(Number) : [];

// n ids below vocab, the same in every run.
export function someIds(n, vocab, seed) {
    let x = seed;
    return Array.from({ length: n }, () => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) % vocab);
}

// ---- texts -------------------------------------------------------------------------------------

const ODD = [
    "Hello, world!", " leading blank", "trailing blank ", "  two  blanks  ", "a\tb\t\tc", "line\r\nline\r\n\r\n",
    "\n\n\n", "   \n  x", "I'm, you've, WE'LL, he'd, it's 'quoted' and don't", "x=1234567890, 3.14159e-10; 1/2+3",
    "0 00 000 0000 00000", "if (a[i] != b->c) { return \"\\n\"; } // ???!!!", "http://example.org/a?b=c&d=%20#e",
    "CamelCase snake_case kebab-case SCREAMING", "naïve café résumé Ångström", "nai\u0308ve cafe\u0301 (combining)",
    "Größe Straße ẞ İstanbul ı", "Привет, как дела?", "γειά σου Κόσμε", "你好，世界。今天天气很好", "こんにちは世界 カタカナ",
    "안녕하세요 세계", "สวัสดีชาวโลก", "नमस्ते दुनिया", "مرحبا بالعالم", "שלום עולם", "Việt Nam ơi",
    "🙂 😀😃 👩‍👩‍👧‍👦 🇩🇪🇫🇷 👍🏽", "a\u00a0b\u2003c\u3000d\u202fe", "\u200bzero\u200dwidth\ufeff", "½ ² ³ Ⅷ ٣٤٥ ௧௨", "ﬁ ﬂ Å ㎏ ①",
    "“quotes” – dashes — … • ™ €", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒎𝒂𝒕𝒉", "\u0001\u001f\u007f control", "���", "▁underscore ▁ sign",
    "Ġ Ċ byte letters", "<s> </s> <unk> <0x41>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!!!!!!!!!!!!!!!!????????????????----------------", "            many blanks            x",
];

// Lines to tokenize: odd ones, then pieces of them put together, then the lines of a text. Others take SentencePiece's
// sign for a blank, where it stands in a text, for a blank; duet spells it out, so that decoding gives it back.
export function lines(text, n, tokenizer) {
    const odd = ODD.filter((s) => tokenizer.endsWith(".json") || !s.includes("▁"));
    const mixed = someIds(n, 1 << 30, 7).map((r, i) =>
        odd[r % odd.length] + ["", " ", "\n", "1", "a"][i % 5] + odd[(r >> 8) % odd.length]);
    return [...odd, ...mixed, ...text.split("\n").filter((l) => l).slice(0, n)];
}
