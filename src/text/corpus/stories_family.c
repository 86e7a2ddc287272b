/* Plots of children and grown-ups, some of critters too. stories_grammar.h explains the notation.
 * A is the hero, G the grown-up, W an animal. */
#include "stories_grammar.h"
#include "stories_rules.h"

const struct story_rule_src stories_family[] = {
    /* ---- a present made by hand */
    {"gift",
     "[gift_day] ^{A.he} (wanted to give {G.him} something special|wanted to make {G.him} happy"
     "|had no present yet).[thought]\n[gift_idea] [gift_work]\n[gift_give]\n[gift_end]"},
    {"gift_day",
     "It was {G=elder.name}'s birthday, and {A.name} was [much]excited."
     "|2:[day] {A.name} remembered that it was {G=elder.name}'s birthday."},
    {"gift_idea",
     "3:[idea A] `I will make {D=gift.a},` {A.he} said."
     "|2:`What can I give {G.him}?` {A.name} asked {A.his} [dear]friend {A.friend}. (2:`You can "
     "make {D=gift.a},` [answered B].|[pre B], `You can make {D=gift.a}.`)"},
    {"gift_work",
     "{A.name} took {D.stuff}(|, and [small_things],) and (worked all day|worked very hard"
     "|began to work). (When it was ready, the {D.noun} looked|Soon the {D.noun} was ready and "
     "looked) {D.looked}."},
    {"gift_give",
     "{A.name} (hid it behind {A.his} back and |)ran to {G.name}. (2:`Happy birthday, "
     "{G.call}!` [cried A].|[pre_glad A], `Happy birthday, {G.call}!`) (2:`(Is this|Oh, is it) "
     "for me?` [asked G].|[pre_ask G], `(Is this|Oh, is it) for me?`) (2:`Yes, I made it (for "
     "you|all by myself),` [answered A].|[pre A], `Yes, I made it (for you|all by myself).`)"},
    {"gift_end",
     "^{G.name} {D.used} and [hugged A]. (2:`This is the (best|nicest|most beautiful) {D.noun} "
     "(in the world|I have ever had),` [said G].|[pre G], `This is the (best|nicest|most "
     "beautiful) {D.noun} (in the world|I have ever had).`) [gift_moral][end_alone]"},
    {"gift_moral",
     "3:[glad A]"
     "|The best (gifts|presents) come from the heart."
     "|Then they (had|shared|enjoyed) [feast]."},

    /* ---- an animal needs help */
    {"meet",
     "[day] {A.name} [went] {A.to}.[scene] ^{A.he} heard a (small|soft|sad|strange|thin) sound. "
     "`{W=animal.sound}! {W.sound}!` It (came|seemed to come) from {S=hiding.in}. There {A.he} "
     "found a (little|tiny) {C=fur.name} {W.noun}. It was [meet_state].\n[meet_feed]\n"
     "(3:[meet_keep]|2:[meet_mother])"},
    {"meet_state", "[meet_how] and [meet_how_too]"},
    {"meet_how", "cold|hungry|lost|wet|all alone|tired"},
    {"meet_how_too",
     "shook all over|looked very sad|did not move|had [a_thing] in its mouth"
     "|(looked|stared|gazed) at {A.him} with big eyes"},
    {"meet_feed",
     "(2:`(Hello|Do not be afraid|Come here), little {W.noun},` [said A].|[pre A], `(Hello|Do "
     "not be afraid|Come here), little {W.noun}.`) ^{A.he} gave it {W.eats}( and [a_thing] to "
     "play with|). The {W.noun} (ate it all|liked it very much|ate every bit) and {W.glad}."},
    {"meet_keep",
     "{A.name} (carried|took) the {W.noun} home. `(Can we keep it|Can it stay with us), "
     "please?` {A.he} asked {G=elder.name}. ^{G.name} (smiled|thought for a while). (2:`(Yes, "
     "but|All right, but) you must take good care of it,` [answered G].|[pre G], `(Yes, but|All "
     "right, but) you must take good care of it.`)\n"
     "[glad A] ^{A.he} named the {W.noun} {z=petname.name}. Every (night|evening), {z.name} "
     "slept (next to {A.his} bed|on a soft blanket). [meet_friends]"},
    {"meet_friends",
     "3:{A.name} and {z.name} were (best|good) friends."
     "|And every morning, {z.name} woke {A.him} up.|{A.name} kept {A.his} promise."
     "|{z.name} liked to (play with|hide) [things]."},
    {"meet_mother",
     "Then there was a (loud|new|long) sound. `{W.sound}!` It was the mother of the little "
     "{W.noun}! She had looked for it (everywhere|all day). The {W.noun} ran to {W.his} "
     "mother.\n{A.name} was (a little sad|sad) to say goodbye, but {A.he} (was glad that it was "
     "safe|knew that it was home). [meet_again]"},
    {"meet_again",
     "3:(2:`Come back soon, little {W.noun}!` [cried A].|[pre_glad A], `Come back soon, little "
     "{W.noun}!`)"
     "|The next day, the {W.noun} and {W.his} mother came back to say hello."},

    /* ---- something breaks */
    {"broke",
     "[day] {A.name} was playing with {A.his} {O=toy.noun} in the house. (There were [things] "
     "on the floor.|The table was full of [things].|Outside there were [creatures].) `(Be "
     "careful|Do not play in the house),` said {G=elder.name}. But {A.name} (forgot|did not "
     "listen). (Crash!|Bang!) The {O.noun} hit the {Q=fragile.noun} {Q.at}, and the {Q.noun} "
     "broke.\n(3:[broke_think]|2:[broke_lie])\n[broke_forgive][end_alone]"},
    {"broke_think",
     "{A.name} was [much]scared. ^{A.he} wanted to (hide the pieces|run away). But {A.he} knew "
     "that it was (not right|wrong). ^{A.he} (went|walked|ran|hurried) to {G.name}. (2:`I broke "
     "the {Q.noun}. I am (so|very) sorry,` [sobbed A].|[pre_sad A], `I broke the {Q.noun}. I am "
     "(so|very) sorry.`)"},
    {"broke_lie",
     "(2:`Who broke the {Q.noun}?` [asked G].|[pre_ask G], `Who broke the {Q.noun}?`) (2:`It "
     "was the (cat|wind),` [answered A].|[pre A], `It was the (cat|wind).`) (But then|But|Then) "
     "{A.he} felt (bad|sorry|sick|terrible). ^{A.his} (belly hurt|face was hot). `No,` {A.he} "
     "said, `it was me. I am sorry.`"},
    {"broke_forgive",
     "^{G.name} (was not angry|looked at {A.him} for a long time). `(Thank you for telling|I am "
     "glad that you told) me the truth,` [said G], and {G.he} [hugged A]. [broke_fix] "
     "[broke_moral]"},
    {"broke_fix",
     "They cleaned up the pieces together.|They put [a_thing] in its place."
     "|They put the {Q.noun} back together with glue.|{A.name} helped to clean the floor."},
    {"broke_moral",
     "After that, {A.name} only played with the {O.noun} outside."
     "|2:{A.name} (learned|understood|saw|now knew) that it is (good|best) to tell the truth."
     "|2:{A.name} felt (much|a lot) better."},

    /* ---- learning to do something */
    {"learn",
     "{A.name} (wanted|hoped) to learn to {K=skill.inf}. [learn_why] [day] {A.he} (went|walked"
     "|ran|hurried) to the [place_look]{K.place} to try. ^[creatures] (came to watch|looked "
     "on). (But then|But|Then) {A.he} {K.fail}.\n[learn_sad]\n[learn_tip]\n"
     "[learn_again] [learn_end][end_alone]"},
    {"learn_why",
     "All {A.his} friends could do it."
     "|It (looked like so much fun|seemed like fun|did not look very hard)."
     "|^{A.his} friend {B=kid.name} was very good at it."},
    {"learn_sad",
     "(2:`I (cannot|will never) do it,` [sobbed A].|[pre_sad A], `I (cannot|will never) do "
     "it.`) [sad A]"
     "|2:{A.name} tried again, and again {A.he} {K.fail}. [sad A]"},
    {"learn_tip",
     "^{G=elder.name} (saw|heard|watched) {A.him}. (2:`{K.tip},` [said G]. `|[pre G], `{K.tip}. "
     ")(Nobody can do it the first time|I had to learn it too|You only need more time).`"},
    {"learn_again", "{A.name} tried (again and again|every day|one more time)."},
    {"learn_end",
     "(Then, one morning,|And then,|At last,) {A.he} {K.did}! (2:`(I can do it|Look at me)!` "
     "[cried A].|[pre_glad A], `(I can do it|Look at me)!`) [learn_moral]"},
    {"learn_moral",
     "3:^{G.name} was [much]proud of {A.him}."
     "|2:{A.name} was glad that {A.he} did not give up.|Now {A.name} loved {K.ing}."
     "|^{G.name} gave {A.him} [things]."},

    /* ---- lost and found again */
    {"gone",
     "[day] {A.name} went to (the market|the town|the zoo) with {G=elder.name}. There were "
     "[gone_many]. {A.name} (saw|noticed|spotted) a {L=lure.noun} and (went after|followed) it. "
     "It {L.it} (away|around the corner). When {A.name} (looked up|turned around), {G.name} was "
     "(gone|nowhere to be seen).\n[gone_wait]\n[gone_help]\n[gone_end]"},
    {"gone_many",
     "people with [feast]|people with [things]|[creatures] and many people"
     "|so many people and so much to see"},
    {"gone_wait",
     "[sad A] Then {A.he} (remembered|thought of) what {G.name} (always|often) said. `If you "
     "(are|get) lost, stay where you are.` So {A.name} (sat down|sat) and (waited|did not move"
     "|looked around)."},
    {"gone_help",
     "(Soon|After a while), %{H=helper.noun} came by. (2:`Are you (lost|all right)(|, little "
     "one|, my dear)?` [asked H].|[pre_ask H], `Are you (lost|all right)(|, little one|, my "
     "dear)?`) (2:`I cannot find my {G.noun},` [sobbed A]. `|[pre_sad A], `I cannot find my "
     "{G.noun}.` `)What does {G.he} look like?` `^{G.he} has %{C=color.name} {c=wear.noun},` "
     "said {A.name}. (So|And so) they looked (around|here and there) together."},
    {"gone_end",
     "(Then|At last,) {A.name} saw %{C.name} {c.noun}. (2:`There {G.he} is!` [cried A]."
     "|[pre_glad A], `There {G.he} is!`) ^{G.name} (ran to {A.him}|came running) and [hugged "
     "A]. (2:`You (did the right thing|were very clever to wait),` [said G].|[pre G], `You (did "
     "the right thing|were very clever to wait).`) [gone_moral][end_alone]"},
    {"gone_moral",
     "They (thanked|both thanked) {H.name} and went home."
     "|On the way home, {A.name} held {G.his} hand (very tight|all the time).|2:[glad A]"},

    /* ---- too much salt */
    {"bake",
     "[day] {A.name} and {G=elder.name} (wanted|hoped) to bake %{Y=baked.noun}. They took "
     "flour, eggs, milk, [bake_sort] and [bake_fat].[thought] [bake_help]\n[bake_wrong]\n"
     "[bake_laugh] [bake_again]\n[bake_end]"},
    {"bake_sort", "nuts|honey|raisins|ripe berries|dried plums|sweet apples|cherries|a lemon"},
    {"bake_fat", "butter|cream|oil|a little water|cocoa|oats"},
    {"bake_help",
     "3:(2:`Now we need sugar,` [said G].|[pre G], `Now we need sugar.`) {A.name} put in (three "
     "big spoons|a whole cup)."
     "|2:{A.name} (wanted|hoped) to do it all by {A.self}. (2:`Do not forget the sugar,` [said "
     "G].|[pre G], `Do not forget the sugar.`)"},
    {"bake_wrong",
     "When the {Y.noun} was (ready|done), it (looked|smelled) (very good|wonderful). {A.name} "
     "took the first bite and (made a face|opened {A.his} eyes wide). `(Yuck|Oh no|Oh dear)!` "
     "(cried|said|called) {A.name}. `It is (full of|nothing but|much too much) salt!`"},
    {"bake_laugh",
     "(3:{A.name} felt silly.|[sad A]) But {G.name} (began to laugh|only laughed). "
     "(2:`(Everyone makes mistakes|I did the same when I was small),` [said G].|[pre G], "
     "`(Everyone makes mistakes|I did the same when I was small).`)"},
    {"bake_again",
     "They (made|baked) %(new|second) {Y.noun} together, and this time {A.name} tasted the "
     "sugar first."
     "|(So|And so) they started again, and {A.name} looked (very carefully|two times) before "
     "{A.he} put anything in."},
    {"bake_end",
     "The new {Y.noun} was (sweet and warm|perfect|the best of all). [bake_moral][end_alone]"},
    {"bake_moral",
     "They ate (every bit of it|it all).|2:[glad A]"
     "|2:{A.name} took a piece to {A.his} [dear]friend {A.friend}."
     "|They gave the (salty one|first one) to the (goat|pigs)."},
    {NULL, NULL}};

const struct story_rule_src *const stories_rules[] = {
    stories_common, stories_scenes, stories_friends, stories_world, stories_family, NULL};
