#!/bin/sh
# The files that a search is made of: it goes on from any folder, and only while they hold the same.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"
must stories 20000 5 >text.txt
TINY='"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2'
# file NAME BASE SPACE [MORE]
file() {
    cat >"$1" <<END
{"base": {$2, "tokenizer": "byte", "seq": 32, "batch": 2, "val-windows": 4, "threads": 1},
 "budget": {"steps": 2}, "trials": 2, "seeds": 1, "confidence": 0, "strategy": "grid", "space": {$3}${4:+, }${4:-}}
END
}
search() { "$DUET" search "$@" --quiet >search.out 2>search.err || { cat search.err; return 1; }; }
MODEL="\"model\": \"$SRC/models/stories260k.json\", \"set\": {$TINY}"
LR='"lr": {"choice": [1e-3, 1e-2]}'
hash_of() { head -1 "$1/ledger.jsonl" | grep -o "\"$2\": *\"[0-9a-f]*\"" | tr -d ' '; }
goes_on() { (cd "$WORK/elsewhere" && "$DUET" search --resume "../$1" --quiet) >on.out 2>on.err || { cat on.err; return 1; }; }
# changed WHAT SEARCH SENTENCE
changed() {
    refuses "$1" 1 "$3" "$DUET" search --resume "$2" --quiet
    check "$1: nothing is on record" equal "$(grep -c '"event":"resume"' "$2/ledger.jsonl")" "${4:-1}"
}
mkdir elsewhere

# ---- a folder of texts ---------------------------------------------------------------------------
mkdir texts
for i in 1 2 3; do must stories 8000 $i >texts/$i.txt; done
file fd.json "$MODEL, \"data\": \"texts\"" "$LR"
check "a folder of texts" search fd.json --out fd
check "is known by hash" equal "$(hash_of fd "$WORK/texts" | wc -l)" 1
touch texts/.hidden
check "what train does not read is no part of it" goes_on fd
cp texts/2.txt kept.txt
head -c 4000 kept.txt >texts/2.txt
changed "a text that is cut" fd "$WORK/texts holds other files"
cp kept.txt texts/2.txt
mv texts/3.txt texts/0.txt
changed "other names, and so another order" fd "$WORK/texts holds other files"
mv texts/0.txt texts/3.txt
cp kept.txt texts/4.txt
changed "a text more" fd "$WORK/texts holds other files"
rm texts/4.txt
check "as it was it goes on" goes_on fd
mv texts gone
changed "no folder" fd "$WORK/texts is not there any more" 2
mv gone texts
file suite.json "$MODEL" "$LR" '"suite": {"one": {"data": "texts"}}'
check "a suite of a folder" search suite.json --out suite
head -c 4000 kept.txt >texts/2.txt
"$DUET" search --resume suite --quiet >suite.out 2>suite.err
check "does not go on with other texts" equal $? 1
check "which it says" says suite.err "$WORK/texts holds other files"

# ---- axes that name files ------------------------------------------------------------------------
DATA='"data": "text.txt"'
for n in 1 2; do
    cat >m$n.json <<END
{"vocab_size": 256, "hidden_size": 32, "intermediate_size": $((48 * n)), "num_hidden_layers": 1,
 "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
 "rope_theta": 10000.0, "tie_word_embeddings": true, "model_type": "llama"}
END
done
file ma.json "$DATA, \"model\": \"m1.json\"" \
    '"model": {"choice": ["m1.json", "m2.json"]}, "lr": {"choice": [1e-3, 1e-2], "when": {"model": ["m2.json"]}}' '"trials": 4'
sed -i 's/"trials": 2, //' ma.json
check "descriptions" search ma.json --out ma
check "have whole paths" says ma/search.json "\"$WORK/m2.json\""
check "in conditions, too" equal "$(grep -c "\"$WORK/m2.json\"" ma/search.json)" 2
check "the base is the first" says ma/ledger.jsonl "\"trial\":0,.*\"config\":{\"model\":\"$WORK/m1.json\"}"
check "both have trained" equal "$(grep '"event":"result"' ma/ledger.jsonl | grep -c '"status":"ok"')" 3
check "it goes on from another folder" goes_on ma
sed -i 's/"intermediate_size": 96/"intermediate_size": 64/' m2.json
changed "another description" ma "m2.json is another file" 1
file shipped.json "$DATA, \"set\": {$TINY}" '"model": {"choice": ["stories260k", "demo"]}'
check "descriptions that come with duet" search shipped.json --dry-run
file shapes.json "$DATA, \"set\": {\"num_hidden_layers\": 1}" \
    '"model": {"choice": ["m1.json", "m2.json"]}, "set.hidden_size": {"choice": [16, 32]}' '"trials": 1'
sed -i 's/"trials": 2, //' shapes.json
check "a base without one begins in the middle" search shapes.json --out shapes
check "and is on record with it" says shapes/ledger.jsonl "\"trial\":0,.*\"config\":{\"model\":\"$WORK/m2.json\",\"set.hidden_size\":[0-9]*}"

must "$DUET" train --model m1.json --data text.txt --tokenizer byte --seq 32 --steps 1 --out run --quiet >train.out
file init.json "$DATA, \"init\": \"run\"" "\"init\": {\"choice\": [\"run\"]}, $LR"
check "weights of a run" search init.json --out init
echo '{"note": "read by nobody"}' >>run/log.jsonl
check "are not its log" goes_on init
must "$DUET" train --model m1.json --data text.txt --tokenizer byte --seq 32 --steps 2 --out run --overwrite --quiet >train.out
changed "other weights" init "$WORK/run holds other files"

# ---- programs ------------------------------------------------------------------------------------
printf '#!/bin/sh\nexec "%s" "$@"\n' "$DUET" >own.sh
cp own.sh axis.sh
chmod +x own.sh axis.sh
file own.json "$MODEL, $DATA" "$LR" '"program": "./own.sh"'
check "a program of one's own" search own.json --out own
check "goes on from another folder" goes_on own
echo '# changed' >>own.sh
changed "and not when it was changed" own "$WORK/own.sh is another file" 1
file axis.json "$MODEL, $DATA" "\"program\": {\"choice\": [\"$DUET\", \"./axis.sh\"]}"
check "programs of an axis" search axis.json --out axis
echo '# changed' >>axis.sh
changed "nor one of these" axis "$WORK/axis.sh is another file" 0

# ---- what they take of the disk ------------------------------------------------------------------
fact() { sed -n "s/^disk: *$1.*/\1/p" search.out; }
for bytes in 3000000 9000000; do # the plan tokenises up to 4 MB
    must stories $bytes 7 >big.txt
    must "$DUET" tokenize big.txt --tokenizer byte --out big.shard --overwrite --quiet >tokenize.out
    mb=$(awk -v n="$(wc -c <big.shard)" 'BEGIN { print n / 1e6 }')
    file big.json "$MODEL, \"data\": \"big.txt\"" "$LR"
    check "a text of $bytes bytes" search big.json --dry-run
    check "its tokens count" close_to "$(fact '[0-9.]* MB (\([0-9.]*\) of them tokens)')" "$mb" "$(awk -v t="$mb" -v n=$bytes 'BEGIN { print n < 4e6 ? 0.051 : 0.02 * t }')"
    each=$(fact '\([0-9.]*\) MB')
    check "beside the weights" awk -v a="$each" -v t="$mb" 'BEGIN { exit !(a > t && a < t + 1) }'
    check "of the base alone" close_to "$(fact '.*kept, \([0-9.]*\) to ')" "$each" 0.001
    check "of both" close_to "$(fact '.* to \([0-9.]*\) MB in all')" "$(awk -v a="$each" 'BEGIN { print 2 * a }')" 0.11
done
file shard.json "$MODEL, \"data\": \"big.shard\"" "$LR"
check "a shard" search shard.json --dry-run
check "is in no run" equal "$(grep -c 'tokens' search.out)" 0
finish
