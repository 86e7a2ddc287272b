// What clients.sh made, and what there is of real data.
//
//   name       written as NAME.TYPE.gguf, with the options `convert`
//   file       a model that duet reads
//   tokenizer  the file that its vocabulary comes from
//   text       what a trained model is judged on; random ones get random ids
//   only       "tokenizer": nothing else of it is tried
import fs from "node:fs";
import path from "node:path";
import { skip } from "./common.mjs";

const data = (...names) => path.join(process.env.DATA, ...names);
const made = (name, more) => ({ name, file: `${name}.blzt`, tokenizer: "tok.json", ...more });
const from = (tokenizer) => ({ tokenizer, convert: ["--tokenizer", tokenizer] });

export const prose = fs.readFileSync("other.txt", "utf8");
// The adapter of the model `name`, and the model with it merged in; `from` is what duet trained.
export const adapters = [{
    name: "trained", file: "lora.gguf", merged: "merged.gguf", from: { adapter: "lora/adapter.blzt", merged: "merged.blzt" },
}];
export const models = [
    {
        name: "stories260K", file: data("weights", "stories260K", "stories260K.bin"),
        ...from(data("weights", "stories260K", "tok512.bin")),
        text: "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, " +
            "she saw a big dog. The dog was very happy and wanted to play with her. Lily said hello to the dog.",
    },
    made("trained", { text: prose.slice(0, 1000) }),
    made("qwen2"), made("qwen3"), made("arcee"), made("untied"), made("rope"),
    made("smollm2", { tokenizer: data("tokenizers", "smollm2", "tokenizer.json"), only: "tokenizer" }),
    {
        name: "llama2", file: data("weights", "hf-tiny-random-llama"),
        ...from(data("tokenizers", "llama2", "tokenizer.model")), only: "tokenizer",
    },
].filter((m) => fs.existsSync(m.file) || skip(m.name, `${m.file} is not there`));
