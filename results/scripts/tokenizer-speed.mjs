// Encodes TEXT with @huggingface/tokenizers from the folder MODULES (node_modules):
//   node tokenizer-speed.mjs MODULES TOKENIZER_JSON TEXT
// Prints seconds of the call that encodes, the number of ids, and the SHA-256 of the ids in decimal with a
// blank between them and a line break behind, as duet prints them.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, tokenizer, text] = process.argv.slice(2);
const { Tokenizer } = createRequire(join(resolve(modules), "x.js"))("@huggingface/tokenizers");
const t = new Tokenizer(JSON.parse(readFileSync(tokenizer, "utf8")), {});
const s = readFileSync(text, "utf8");
const start = performance.now();
const { ids } = t.encode(s, { add_special_tokens: false });
const seconds = (performance.now() - start) / 1000;
const hash = createHash("sha256");
for (let i = 0; i < ids.length; i += 65536)
    hash.update((i ? " " : "") + ids.slice(i, i + 65536).join(" "));
hash.update("\n");
console.log(seconds.toFixed(3), ids.length, hash.digest("hex"));
