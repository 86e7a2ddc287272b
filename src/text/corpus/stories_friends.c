/* Plots between two friends: A is the hero, B the friend. stories_grammar.h explains the
 * notation. */
#include "stories_grammar.h"
#include "stories_rules.h"

const struct story_rule_src stories_friends[] = {
    /* ---- a toy is lost and found */
    {"lost",
     "{A.name} had %[toy_look] {O=toy.noun}. ^{A.he} (loved|liked) to {O.act}. [day] {A.name} "
     "(took|brought|carried) (it|the {O.noun}) {A.to}.[scene]\n"
     "[lost_gone] [sad A][lost_search]\n[lost_help] [lost_found]\n[lost_end]"},
    {"toy_look", "2:{C=color.name}|(big|small|shiny|new|pretty|old|lovely) {C=color.name}"},
    {"lost_gone",
     "2:When it was time to (go home|eat|leave), {A.name} could not find the {O.noun}."
     "|2:After a while, the {O.noun} was (gone|nowhere to be seen)."
     "|Soon, {A.he} (wanted|hoped) to play with it, but it was (not there|gone)."
     "|Then {A.he} looked (down|around), and the {O.noun} was (gone|nowhere to be seen)."},
    {"lost_search",
     ""
     "|2: ^{A.he} looked {S=spot.in}(|, but it was not there|, but there was only [a_thing])."
     "|2: ^{A.he} looked {S=spot.in} and {T=spot.in}. [lost_nothing]"},
    {"lost_nothing",
     "There was nothing.|^{A.he} only found [things]."
     "|^{A.he} found [a_thing], but no {O.noun}."
     "|^{A.he} saw [creatures], but no {O.noun}."},
    {"lost_help",
     "2:^{A.his} [dear]friend {A.friend} (saw {A.him}|came by|ran over). (2:`[lost_ask]` [asked "
     "B].|[pre_ask B], `[lost_ask]`) (2:`I (lost|cannot find|want) my {O.noun},` [sobbed A]."
     "|[pre_sad A], `I (lost|cannot find|want) my {O.noun}.`) (2:`[do_not_cry],` [answered B]. "
     "`|[pre B], `[do_not_cry]. )[lost_offer].`"
     "|`I (lost|cannot find) my {O.noun},` {A.name} told {A.his} [dear]friend {A.friend}. "
     "(2:`[lost_offer],` [answered B].|[pre B], `[lost_offer].`)"},
    {"lost_ask",
     "What is wrong?|What happened?|What is the matter?|Why are you (so sad|sad|alone)?"
     "|Did you lose something?"},
    {"lost_offer",
     "I will help you (look for it|find it)|We can look for it together"
     "|I am good at finding things|We will find it soon"},
    {"lost_found",
     "They looked (everywhere|{U=spot.in}|here and there|high and low). (Then|At last,"
     "|Suddenly,) [lost_who] saw something {C.name} {V=spot.in}. It was the {O.noun}!"},
    {"lost_who", "2:{B.name}|{A.name}|[a_creature] came by and they"},
    {"lost_end",
     "(2:`(3:[thanks], {B.name}|You found it|We found it|There it is)!` [cried A].|[pre_glad "
     "A], `(3:[thanks], {B.name}|You found it|We found it|There it is)!`) [glad A] "
     "[lost_moral][end]"},
    {"lost_moral",
     "3:{A.name} and {B.name} played with the {O.noun} (until the sun went down|all day"
     "|together|until dinner)."
     "|After that, {A.name} always (took good care of the {O.noun}|knew where the {O.noun} was)."
     "|{A.name} let {B.name} play with the {O.noun} too."
     "|To say thank you, {A.name} gave {B.name} [things]."},

    /* ---- a friend in trouble */
    {"hurt",
     "[day] {A.name} [went] {A.to}.[scene] (There|Then|On the way) {A.he} (saw|met|heard) "
     "{A.his} [dear]friend {A.friend}. {B.name} was sitting {S=spot.in} and [hurt_mood].\n"
     "[hurt_talk]\n{A.name} {R.aid}. [hurt_hard][later] {R.done}.\n[hurt_end]"},
    {"hurt_mood", "2:crying|looked very sad|did not smile|was all alone|did not get up"},
    {"hurt_talk",
     "(2:`[lost_ask]` [asked A].|[pre_ask A], `[lost_ask]`) (2:`[hurt_why]{R=trouble.say},` "
     "[sobbed B].|[pre_sad B], `[hurt_why]{R=trouble.say}.`) (2:`[do_not_cry],` [answered A]. `"
     "|[pre A], `[do_not_cry]. )(I will help you|We can do it together|I know what to do|I am "
     "here now).`"},
    {"hurt_why",
     "2:|3:I was looking for [things]. "
     "|2:I (ran after|followed|looked at) [creatures]. "},
    {"hurt_hard",
     "3:"
     "|It was (hard work|not easy), but {A.he} did not (give up|stop). "
     "|It took a (long|very long) time. "
     "|^[creatures] (came to look|looked on|came to help). "},
    {"hurt_end",
     "(2:`[thanks], {A.name}!` [cried B]. `|[pre_glad B], `[thanks], {A.name}! )[good_friend].` "
     "[hurt_after][end]"},
    {"hurt_after",
     "3:[glad A]"
     "|(2:`(Friends help each other|You would help me too|It was nothing|That is what friends "
     "are for),` [said A].|[pre A], `(Friends help each other|You would help me too|It was "
     "nothing|That is what friends are for).`)"
     "|The next day, {B.name} gave {A.name} (%{F=treat.noun}|[things]) to say thank you."
     "|{A.name} (learned|understood|saw|now knew) that (helping|being kind) feels good."},

    /* ---- afraid, then brave */
    {"brave",
     "[brave_fear]\n[day] {A.name} and {A.his} [dear]friend {A.friend} were playing "
     "{A.at}.[scene_they] They had %[toy_look] {O=toy.noun}. (Suddenly,|Then|All at once,) the "
     "{O.noun} {f.event}. (2:`[brave_lost]` [yelled B].|[pre_yell B], `[brave_lost]`)\n"
     "[brave_doubt] [brave_go]\n[brave_end]"},
    {"scene_they",
     " They (saw|watched|counted|met) [creatures]( [where]|)."
     "| They (found|played with|carried) [things].| [scene_nature]|3:[chat]"},
    {"brave_fear",
     "3:{A.name} was (afraid|scared|frightened) of {f=fear.name}. When {f.when}, {A.he} (closed "
     "{A.his} eyes|ran away|shook all over|hid behind [an_object])."
     "|There was only one problem. {A.name} was (afraid|scared|frightened) of {f=fear.name}."},
    {"brave_lost",
     "How will we get it back?|Oh no! My {O.noun}!|Now it is gone!|What can we do?|Oh dear!"},
    {"brave_doubt",
     "2:{A.name} was [much]scared. ^{A.his} (legs shook|heart beat fast|mouth was dry|hands "
     "were cold). But {A.he} (wanted to help {B.name}|did not want {B.name} to be sad)."
     "|{A.name} wanted to run away. (But then|But|Then) {A.he} (looked at|thought of) {B.name}, "
     "who was (sad|crying)."},
    {"brave_go",
     "`I (can|will) do it,` [brave_say]. ^{A.he} (took a deep breath|closed {A.his} eyes"
     "|counted to (three|five|ten)) and {f.step}. [brave_steps]Then {A.he} {f.got} {O.noun}!"},
    {"brave_say",
     "said {A.name}|{A.he} said to {A.self}|whispered {A.name}|{A.name} said [gently]"},
    {"brave_steps",
     "3:|One step, two steps, three steps. |It was not so bad. "
     "|There was [a_creature], but it only (looked|stared|gazed) at {A.him}. "},
    {"brave_end",
     "(2:`(2:You are so brave|You did it|[thanks]|You are not afraid any more), {A.name}!` "
     "[cried B].|[pre_glad B], `(2:You are so brave|You did it|[thanks]|You are not afraid any "
     "more), {A.name}!`) [brave_after][end]"},
    {"brave_after",
     "2:[glad A]"
     "|From then on, {A.name} was not (so |)afraid of {f.name}( any more|)."
     "|{A.name} (learned|understood|saw|now knew) that you can be (scared|small|shy) and brave "
     "at the same time."
     "|`I was (scared|very scared|a little scared),` [said A], `but I did it.`"},

    /* ---- one treat for two */
    {"share",
     "[day] {G=elder.name} gave {A.name} %(|big |nice |whole ){F=treat.noun}. It was "
     "[much]{F.taste}. {A.name} (took it|went with it|carried it) {A.to}.[scene] ^{A.he} (sat "
     "down|sat) {S=spot.in} to eat.\n[share_come]\n(2:[share_yes]|[share_no])"},
    {"share_come",
     "(Just then,|Soon,|After a while,) {A.his} [dear]friend {A.friend} (came by|ran over|sat "
     "down too). (2:`[share_ask]` [asked B].|[pre_ask B], `[share_ask]`)"},
    {"share_ask",
     "Can I have some?"
     "|May I have a (bite|small piece|little), please?"
     "|I am so (hungry|tired|thirsty). Can we share?|What do you have there?"},
    {"share_yes",
     "[share_think] ^{A.he} (broke|cut) the {F.noun} in two and gave {B.name} (one half|the "
     "bigger half|a big piece). (2:`[share_give],` [said A].|[pre A], `[share_give].`)\n"
     "[share_end]"},
    {"share_think",
     "{A.name} (wanted to eat it all|was hungry too). But {A.he} saw that {B.name} (had nothing "
     "to eat|was very hungry|only had [a_thing])."
     "|2:{A.name} (looked at {B.name} and smiled|did not have to think for long)."},
    {"share_give", "Here you are|This is for you|We can eat it together|Sit down and eat with me"},
    {"share_no",
     "(2:`No, it is (mine|all for me|too small),` [answered A].|[pre A], `No, it is (mine|all "
     "for me|too small).`) {B.name} (walked away|went home) (with {B.his} head down|without a "
     "word).\n{A.name} took a (|big |small |little )bite, but it (did not taste good|tasted of "
     "nothing|was not so good after all). [share_sorry] ^{A.he} (ran after|followed|hurried "
     "after) {B.name}. (2:`(Wait|Come back)!` [yelled A]. `|[pre_yell A], `(Wait|Come back)! "
     ")(I am sorry|That was not nice of me). You can have (half|some) of my {F.noun}.`\n"
     "[share_end]"},
    {"share_sorry",
     "^{A.he} felt (bad|sorry|sick|terrible) inside.|It was no fun to eat alone."
     "|^{A.he} thought about {B.name}.|[a_creature_looked]"},
    {"a_creature_looked",
     "Even [a_creature] (looked|stared|gazed) at {A.him} (sadly|for a long time)."},
    {"share_end",
     "(2:`[thanks],` [answered B].|[pre B], `[thanks].`) They sat (side by side|down together"
     "|close together) and ate.[chat] [share_moral][end]"},
    {"share_moral",
     "2:The {F.noun} tasted (even better|twice as good) (with a friend|when they shared it)."
     "|2:[glad A]"
     "|{B.name} had [feast] in {B.his} bag, and they shared that too."
     "|{A.name} (learned|understood|saw|now knew) that sharing (is fun|makes everyone happy)."},

    /* ---- building something that falls down */
    {"build",
     "[day] {A.name} and {A.his} [dear]friend {A.friend} (wanted|hoped) to build {b=build.a} "
     "{A.at}.[scene_they] They had (a lot of|plenty of|some|enough|lots of) {b.stuff}. "
     "[build_work]\n[build_fall] (2:`[build_oh]` [yelled B].|[pre_yell B], `[build_oh]`) [sad "
     "B]\n[build_again]\n[build_end]"},
    {"build_work",
     "2:They worked (all morning|very hard|for a long time|side by side)."
     "|{A.name} (carried|found|held) the {b.stuff}, and {B.name} put everything together."
     "|They put [things] on top."
     "|The {b.noun} grew (bigger and bigger|day by day|taller and taller)."},
    {"build_fall",
     "(But then|Suddenly,|All at once,) (a strong wind came|{A.name} slipped and fell"
     "|[a_creature] ran into it) and the {b.noun} (fell down|came down|fell apart)."},
    {"build_oh", "Oh no!|All our work is gone!|It is broken!|Look at our {b.noun}!|What a mess!"},
    {"build_again",
     "(2:`(We can try again|We can build it again|Do not give up|Let us start again),` [said "
     "A]. `|[pre A], `(We can try again|We can build it again|Do not give up|Let us start "
     "again). )This time we will {b.better}.` (So they started again.|{B.name} nodded, and they "
     "started again.) [build_how]."},
    {"build_how",
     "They worked (slowly|with care|even harder)"
     "|They (helped each other|did not give up)|^[creatures] came to help"},
    {"build_end",
     "[later] the {b.noun} was (ready|done). It was (even better than before|big and strong|the "
     "best {b.noun} of all). [build_joy][end]"},
    {"build_joy",
     "(2:`We did it!` [cried A].|[pre_glad A], `We did it!`)"
     "|^{G=elder.name} came (to look|to see|over). `(What a wonderful|What a fine|I love your) "
     "{b.noun}!` {G.he} said.|[glad A]|They put [things] inside."
     "|They (sat|played) in the sun and were very proud."},

    /* ---- two friends want one toy */
    {"quarrel",
     "[day] {A.name} and {A.his} [dear]friend {A.friend} [went] {A.to}.[scene_they] (Then"
     "|There) they (saw|found|spotted) %[toy_look] {O=toy.noun} {S=spot.in}. (Both|They both) "
     "wanted (to play with it|it). (2:`[quarrel_mine]` [yelled A].|[pre_yell A], "
     "`[quarrel_mine]`) (2:`[quarrel_no]` [yelled B].|[pre_yell B], `[quarrel_no]`) "
     "[quarrel_fight]\n[quarrel_sad]\n[quarrel_sorry]\n[quarrel_end]"},
    {"quarrel_mine", "It is mine!|I saw it first!|Give it to me!|I want it!|Let go!"},
    {"quarrel_no",
     "No, it is mine!|No, I want it!|That is not fair!|No, you let go!|But I found it!"},
    {"quarrel_fight",
     "They (pulled|pulled and pulled|pushed) until (the {O.noun} fell into the mud|the {O.noun} "
     "broke|they both fell down)."},
    {"quarrel_sad",
     "Now (they were both|both of them were) (sad|angry|upset). {B.name} (went home|sat down "
     "far away|did not say a word). {A.name} (was all alone|had no one to play with|played with "
     "[things]). [quarrel_think]"},
    {"quarrel_think",
     "2:It was no fun without {B.name}."
     "|2:^{A.he} (thought about|missed) {B.name}.|Only [a_creature] came to see {A.him}."},
    {"quarrel_sorry",
     "{A.name} (went|ran|walked) to {B.name}. (2:`I am (so |very |)sorry,` [said A]. `|[pre A], "
     "`I am (so |very |)sorry. )(A friend is better than|You are more important than) "
     "%{O.noun}.` (2:`I am sorry too,` [answered B].|[pre B], `I am sorry too.`)"},
    {"quarrel_end",
     "(They (cleaned|fixed|picked up) the {O.noun} together|{B.name} gave {A.name} (a hug"
     "|[a_thing])) and (they |then they )took turns. [quarrel_moral][end]"},
    {"quarrel_moral",
     "2:It was much more fun that way."
     "|They did not fight again( after that|).|{A.name} learned to (share|say sorry).|[glad A]"},

    /* ---- someone new */
    {"newcomer",
     "[day] {A.newcomer}. {B.name} was (very shy|new and shy|a little scared|quiet) and (sat "
     "alone|stood) {S=spot.in}. [new_nobody]\n[new_hello]\n[new_play]\n[new_end]"},
    {"new_nobody",
     "Nobody (talked|said hello|went) to {B.him}."
     "|The other {A.crowd} played, but {B.he} only (looked|stared|gazed) at them."
     "|^{B.he} did not know anyone."
     "|2:^{B.he} only had [things] to play with.|^{B.he} talked to [a_creature]."},
    {"new_hello",
     "{A.name} (saw {B.him}|felt sorry for {B.him}) and (went|walked|ran) over. `(Hello|Hi), I "
     "am {A.name},` {A.he} said. `[new_offer]`"},
    {"new_offer",
     "2:Do you want to play {M=game.name} with (me|us)?"
     "|2:Come and play {M=game.name} with (me|us)!"
     "|Can you play {M=game.name}? I can show you."},
    {"new_play",
     "2:{B.name} (smiled|looked up|nodded). `Yes, (please|I would love to|I know that game),` "
     "{B.he} said. They played (until the sun went down|all afternoon|for hours).[scene_they]"
     "|(2:`I do not know how to play {M.name},` [sobbed B].|[pre_sad B], `I do not know how to "
     "play {M.name}.`) (2:`(I can|I will) show you,` [answered A]. `|[pre A], `(I can|I will) "
     "show you. )It is (easy|fun)!` Soon {B.name} (was very good at it|laughed and ran)."
     "|(2:`I would like that,` [answered B]. `|[pre B], `I would like that. )And then I will "
     "show you my [new_show].`"},
    {"new_show", "[thing_look] {m=thing.noun}"},
    {"new_end",
     "(2:`(Will you be my friend|Can we play again tomorrow|Can I come again)?` [asked B]."
     "|[pre_ask B], `(Will you be my friend|Can we play again tomorrow|Can I come again)?`) "
     "(2:`(Yes|Of course|I would love that)!` [cried A].|[pre_glad A], `(Yes|Of course|I would "
     "love that)!`) [new_moral][end]"},
    {"new_moral",
     "[glad B]"
     "|{A.name} had a (new|good|dear) friend(, and so did {B.name}|)."
     "|{B.name} was not (alone|shy) any more.|{A.name} gave {B.name} [things]."},

    /* ---- a race */
    {"race",
     "[day] there was a big race {A.at}. (|2:^[creatures] came to look. ){A.name} (wanted to "
     "win|wanted to be first|ran every day). ^{A.his} friend {A.friend} (was there too|came too"
     "|ran too|was in the race too).[scene_they] `(Ready, set, go|One, two, three, go)!` "
     "[race_call].\n[race_run] [race_fall]\n[race_turn]\n[race_end]"},
    {"race_call", "(someone|everyone) shouted|shouted {G=elder.name}"},
    {"race_run",
     "2:They ran (as fast as they could|very fast|with all their might|like the wind). {A.name} "
     "was (first|in front)."
     "|{A.name} ran (like the wind|as fast as [a_creature]). Soon {A.he} was in front."},
    {"race_fall",
     "(Then {A.he} heard a cry|Then there was a cry|But what was that). {B.name} had (fallen "
     "down|fallen {S=spot.in}|hurt {B.his} (knee|foot|leg|hand))."},
    {"race_turn",
     "{A.name} (could already see the end|wanted to win so much). But {A.he} (stopped|turned "
     "around) and (helped {B.name} up|ran back to {B.name}). (2:`[race_why]` [asked B]."
     "|[pre_ask B], `[race_why]`) (2:`[race_because],` [answered A].|[pre A], `[race_because].`)"},
    {"race_why",
     "Why did you stop?|Why did you come back?|Do you not want to win?|What about the race?"},
    {"race_because",
     "A friend is more important than a race|I want us to finish together|You needed help"
     "|Friends come first"},
    {"race_end",
     "They (walked|went|ran) to the end (hand in hand|side by side|arm in arm). They were (last"
     "|the last ones|very late), but everyone (clapped|cheered)(| and gave them [things]). "
     "[race_moral][end]"},
    {"race_moral",
     "[glad A]"
     "|(2:`[good_friend],` [answered B].|[pre B], `[good_friend].`)"
     "|{A.name} did not win the race, but {A.he} (felt like a winner|did not mind)."},
    {NULL, NULL}};
